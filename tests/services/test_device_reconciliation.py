"""What devices acknowledged last, against what their services order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from provisioning_site import AURORA, BOREALIS, Site, about, body, change_of_isp
from sqlalchemy import insert

from provisioning.order_states import State
from provisioning.outcomes import Refused, Trouble
from provisioning.reconciliation import Drift, Finding
from provisioning.refusal import Refusal
from provisioning.task_graph import DEAD, Kind
from services import device_reports, order_steering
from services.reconciliation import report
from storage import network
from storage.outbox import events_since
from storage.provisioning_tables import device

SERVICE = "aurora-line1"
TARIFF = {
    "name": "films",
    "isp": "aurora",
    "currency": "EUR",
    "version": [{"valid_from": "2026-01-01", "fee": [{"amount": "44.50"}]}],
}
FILMS = {"offering": "home-films", "device": "ont-1"}


def change(site: Site, kind: str, of: str, **more: Any) -> None:
    """Change an object of the network past the orders, as a console can."""
    with site.database.write.begin() as connection:
        was = network.read_network(connection).get((kind, of))
        action = "add" if was is None else "modify"
        made = network.Change(action, kind, of, (was or {}) | more)
        network.apply(connection, [made], site.now)


def active(site: Site, **more: str) -> str:
    """Have a service, ordered and seen to work; give its order."""
    order = site.place(body(**more))
    site.run()
    site.connect("sub1@aurora.example")
    site.run(seconds=2)
    return order.id


def report_of(site: Site, body: dict[str, Any], line: str = "line1") -> list[Refusal]:
    """Let the device of a line report what it has, now."""
    with site.transaction() as transaction:
        return device_reports.take_up(transaction, "aurora", line, body)


def drift(site: Site) -> list[Finding]:
    """Give what the report says of devices."""
    with site.database.read.connect() as connection:
        found = report(connection, site.now)
    return [one for one in found if one.drift.startswith("device_")]


def modify(site: Site, offering: str | None = None, **said: str) -> str:
    """Order a change of the service, and let it be carried out; give its order."""
    more: dict[str, Any] = {
        "serviceCharacteristic": [{"name": n, "value": v} for n, v in said.items()]
    }
    if offering is not None:
        more["serviceSpecification"] = {"name": offering}
    order = site.place(about("A-2", "modify", SERVICE, **more))
    site.run()
    return order.id


def test_a_device_that_has_what_is_ordered_is_no_drift(site: Site) -> None:
    """Nor is one that nobody configures."""
    active(site, **FILMS)
    site.active("line2", "A-9")

    assert [] == drift(site)


def test_a_device_that_nobody_commanded_is_missing_in_money(site: Site) -> None:
    """The catalogue sells a device with it since; the month's fee is told."""
    active(site)
    change(site, "tariff", "films", **TARIFF)
    change(site, "offering", "home-500", device=True, tariff="films")

    wanted = Finding(
        Drift.DEVICE_MISSING, SERVICE, "aurora", "home-500", 44_500_000, "EUR"
    )
    assert [wanted] == drift(site)


def _other_offering(site: Site) -> None:
    change(site, "service", SERVICE, offering="home-500")


def _other_user(site: Site) -> None:
    change(site, "service", SERVICE, user_names=["new@aurora.example"])


def _other_line(site: Site) -> None:
    change(site, "service", SERVICE, line="line2")


def _other_device(site: Site) -> None:
    with site.database.write.begin() as connection:
        row = {"name": "ont-2", "line": "line1", "tenant": "aurora"}
        connection.execute(insert(device).values(row))


@pytest.mark.parametrize(
    "edit", [_other_offering, _other_user, _other_line, _other_device]
)
def test_a_device_with_another_configuration_than_ordered_is_told(
    site: Site, edit: Callable[[Site], None]
) -> None:
    """What was changed past the orders, the device has not heard of."""
    active(site, **FILMS)
    edit(site)

    assert [(Drift.DEVICE_OTHER, SERVICE)] == [one[:2] for one in drift(site)]


def test_a_device_that_the_inventory_knows_by_its_mac_is_the_same(site: Site) -> None:
    """Orders name a device as its ISP does."""
    active(site, offering="home-films", device="02:00:00:00:00:01")
    with site.database.write.begin() as connection:
        row = {"name": "ont-1", "mac": "02:00:00:00:00:01", "line": "line1"}
        connection.execute(insert(device).values(row | {"tenant": "network"}))

    assert [] == drift(site)


@pytest.mark.parametrize(
    ("offering", "said"),
    [
        ("home-500", {}),
        (None, {"userName": "new@aurora.example"}),
        (None, {"device": "ont-2"}),
        (None, {"customer": "C-9"}),
    ],
)
def test_a_change_that_is_ordered_reaches_the_device(
    site: Site, offering: str | None, said: dict[str, str]
) -> None:
    """Whatever of its configuration changes: the offering too when the new one brings
    no device, for the old one's speed is still on it."""
    active(site, **FILMS)
    modify(site, offering, **said)

    assert [] == drift(site)


def test_a_command_without_an_answer_is_unacknowledged_until_it_has_one(
    site: Site,
) -> None:
    """Not while its first answer may come; dead letters too, also of a service that is
    not there yet; a retry that is answered ends it."""
    site.parties.answers["device"] = Trouble("the device is offline")
    order = site.place(body(**FILMS))
    site.step()
    fresh = drift(site)
    site.now += 61
    late = drift(site)
    site.run(rounds=30, seconds=600)
    dead = drift(site)
    site.parties.answers.clear()
    with site.transaction() as transaction:
        order_steering.retry(transaction, AURORA, order.id)
    site.run()

    told = (Drift.DEVICE_UNACKNOWLEDGED, SERVICE, "aurora", "home-films")
    assert [] == fresh
    assert [told] == [one[:4] for one in late]
    assert [told] == [one[:4] for one in dead]
    assert [] == drift(site)


HAS = {
    "service": SERVICE,
    "offering": "home-films",
    "userName": "sub1@aurora.example",
    "device": "ont-1",
}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (HAS, []),
        ({"offering": "home-films"}, []),
        ({}, [Drift.DEVICE_MISSING]),
        (HAS | {"offering": "home-500"}, [Drift.DEVICE_OTHER]),
        (HAS | {"userName": "old@aurora.example"}, [Drift.DEVICE_OTHER]),
        (HAS | {"service": "aurora-line2"}, [Drift.DEVICE_OTHER]),
    ],
)
def test_what_a_device_reports_goes_before_what_it_acknowledged(
    site: Site, said: dict[str, Any], told: list[Drift]
) -> None:
    """It may have been reset, or swapped, or configured by somebody else since."""
    active(site, **FILMS)
    site.now += 60
    assert [] == report_of(site, said)

    assert told == [one.drift for one in drift(site)]


def test_a_report_is_over_when_the_device_was_told_something_since(site: Site) -> None:
    """What it acknowledges then is newer."""
    active(site, **FILMS)
    report_of(site, {})
    site.now += 60
    modify(site, device="ont-2")

    assert [] == drift(site)


def test_a_report_that_makes_no_sense_is_refused(site: Site) -> None:
    """And leaves nothing."""
    active(site, **FILMS)
    refused = [
        *report_of(site, {"service": 7}),
        *report_of(site, HAS, line="nowhere"),
    ]

    assert ["invalid_report", "unknown_line"] == [one.code for one in refused]
    assert [] == drift(site)


def test_a_delete_takes_the_configuration_off_the_device(site: Site) -> None:
    """Told once, when the service has ended; what is still on it then is told."""
    active(site, **FILMS)
    order = site.place(about("A-2", "delete", SERVICE))
    site.run()
    told = [key for name, key in site.parties.asked if name == "device-remove"]
    clean = drift(site)
    site.now += 60
    report_of(site, HAS)

    assert State.COMPLETED == site.order(order.id).state
    assert 1 == len(told)
    assert [] == clean
    assert [Drift.DEVICE_LEFT] == [one.drift for one in drift(site)]


def test_who_does_not_answer_keeps_nobody_s_account_open(site: Site) -> None:
    """A device that was unplugged, a BSP that is down: the service has ended and is not
    charged; the dead letters are a person's."""
    active(site, **FILMS)
    for name in ("device-remove", "bsp-remove"):
        site.parties.answers[name] = Trouble("no answer")
    order = site.place(about("A-2", "delete", SERVICE))
    site.run(rounds=30, seconds=600)

    dead = [t.kind for t in site.order(order.id).tasks.values() if t.state in DEAD]
    assert [Kind.BSP_REMOVE, Kind.DEVICE_REMOVE] == dead
    assert ("rating-close", SERVICE) in site.parties.asked
    assert {} == site.services()


def test_a_change_of_isp_takes_the_old_one_s_things_away(site: Site) -> None:
    """Its device and its BSP are told, each by the old ISP's name, when the new service
    is seen to work."""
    active(site, **FILMS)
    site.place(change_of_isp(), BOREALIS)
    site.run()
    before = len(site.parties.asked)
    site.connect("sub-line1@borealis.example", "100.64.16.2")
    calls = site.step(2).calls
    site.answer(calls)
    site.run()

    told = {(c.kind, c.tenant, c.party, c.body["service"]) for c in calls}
    assert {
        (Kind.BSP_REMOVE, "aurora", "filmhouse", SERVICE),
        (Kind.DEVICE_REMOVE, "aurora", "line1", SERVICE),
    } == told
    assert before < len(site.parties.asked)
    assert [] == drift(site)


def test_every_configured_device_is_asked_what_it_has(site: Site) -> None:
    """By an event that goes out over MQTT; others are left alone."""
    active(site, **FILMS)
    site.active("line2", "A-9")
    with site.transaction() as transaction:
        assert 1 == device_reports.ask_all(transaction)
        assert 0 == device_reports.ask_all(transaction, "borealis")
    with site.database.read.connect() as connection:
        events = [numbered.event for numbered in events_since(connection, 0, 1000)]

    asked = [e for e in events if e.type == device_reports.REQUEST_EVENT]
    assert [("aurora", "line1")] == [(e.tenant, e.subject) for e in asked]


def test_an_undo_that_is_acknowledged_leaves_what_was_before(site: Site) -> None:
    """A change that the BSP refused after the device took it is no drift; one whose
    undo nobody answered is."""
    active(site, **FILMS)
    change(site, "bsp", "gamehouse", name="gamehouse")
    games = {"components": [{"bsp": "gamehouse", "product": "basic"}]}
    change(
        site, "offering", "home-games", name="home-games", isp="aurora",
        down_kbps=500_000, up_kbps=100_000, device=True, **games,
    )  # fmt: skip
    site.parties.answers["bsp"] = Refused("no", "not this one")
    site.parties.answers["device-undo"] = Trouble("the device is offline")
    order_id = modify(site, "home-games", device="ont-1")
    site.run(rounds=30, seconds=600)
    unanswered = drift(site)
    site.parties.answers.clear()
    with site.transaction() as transaction:
        found = order_steering.retry(transaction, AURORA, order_id)
    site.run()

    assert 1 == found
    assert [Drift.DEVICE_UNACKNOWLEDGED] == [one.drift for one in unanswered]
    assert [] == drift(site)
