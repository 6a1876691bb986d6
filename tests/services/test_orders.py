"""Orders from the body to a service that works, the same on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from provisioning_site import (
    AURORA,
    BOREALIS,
    STAFF,
    START,
    Site,
    about,
    body,
    change_of_isp,
    on_connection,
)
from sqlalchemy import insert, select

from provisioning.line_token import issue
from provisioning.order_states import State
from provisioning.order_view import service_order
from provisioning.outcomes import Outcome, Refused, Trouble
from provisioning.task_graph import DEAD, Kind
from services import order_steering, orders
from services.actor import CLIENT_SOFTWARE, Actor
from services.adapters import LOCAL, Work
from services.order_manager import settle
from services.orders import Command, Placed
from services.provisioning import ObjectChange
from storage.columns import metadata
from storage.outbox import events_since
from storage.service_records import ServiceRecords
from storage.tables import session, write_check


def refusals(site: Site, sent: Any, actor: Actor = AURORA) -> list[tuple[str, str]]:
    """Place an order and give the codes and places of what is wrong with it."""
    with site.transaction() as transaction:
        placed = orders.place(
            transaction, actor, sent, keys=site.keys, new_id=site.new_id
        )
    told = placed.refusals if isinstance(placed, Placed) else placed
    return [(one.code, one.pointer) for one in told]


def test_an_order_becomes_active_when_accounting_tells_of_its_session(
    site: Site,
) -> None:
    """A command that was sent is not enough: the first packet completes the order."""
    order = site.place(body())
    site.run()
    waiting = site.order(order.id)
    service = site.services()["aurora-line1"]
    site.connect("sub1@aurora.example")
    site.run(seconds=2)
    done = site.order(order.id)

    assert State.IN_PROGRESS == waiting.state
    assert ["sub1@aurora.example"] == service["user_names"]
    assert "sealed:aurora:aurora-line1:drow-terc3s" == service["password_sealed"]
    assert State.COMPLETED == done.state
    assert ["provisioned", "active"] == [one["name"] for one in done.milestones]
    with site.database.read.connect() as connection:
        record = ServiceRecords(connection).find("aurora-line1")
    assert record is not None
    assert "active" == record["state"]


@pytest.mark.parametrize(("began", "state"), [(0, State.COMPLETED), (-900, None)])
def test_a_session_that_came_and_went_between_two_looks_was_there(
    site: Site, began: int, state: State | None
) -> None:
    """Start and Stop before anyone looked complete the order all the same; the Stop of
    one that began before the service was written proves nothing."""
    order = site.place(body())
    site.run()
    site.now += 1
    site.connect("sub1@aurora.example")
    with site.database.write.begin() as connection:
        over = {"state": "closed", "started_at": site.now + began}
        connection.execute(session.update().values(over))
    site.run(seconds=2)

    assert (state or State.IN_PROGRESS) == site.order(order.id).state


@pytest.mark.parametrize("address", ["10.0.0.7", "100.64.16.9"])
def test_a_session_outside_of_the_isp_s_pools_proves_nothing(
    site: Site, address: str
) -> None:
    """Neither the walled garden nor another ISP's address is the service at work."""
    order = site.place(body())
    site.run()
    site.connect("sub1@aurora.example", address)
    site.run(seconds=2)

    assert State.IN_PROGRESS == site.order(order.id).state


def test_a_lease_of_the_isp_s_pool_proves_a_service_without_user_name(
    site: Site,
) -> None:
    """On a line without PPPoE the lease is the first packet."""
    sent = body()
    sent["serviceOrderItem"][0]["service"]["serviceCharacteristic"] = []
    order = site.place(sent)
    site.run()
    site.lease("line1", "aurora-line1", "100.64.0.3")
    site.run(seconds=2)

    assert State.COMPLETED == site.order(order.id).state


@pytest.mark.parametrize(
    ("user", "service"), [("02-00-00-00-00-0A", None), (None, "aurora-line1")]
)
def test_an_ipoe_session_proves_its_service(
    site: Site, user: str | None, service: str | None
) -> None:
    """Its User-Name is the MAC address, however its NAS writes it; without any, its use
    was guided to the service."""
    sent = body()
    mac = {"name": "macAddress", "value": "02:00:00:00:00:0a"}
    sent["serviceOrderItem"][0]["service"]["serviceCharacteristic"] = [mac]
    order = site.place(sent)
    site.run()
    site.connect(user, service=service)
    site.run(seconds=2)

    assert State.COMPLETED == site.order(order.id).state


def test_the_same_body_again_is_the_same_order_on_every_channel(site: Site) -> None:
    """externalId is the key: nothing is done twice, whoever carries it."""
    first = site.place(body())
    again = site.place(body(), AURORA._replace(channel="mqtt"))

    assert first.id == again.id
    assert 1 == len(site.orders())


def test_another_body_with_the_id_of_an_order_is_a_conflict(site: Site) -> None:
    """Also when only the password differs, which nobody can read there."""
    site.place(body())
    other = body(password="another-word")

    assert [("external_id_conflict", "/externalId")] == refusals(site, other)


def test_the_password_is_nowhere_in_clear(site: Site) -> None:
    """Not in the order, its items, the change log or the outbox."""
    site.active()
    with site.database.read.connect() as connection:
        found = [
            table.name
            for table in metadata.sorted_tables
            for row in connection.execute(select(table))
            if "s3cret-word" in str(row)
        ]

    assert [] == found


ITEM = "/serviceOrderItem/0"
SAID = f"{ITEM}/service/serviceCharacteristic"
WRONG: dict[str, tuple[Any, str, str]] = {
    "no items": (
        {"externalId": "x", "serviceOrderItem": []},
        "invalid_body",
        "/serviceOrderItem",
    ),
    "no id": ({"serviceOrderItem": [{}]}, "invalid_body", ITEM),
    "offering": (
        body(offering="polar-100"),
        "unknown_offering",
        f"{ITEM}/service/serviceSpecification/name",
    ),
    "line": (body(line="nowhere"), "unknown_place", f"{ITEM}/service/place"),
    "realm": (body(user="x@borealis.example"), "foreign_realm", SAID),
    "value": (body(colour="red"), "unknown_characteristic", f"{SAID}/2/name"),
    "service": (
        about("x", "delete", "nothing"),
        "unknown_service",
        f"{ITEM}/service/id",
    ),
    "date": (
        {**body(), "requestedStartDate": "soon"},
        "invalid_time",
        "/requestedStartDate",
    ),
}


@pytest.mark.parametrize(("sent", "code", "pointer"), WRONG.values(), ids=WRONG)
def test_a_refusal_says_what_and_where(
    site: Site, sent: Any, code: str, pointer: str
) -> None:
    """A stable code and a JSON pointer to the place."""
    assert (code, pointer) in refusals(site, sent)


def test_a_refused_order_says_what_was_right_and_what_nobody_looked_at(
    site: Site,
) -> None:
    """rejected, rejected.validated and rejected.unassessed; nothing is done."""
    sent = body()
    items = sent["serviceOrderItem"]
    items.append(body(line="nowhere", user="b@aurora.example")["serviceOrderItem"][0])
    items.append(body(line="line2", user="c@aurora.example")["serviceOrderItem"][0])
    for number, item in enumerate(items):
        item["id"] = str(number + 1)
    relation = {"relationshipType": "reliesOn", "orderItem": {"itemId": "2"}}
    items[2]["serviceOrderItemRelationship"] = [relation]
    order = site.place(sent)
    site.run()
    states = [item["state"] for item in service_order(order)["serviceOrderItem"]]

    assert ["rejected.validated", "rejected", "rejected.unassessed"] == states
    assert {} == site.services()


def test_another_isp_s_order_is_not_there(site: Site) -> None:
    """Found, cancelled, retried, listed: for a stranger it does not exist."""
    order = site.place(body())
    with site.transaction() as transaction:
        found = orders.find(transaction, BOREALIS, order.id)
        cancelled = order_steering.cancel(
            transaction, BOREALIS, order.id, reason="", new_id=site.new_id
        )
        retried = order_steering.retry(transaction, BOREALIS, order.id)

    assert [None, None, None] == [found, cancelled, retried]
    assert [] == site.orders(BOREALIS)


def test_a_cancel_before_the_point_of_no_return_leaves_nothing(site: Site) -> None:
    """What was done is undone: the service, its record and its holds."""
    order = site.place(body())
    site.run()
    with site.transaction() as transaction:
        task = order_steering.cancel(
            transaction, AURORA, order.id, reason="changed my mind", new_id=site.new_id
        )
    site.run()

    assert task is not None
    assert "inProgress" == task["state"]
    assert State.CANCELLED == site.order(order.id).state
    assert {} == site.services()
    assert ("rating-close", "aurora-line1") in site.parties.asked


def test_a_cancel_after_the_point_of_no_return_is_refused(site: Site) -> None:
    """TMF641's cancel task ends with an error and says why."""
    order = site.active()
    with site.transaction() as transaction:
        task = order_steering.cancel(
            transaction, AURORA, order.id, reason="late", new_id=site.new_id
        )

    assert task is not None
    assert ("terminatedWithError", "the order is completed already") == (
        task["state"],
        task["message"],
    )


def test_an_order_for_a_later_day_waits_for_it(site: Site) -> None:
    """requestedStartDate: pending until then."""
    order = site.place({**body(), "requestedStartDate": "2030-01-01T00:00:00Z"})
    site.run()
    before = site.order(order.id).state
    site.now = 1_893_456_000
    site.run()

    assert State.PENDING == before
    assert State.IN_PROGRESS == site.order(order.id).state


def test_a_held_order_is_a_draft_until_it_is_released(site: Site) -> None:
    """A representative saves it, and goes on with it the next day."""
    order = site.place(body(), held=True)
    site.run()
    held = site.order(order.id).state
    with site.transaction() as transaction:
        order_steering.release(transaction, AURORA, order.id)
    site.run()

    assert State.HELD == held
    assert State.IN_PROGRESS == site.order(order.id).state


def test_the_old_isp_s_service_stays_until_the_new_one_is_seen(site: Site) -> None:
    """Make before break: at no moment is the line without a service."""
    site.active()
    order = site.place(change_of_isp(), BOREALIS)
    site.run()
    both = sorted(site.services())
    site.connect("sub-line1@borealis.example", "100.64.16.2")
    site.run(seconds=2)
    done = site.order(order.id, BOREALIS)
    left = site.services()

    assert ["aurora-line1", "borealis-line1"] == both
    assert State.COMPLETED == done.state
    assert ["borealis-line1"] == sorted(left)
    assert "replaces" not in left["borealis-line1"]
    with site.database.read.connect() as connection:
        told = [e.event for e in events_since(connection, 0, 100, "aurora")]
    assert ("ServiceStateChangeEvent", "aurora-line1") in [
        (event.type, event.subject) for event in told
    ]
    assert "borealis" not in str([event.body for event in told])


def test_a_change_of_isp_that_fails_leaves_the_old_service_as_it_was(
    site: Site,
) -> None:
    """The new ISP's subscriber never comes: rolled back, the old one never noticed."""
    site.active()
    before = site.services()
    order = site.place(change_of_isp(), BOREALIS)
    site.run()
    site.run(rounds=5, seconds=15 * 86_400)
    failed = site.order(order.id, BOREALIS)

    assert State.FAILED == failed.state
    assert "timeout" == failed.errors[0]["code"]
    assert before == site.services()


def test_staff_order_on_behalf_of_an_isp_which_is_told(site: Site) -> None:
    """The same order, with a notice to the ISP and a line in the change log."""
    order = site.place(body(), STAFF)
    with site.database.read.connect() as connection:
        told = events_since(connection, 0, 10, "aurora")

    assert "aurora" == order.tenant
    assert [("aurora", "clara")] == [
        (e.event.body["onBehalfOf"], e.event.body["orderedBy"]) for e in told
    ]


def test_a_modified_service_is_what_it_was_with_what_was_said(site: Site) -> None:
    """Modify changes the offering and keeps the rest; sessions are let go."""
    site.active()
    before = site.services()["aurora-line1"]
    order = site.place(
        about(
            "A-2",
            "modify",
            "aurora-line1",
            serviceCharacteristic=[{"name": "customer", "value": "C-9"}],
        )
    )
    site.run()

    assert State.COMPLETED == site.order(order.id).state
    assert before | {"customer": "C-9"} == site.services()["aurora-line1"]


def test_a_deleted_service_is_gone_and_its_account_closed(site: Site) -> None:
    """Delete takes the service away, lets its sessions go and closes its account."""
    site.active()
    order = site.place(about("A-3", "delete", "aurora-line1"))
    site.run()

    assert State.COMPLETED == site.order(order.id).state
    assert {} == site.services()
    assert ("rating-close", "aurora-line1") in site.parties.asked


def test_two_orders_for_one_line_do_not_race(site: Site) -> None:
    """The second is refused while the first is open."""
    site.place(body())
    other = change_of_isp()
    with site.transaction() as transaction:
        placed = orders.place(
            transaction, BOREALIS, other, keys=site.keys, new_id=site.new_id
        )

    assert isinstance(placed, Placed)
    assert ["line_has_open_order"] == [one.code for one in placed.refusals]


def test_orders_of_one_transaction_see_one_another(site: Site) -> None:
    """The same line by its name, its site and a token; the same id twice: one order."""
    by_site, by_token = (body(f"A-{n}", user=f"sub{n}@aurora.example") for n in (2, 3))
    token = issue("line1", site.now, site.keys.token_key)
    for sent, place in (
        (by_site, {"role": "site", "name": "site1"}),
        (by_token, {"role": "connection", "name": token}),
    ):
        sent["serviceOrderItem"][0]["service"]["place"] = [place]
    commands = [Command(AURORA, one) for one in (body(), by_site, by_token, body())]
    with site.transaction() as transaction:
        placed = orders.place_all(
            transaction, commands, keys=site.keys, new_id=site.new_id
        )
    taken = [one for one in placed if isinstance(one, Placed)]

    assert [True, True, True, False] == [one.is_new for one in taken]
    assert [[], ["line_has_open_order"], ["line_has_open_order"], []] == [
        [refusal.code for refusal in one.refusals] for one in taken
    ]


FILMS = {"offering": "home-films", "device": "ont-1"}


@pytest.mark.parametrize("name", ["device", "bsp", "rating-open"])
def test_a_party_that_refuses_fails_the_order_and_all_is_undone(
    site: Site, name: str
) -> None:
    """Whoever says no: what the others did is taken back, and the reason is told."""
    site.parties.answers[name] = Refused("no", "not this one")
    order = site.place(body(**FILMS))
    site.run()
    failed = site.order(order.id)

    assert State.FAILED == failed.state
    assert ("no", "not this one") == (
        failed.errors[0]["code"],
        failed.errors[0]["reason"],
    )
    assert {} == site.services()


@pytest.mark.parametrize("name", ["device", "bsp", "rating-open", "coa"])
def test_a_party_in_trouble_ends_among_the_dead_letters_and_can_be_retried(
    site: Site, name: str
) -> None:
    """After its attempts the task is dead with its reason; a person sends it on."""
    site.parties.answers[name] = (
        RuntimeError("a bug") if name == "coa" else Trouble("no answer")
    )
    order = site.place(body(**FILMS))
    site.run(rounds=30, seconds=600)
    dead = site.order(order.id)
    reasons = {t.kind.value: t.reason for t in dead.tasks.values() if t.state == "dead"}
    del site.parties.answers[name]
    with site.transaction() as transaction:
        count = order_steering.retry(transaction, AURORA, order.id)
    site.run(rounds=30, seconds=600)
    site.connect("sub1@aurora.example")
    site.run(seconds=600)

    wanted = "internal error: RuntimeError" if name == "coa" else "no answer"
    assert {name: wanted} == reasons
    assert [f"{name} dead"] == [alert["name"] for alert in dead.alerts]
    assert 1 == count
    assert State.COMPLETED == site.order(order.id).state


def test_a_lost_answer_is_asked_for_again_under_the_same_key(site: Site) -> None:
    """A crash after the call and before its answer: the party hears the same key."""
    order = site.place(body(**FILMS))
    first = site.step().calls
    second = site.step(seconds=61).calls
    site.answer(second)
    late = first[0]
    with site.transaction() as transaction:
        taken = settle(transaction, late, Refused("late", "late"), lambda: 0.5)
    site.run()
    site.connect("sub1@aurora.example")
    site.run(seconds=2)

    assert [call.key for call in first] == [call.key for call in second]
    assert not taken
    assert State.COMPLETED == site.order(order.id).state


def test_a_site_without_a_line_waits_until_the_line_is_built(site: Site) -> None:
    """The port is kept for it; when the line is there the order goes on by itself."""
    sent = body()
    place = [{"role": "site", "name": "site7"}]
    sent["serviceOrderItem"][0]["service"]["place"] = place
    order = site.place(sent)
    site.run()
    line = {"name": "line7", "area": "harbour", "node": "olt1", "site": "site7"}
    with site.transaction() as transaction:
        transaction.change(STAFF, [ObjectChange("line", "line7", None, line)])
    site.run(seconds=3600)
    site.connect("sub1@aurora.example")
    site.run(seconds=600)

    assert State.COMPLETED == site.order(order.id).state
    assert ["line7"] == [one["line"] for one in site.services().values()]


def test_a_line_that_is_late_raises_an_alert_once(site: Site) -> None:
    """After a month of the quarter in which lines are built, its ISP is told."""
    sent = body()
    place = [{"role": "site", "name": "site7"}]
    sent["serviceOrderItem"][0]["service"]["place"] = place
    order = site.place(sent)
    site.run()
    site.step(29 * 86_400)
    early = site.order(order.id).alerts
    for _ in range(3):
        site.step(2 * 86_400)

    assert [] == early
    assert [("line pending", order.id)] == late(site)
    (alert,) = site.order(order.id).alerts
    assert "the line is not built yet" == alert["message"]


def test_a_subscriber_who_is_late_raises_an_alert_once(site: Site) -> None:
    """After a day of two weeks; the order goes on waiting, and ends well."""
    order = site.place(body())
    site.run()
    site.step(80_000)
    early = late(site)
    for _ in range(3):
        site.step(10_000)
    told = late(site)
    site.connect("sub1@aurora.example")
    site.run(seconds=600)

    assert [] == early
    assert [("proof pending", order.id)] == told
    assert State.COMPLETED == site.order(order.id).state


def late(site: Site) -> list[tuple[str, str]]:
    """Give the alerts that ISPs were told: what, and of which order."""
    with site.database.read.connect() as connection:
        events = [numbered.event for numbered in events_since(connection, 0, 1000)]
    alerts = [e for e in events if e.type == "ServiceOrderJeopardyEvent"]
    return [(event.body["alert"]["name"], event.subject) for event in alerts]


def test_what_the_database_refuses_for_good_stops_one_order_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no database that is away: the order is a dead letter, and others go on."""

    def twice(work: Work) -> Outcome:
        if work.wanted.line == "line1":
            for _ in range(2):
                row = {"id": 7, "checks": 0}
                work.transaction.connection.execute(insert(write_check), row)
        return LOCAL[Kind.COA][0](work)

    monkeypatch.setitem(LOCAL, Kind.RATING_OPEN, (twice, None))
    bad = site.place(body())
    good = site.place(body("A-2", line="line2", user="sub2@aurora.example"))
    site.run()
    dead = [t.reason for t in site.order(bad.id).tasks.values() if t.state in DEAD]
    site.connect("sub2@aurora.example")
    site.run(seconds=2)

    assert ["internal error: IntegrityError"] == dead
    assert State.COMPLETED == site.order(good.id).state


CHANNELS = (
    AURORA,
    AURORA._replace(name="client", channel="client_software"),
    AURORA._replace(name="anna", channel="console"),
    STAFF,
)


def test_client_software_adds_services_on_its_own_connection_and_no_more(
    site: Site,
) -> None:
    """All programs of a kind have one credential: whoever has one could give up any
    service, or order on any line, if more were taken."""
    site.active("line1")
    client = AURORA._replace(name="client", channel=CLIENT_SOFTWARE)
    codes = []
    for sent in (
        about("C-1", "delete", "aurora-line1"),
        about("C-2", "modify", "aurora-line1"),
        body("C-3", line="line2"),
    ):
        with site.transaction() as transaction:
            no = orders.place(
                transaction, client, sent, keys=site.keys, new_id=site.new_id
            )
        assert isinstance(no, list)
        codes += [(one.code, one.pointer) for one in no]

    item = "/serviceOrderItem/0"
    assert [
        ("action_not_allowed", f"{item}/action"),
        ("action_not_allowed", f"{item}/action"),
        ("place_not_proven", f"{item}/service/place"),
    ] == codes


def test_the_four_channels_leave_the_same_state(site: Site) -> None:
    """ISP's web systems, client software, its representative, the network's."""
    states = []
    for number, actor in enumerate(CHANNELS, start=1):
        line, user = f"line{number}", f"sub-line{number}@aurora.example"
        sent = body(f"A-{number}", line=line, user=user)
        if actor.channel == CLIENT_SOFTWARE:
            token = issue(line, site.now, site.keys.token_key)
            sent = on_connection(sent, token)
        order = site.place(sent, actor)
        site.run()
        site.connect(user)
        site.run(seconds=2)
        shown = service_order(site.order(order.id))
        told = {key: shown[key] for key in ("state", "serviceOrderItem")}
        service = site.services()[f"aurora-{line}"]
        same = str((told, service)).replace(line, "LINE").replace(f"{number}@", "@")
        states.append(same)

    assert START < site.now
    assert 1 == len(set(states)), states
