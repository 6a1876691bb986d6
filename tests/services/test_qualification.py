"""Qualification: places found, promises kept, neutrality, leads; on both databases."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from provisioning_site import AURORA, BOREALIS, STAFF, START, Site, body
from sqlalchemy import select

from provisioning.line_token import TOKEN_SECONDS, issue
from provisioning.order_states import State
from provisioning.qualification import GREEN_SECONDS, Color, Result
from provisioning.refusal import Refusal
from services import leads
from services import qualification_life as life
from services.provisioning import ObjectChange
from services.qualification import Override, Qualification, Query, qualify
from storage.provisioning_tables import held, hold, object_change
from storage.sites import put_sites


def ask(at: Site, actor: Any = AURORA, **asked: Any) -> Qualification:
    """Ask one question that is answered."""
    asked.setdefault("isp", actor.isp)
    with at.transaction() as transaction:
        query = Query(actor=actor, **asked)
        (answer,) = qualify(
            transaction, [query], new_id=at.new_id, token_key=at.keys.token_key
        )
    assert isinstance(answer, Qualification), answer
    return answer


def refused(site: Site, asked: dict[str, Any]) -> str:
    """Ask one question that is refused, and give the code."""
    with site.transaction() as transaction:
        query = Query(actor=AURORA, **asked)
        (answer,) = qualify(transaction, [query], new_id=site.new_id)
    assert isinstance(answer, Refusal)
    return answer.code


def test_an_answer_tells_what_addresses_the_isp_has_left_there(site: Site) -> None:
    """Fewer with each promise; of the reserve or none at all when its pool is full."""

    def outlook(line: str) -> tuple[str, int | None]:
        (item,) = ask(site, line=line, offerings=("home-500",)).answers
        assert item.addresses is not None
        return item.addresses.kind, item.addresses.left

    rooms = [outlook(f"line{number}") for number in (1, 2)]
    with site.transaction() as transaction:
        small = {"name": "aurora-harbour", "area": "harbour", "isp": "aurora"}
        was = msgspec.to_builtins(transaction.inventory.pool["aurora-harbour"])
        now = was | small | {"prefixes": ["100.64.0.0/30"]}
        transaction.change(STAFF, [ObjectChange("pool", now["name"], was, now)])
    full = outlook("line3")
    with site.transaction() as transaction:
        reserve = {"name": "r", "area": "harbour", "prefixes": ["100.127.0.0/24"]}
        transaction.change(STAFF, [ObjectChange("reserve", "r", None, reserve)])
    lent = outlook("line3")

    assert ["public_ipv4", "public_ipv4"] == [kind for kind, _ in rooms]
    assert 1 == (rooms[0][1] or 0) - (rooms[1][1] or 0)
    assert ("none", 0) == full
    assert ("reserve", 0) == lent


def state_of(site: Site, id_: str) -> str:
    """Give what became of an answer."""
    with site.transaction() as transaction:
        found = life.find(transaction, id_, AURORA)
    assert found is not None
    return found[1]


def holds(site: Site) -> dict[str, int]:
    """Give what is held."""
    with site.database.read.connect() as connection:
        rows = connection.execute(select(held.c.resource, held.c.quantity))
        return {row.resource: row.quantity for row in rows if row.quantity}


@pytest.mark.parametrize(
    "written",
    [
        "3 Quay Street, Porthaven 4711",
        "Quay St. 3, 4711 PORTHAVEN",
        "3, quay str Porthaven 4711",
    ],
)
def test_an_address_is_found_however_it_is_written(site: Site, written: str) -> None:
    """Abbreviations, order, case and commas do not matter."""
    answer = ask(site, address=written, offerings=("home-500",))

    assert ("site3", "line3") == (answer.site, answer.line)
    assert [Color.GREEN] == [one.color for one in answer.answers]
    assert START + 100 + GREEN_SECONDS == answer.expires_at


def test_a_slip_is_forgiven_and_a_doubt_is_not_decided(site: Site) -> None:
    """One letter wrong is taken; without a number all of the street are candidates."""
    slip = ask(site, address="3 Quay Sreet, Porthaven 4711")
    doubt = ask(site, address="Quay Street, Porthaven 4711")
    nowhere = ask(site, address="77 Elm Road, Elsewhere")

    assert "site3" == slip.site
    assert ("informationRequired", None) == (doubt.state, doubt.place)
    assert 8 == len(doubt.candidates)
    assert all(one.score < 92 for one in doubt.candidates)
    assert ["address_unknown"] == [one.code for one in nowhere.reasons]


def test_the_postcode_settles_a_slip_whoever_else_is_in_the_street(site: Site) -> None:
    """A site without a postcode that is as alike makes a doubt only where none was
    asked for."""
    other = {"name": "other", "area": "harbour", "address": "3 Quay Street, Porthaven"}
    with site.transaction() as transaction:
        put_sites(transaction.connection, [other])
    settled = ask(site, address="3 Quay Sreet, Porthaven 4711")
    doubt = ask(site, address="3 Quay Strett, Porthaven")

    assert "site3" == settled.site
    assert {"site3", "other"} == {one.site for one in doubt.candidates}


def test_an_override_is_written_down_with_its_reason(site: Site) -> None:
    """A person chooses the site; who and why is in the change log."""
    chosen = Override("site5", "the caller reads it from the meter")
    answer = ask(site, STAFF, address="Quay Street, Porthaven", override=chosen)
    with site.database.read.connect() as connection:
        rows = connection.execute(select(object_change)).all()
    written = [(r.actor, r.reason) for r in rows if r.kind == "qualification"]

    assert "site5" == answer.site
    assert [("clara", chosen.reason)] == written
    assert "reason_missing" == refused(
        site, {"isp": "aurora", "address": "x", "override": Override("site5", " ")}
    )


def test_the_line_is_known_from_the_connection(site: Site) -> None:
    """By the address that a subscriber has now, and by a token made of that."""
    site.lease("line2", "", "10.0.0.9")
    by_source = ask(site, source="10.0.0.9")
    mapped = ask(site, source="::ffff:10.0.0.9")
    token = issue("line2", site.now, site.keys.token_key)
    by_token = ask(site, token=token)
    site.now += TOKEN_SECONDS + 1
    late, forged = ask(site, token=token), ask(site, token=token[:-2] + "xx")
    gone = ask(site, source="10.0.0.9")

    assert ["line2"] * 3 == [by_source.line, mapped.line, by_token.line]
    assert [None, None, None] == [late.line, forged.line, gone.line]


def test_a_green_answer_cannot_fail_for_capacity(site: Site) -> None:
    """What it promised is kept for it, though the pool is full for everyone else."""
    promised = ask(site, line="line1", offerings=("home-500",))
    others = [ask(site, site=f"site{n}", offerings=("home-500",)) for n in range(2, 8)]
    colors = [one.answers[0].color for one in others]
    late = ask(site, line="line4", offerings=("home-500",))
    order = site.place(body(qualificationId=promised.id))

    # Five of the eight addresses are subscribers', six of the ports are there.
    assert 5 == 1 + colors.count(Color.GREEN)
    assert State.ACKNOWLEDGED == order.state
    assert "ordered" == state_of(site, promised.id)
    assert late.answers[0].color in (Color.GREEN, Color.RED)
    assert 5 == holds(site)["addresses:aurora/harbour"]


def test_an_answer_that_is_over_holds_nothing(site: Site) -> None:
    """After two hours ports and addresses are free again."""
    green = ask(site, site="site7", offerings=("home-500",))
    before = holds(site)
    site.now += GREEN_SECONDS
    with site.transaction() as transaction:
        count = life.expire(transaction)

    assert {"addresses:aurora/harbour": 1, "node:olt1": 1} == before
    assert 1 == count
    assert {} == holds(site)
    assert "expired" == state_of(site, green.id)


def test_asking_again_does_not_hold_twice(site: Site) -> None:
    """A newer answer of the same ISP for the same place takes the older one's place."""
    first = ask(site, line="line1")
    ask(site, line="line1")

    assert {"addresses:aurora/harbour": 1} == holds(site)
    assert "superseded" == state_of(site, first.id)
    with site.database.read.connect() as connection:
        assert 1 == len(connection.execute(select(hold)).all())


def test_an_order_for_the_place_ends_the_answers_of_others(site: Site) -> None:
    """Borealis was told green; Aurora's order comes first."""
    told = ask(site, BOREALIS, line="line1")
    site.place(body())
    with site.transaction() as transaction:
        found = life.find(transaction, told.id, BOREALIS)

    assert found is not None
    assert "invalidated" == found[1]


def test_an_order_with_an_answer_that_is_over_is_qualified_again(site: Site) -> None:
    """Not an error but a note, as long as it can still be had."""
    old = ask(site, line="line1")
    site.now += GREEN_SECONDS + 1
    with site.transaction() as transaction:
        life.expire(transaction)
    order = site.place(body(qualificationId=old.id))

    assert ["qualified again: expired"] == [one["name"] for one in order.milestones]


def test_what_cannot_be_had_says_why_and_what_could(site: Site) -> None:
    """Reasons with codes; another ISP on the line is not named."""
    site.active()
    own = ask(site, line="line1", offerings=("home-500",)).answers[0]
    change = ask(site, BOREALIS, line="line1").answers[0]

    assert ["own_service"] == [one.code for one in own.reasons]
    assert (Result.QUALIFIED, True) == (change.result, change.change_of_isp)
    assert "aurora" not in repr(change)


def test_isps_are_listed_in_an_order_that_its_seed_proves(site: Site) -> None:
    """Neutral: each comes first for about half of the seeds, the same for the same."""
    first = [ask(site, isp=None, line="line1", seed=str(n)).isps[0] for n in range(40)]
    again = ask(site, isp=None, line="line1", seed="0")

    assert {"aurora", "borealis"} == set(first)
    assert 10 < first.count("aurora") < 30
    assert (first[0], "0") == (again.isps[0], again.seed)
    assert {} == holds(site)


def test_a_lead_is_kept_for_its_isp_alone(site: Site) -> None:
    """To be called back when it can be had."""
    with site.transaction() as transaction:
        refusal = leads.leave_lead(
            transaction, AURORA, "L1", contact="555-1", wanted="fibre at 77 Elm Road"
        )
        mine = leads.leads(transaction, AURORA)
        theirs = leads.leads(transaction, BOREALIS)
        closed = [
            leads.close_lead(transaction, who, "L1") for who in (BOREALIS, AURORA)
        ]

    assert refusal is None
    assert ["555-1"] == [one["contact"] for one in mine]
    assert [] == theirs
    assert [False, True] == closed


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "place_missing"),
        ({"line": "line1", "site": "site1"}, "place_ambiguous"),
        ({"line": "line1", "isp": "nobody"}, "unknown_isp"),
        (
            {"line": "line1", "isp": "aurora", "offerings": ("polar-100",)},
            "unknown_offering",
        ),
        ({"address": "x" * 201}, "address_too_long"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    site: Site, asked: dict[str, Any], code: str
) -> None:
    """With a code, before anything is looked up."""
    assert code == refused(site, asked)


def test_an_isp_cannot_hold_more_than_it_may(site: Site) -> None:
    """What is over its bound is refused with a code; the same place again replaces its
    answer, another ISP is not touched, and what holds nothing is answered."""
    limit = {"name": "aurora", "realms": ["aurora.example"], "open_qualifications": 2}
    with site.transaction() as transaction:
        transaction.change(STAFF, [ObjectChange("isp", "aurora", limit, limit)])
    first = [ask(site, line=f"line{n}") for n in (1, 2, 2)]
    code = refused(site, {"isp": "aurora", "line": "line3"})
    other = ask(site, BOREALIS, line="line3")
    open_to_all = ask(site, line="line3", hold=False)
    site.now += GREEN_SECONDS + 1
    with site.transaction() as transaction:
        life.expire(transaction)
    later = ask(site, line="line3")

    assert "too_many_open_qualifications" == code
    assert [Color.GREEN] * 3 == [one.color for one in first]
    assert (Color.GREEN, Color.GREEN) == (other.color, open_to_all.color)
    assert Color.GREEN == later.color
