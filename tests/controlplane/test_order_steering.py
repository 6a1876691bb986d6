"""What a representative does with an order over REST: appointments, changes, dates
that move, and dead letters seen to by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from provisioning_site import about, body
from rest_site import RestSite

from provisioning.outcomes import Trouble
from services.principal import Role
from storage.database import Database

ORDERS = "/tmf-api/serviceOrdering/v4/serviceOrder"
STAFF = (Role.NETWORK_CSR, None)
BOREALIS = (Role.ISP_SYSTEM, "borealis")
CSR = (Role.ISP_CSR, "aurora")
DAY = 86_400


@pytest.fixture
def site(database: Database) -> Iterator[RestSite]:
    """The network with REST in front of it."""
    made = RestSite(database)
    with made.http:
        yield made


def at(site: RestSite, seconds: int) -> str:
    """A time so many seconds from now, as it is sent."""
    return datetime.fromtimestamp(site.now + seconds, UTC).isoformat()


def window(site: RestSite, start: int, end: int, what: str = "ring twice") -> Any:
    """An appointment between two moments from now."""
    span = {"startDateTime": at(site, start), "endDateTime": at(site, end)}
    return {"validFor": span, "description": what}


def appointed(site: RestSite, made: Any, **more: Any) -> dict[str, Any]:
    """An order whose item has an appointment."""
    sent = body(**more)
    sent["serviceOrderItem"][0]["appointment"] = made
    return sent


def codes(answer: Any) -> list[tuple[str, str]]:
    """The codes and places of a refusal."""
    return [(one["code"], one["pointer"]) for one in answer.json()["errors"]]


def test_an_appointment_is_made_moved_and_given_up(site: RestSite) -> None:
    """With the order, and as TMF646's resource; each is told to who listens."""
    made = appointed(site, window(site, DAY, DAY + 7200))
    placed = site.ask("POST", ORDERS, *CSR, json=made).json()
    shown = placed["serviceOrderItem"][0]["appointment"]
    later = window(site, 2 * DAY, 2 * DAY + 3600, "use the back door")
    moved = site.ask("PATCH", shown["href"], *CSR, json=later)
    again = site.ask("GET", shown["href"], *CSR).json()
    given_up = {"serviceOrderItem": [{"id": "1", "appointment": None}]}
    gone = site.ask("PATCH", f"{ORDERS}/{placed['id']}", *CSR, json=given_up).json()
    events = site.ask("GET", "/v1/events").json()

    assert "confirmed" == shown["status"]
    assert 200 == moved.status_code, moved.text
    assert "use the back door" == again["description"]
    assert again["validFor"] != shown["validFor"]
    assert "appointment" not in gone["serviceOrderItem"][0]
    assert 404 == site.ask("GET", shown["href"], *CSR).status_code
    changes = [e for e in events if "AttributeValueChange" in e["eventType"]]
    assert 2 == len(changes)


@pytest.mark.parametrize(
    ("made", "code", "where"),
    [
        ((-60, 60), "appointment_past", "/validFor/startDateTime"),
        ((DAY, DAY), "invalid_appointment", "/validFor"),
        ((DAY, DAY - 60), "invalid_appointment", "/validFor"),
        ((DAY, 3 * DAY), "invalid_appointment", "/validFor"),
        ((400 * DAY, 400 * DAY + 60), "appointment_too_far", "/validFor/startDateTime"),
        ("tomorrow", "invalid_appointment", ""),
        ({"validFor": {"startDateTime": "noon"}}, "invalid_appointment", ""),
        (
            {"validFor": {
                "startDateTime": "2026-12-01T12:00:00",
                "endDateTime": "2026-12-01T13:00:00",
            }},
            "invalid_appointment", "/validFor",
        ),
    ],
)  # fmt: skip
def test_an_appointment_that_makes_no_sense_is_refused(
    site: RestSite, made: Any, code: str, where: str
) -> None:
    """With its place in the order, and nothing is kept; the same when it is moved."""
    sent = window(site, *made) if isinstance(made, tuple) else made
    answer = site.ask("POST", ORDERS, *CSR, json=appointed(site, sent))
    good = appointed(site, window(site, 60, 120))
    placed = site.ask("POST", ORDERS, *CSR, json=good).json()
    change = {"serviceOrderItem": [{"id": "1", "appointment": sent}]}
    place = f"{ORDERS}/{placed['id']}"
    moved = site.ask("PATCH", place, *CSR, json=change)

    pointer = f"/serviceOrderItem/0/appointment{where}"
    assert (422, [(code, pointer)]) == (answer.status_code, codes(answer))
    assert (422, [(code, pointer)]) == (moved.status_code, codes(moved))
    kept = site.ask("GET", place).json()["serviceOrderItem"][0]["appointment"]
    assert kept == placed["serviceOrderItem"][0]["appointment"]


def test_an_order_begins_when_it_is_said_last(site: RestSite) -> None:
    """Put off and brought forward while it has not begun, and not after."""
    sent = body() | {"requestedStartDate": at(site, 30 * DAY)}
    place = f"{ORDERS}/{site.ask('POST', ORDERS, *CSR, json=sent).json()['id']}"

    def begins(seconds: int) -> int:
        said = {"requestedStartDate": at(site, seconds)}
        return int(site.ask("PATCH", place, *CSR, json=said).status_code)

    def state() -> str:
        return str(site.ask("GET", place).json()["state"])

    forward = begins(600)
    site.run(seconds=300)
    early = state()
    site.now += 300
    site.run()
    begun = state()
    late = begins(DAY)

    assert [200, 409] == [forward, late]
    assert ["pending", "inProgress"] == [early, begun]
    site.connect("sub1@aurora.example")
    site.run(seconds=2)
    assert "completed" == state()


def test_what_is_past_its_point_of_no_return_has_no_appointment_to_move(
    site: RestSite,
) -> None:
    """Nor has a stranger's order any; what else an order says cannot be changed."""
    site.active("line1")
    order = site.place(about("D-1", "delete", "aurora-line1"))
    site.run()
    place = f"{ORDERS}/{order.id}"
    change = {"serviceOrderItem": [{"id": "1", "appointment": window(site, 60, 120)}]}
    late = site.ask("PATCH", place, *CSR, json=change)
    foreign = site.ask("PATCH", place, *BOREALIS, json=change)
    other = site.ask("PATCH", place, *CSR, json={"externalId": "X"})
    empty = site.ask("PATCH", place, *CSR, json={})

    assert (409, "too_late") == (late.status_code, codes(late)[0][0])
    assert 404 == foreign.status_code
    assert (422, [("not_changeable", "/externalId")]) == (
        other.status_code,
        codes(other),
    )
    assert "nothing_to_change" == codes(empty)[0][0]


def test_a_dead_letter_is_seen_to_by_hand_and_the_order_goes_on(
    site: RestSite,
) -> None:
    """By the network's staff, with a reason that the change log keeps; nothing else can
    be forced, and an ISP forces nothing."""
    site.parties.answers["device"] = Trouble("the device is offline")
    sent = body(offering="home-films", device="ont-1")
    order_id = site.ask("POST", ORDERS, json=sent).json()["id"]
    tasks = f"/v1/orders/{order_id}/tasks"
    device = next(t for t in site.ask("GET", tasks).json() if t["kind"] == "device")
    place = f"{tasks}/{device['number']}/force"
    reason = {"reason": "configured on site"}
    alive = site.ask("POST", place, *STAFF, json=reason)
    site.run(rounds=9, seconds=200)
    mute = site.ask("POST", place, *STAFF, json={"reason": " "})
    isp = site.ask("POST", place, *CSR, json=reason)
    done = site.ask("POST", place, *STAFF, json=reason)
    site.run()
    site.connect("sub1@aurora.example")
    site.run(seconds=2)
    ended = site.ask("GET", f"{ORDERS}/{order_id}").json()["state"]
    (log,) = [
        row
        for row in site.ask("GET", "/v1/changes", params={"kind": "order"}).json()
        if row["reason"] == reason["reason"]
    ]

    assert (409, "not_forcible") == (alive.status_code, codes(alive)[0][0])
    assert (422, "reason_missing") == (mute.status_code, codes(mute)[0][0])
    assert 403 == isp.status_code
    assert 200 == done.status_code, done.text
    assert "completed" == ended
    assert {"forced": device["number"]} == log["after"]
