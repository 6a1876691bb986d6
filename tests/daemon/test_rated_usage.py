"""Held against the ledger with a network that has services and tariffs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from rated_site import GB, KEY, NETWORK, NOON, Site, interim
from sqlalchemy import insert, select

from config.network import bodies
from config.schema import AccountingSettings
from config.settlement import Tax
from config.tariffs import Tariff
from daemon.ledger import Ledger
from daemon.usage_files import read_usage
from radius import class_token
from radius.packet import attribute
from rating.entry import Source
from rating.quota import Action, Effect, Kind
from rating.simulation import simulate
from services.periods import close_months, levy_month
from services.rerated_usage import own_service
from services.rerating import RolledUpError, dry_run
from services.rerating import apply as rerate
from storage.balances import reject_unrated
from storage.database import Database
from storage.entry_queries import EntryFilter, list_entries
from storage.lease_tables import lease_history
from storage.network import Change, apply
from storage.quota_events import acted, quota_events_since
from storage.rating_tables import quota_event
from storage.rollup import roll_up
from storage.tables import usage as usages
from storage.usage_queries import Filter, list_usage
from storage.usage_states import recycle_rejected


def without(network: Any, *kinds: str) -> Any:
    """Give the network without some tables."""
    return dataclasses_replace(network, **dict.fromkeys(kinds, ()))


def dataclasses_replace(network: Any, **changes: Any) -> Any:
    """Give a network with some tables replaced."""
    objects = {
        kind: getattr(network, kind)
        for kind in network.__struct_fields__
        if kind not in changes
    }
    return type(network)(**objects, **changes)


def difference(site: Site) -> Iterable[Any]:
    """Say how a rerating would differ."""
    return dry_run(site.database, site.network, own_service, "2026-11").differences()


def test_use_is_guided_and_rated_twice_as_it_is_written(database: Database) -> None:
    """The subscriber owes its ISP, the ISP the Network Provider, and legs sum to 0."""
    site = Site(database)
    site.use(500, 510)
    micro = 1_000_000
    assert {
        ("aurora", "aurora-101", 0, -5 * micro, 0, 5 * micro, 0),
        ("aurora", "aurora-101", -micro, micro - micro // 10, 0, micro // 10, 0),
    } == set(site.entries())
    assert ("aurora-101", "user_name", "aurora", {"aurora"}) == site.session()
    assert [] == site.waiting()
    assert [] == difference(site)


def test_money_does_not_depend_on_batches_or_restarts(database: Database) -> None:
    """A ledger that starts anew before each report books the same (law 2)."""
    site = Site(database)
    for step, total in enumerate((100, 300, 505, 506, 530), start=1):
        site.ledger = Ledger(database, AccountingSettings(), KEY)
        site.ledger.know(bodies(NETWORK))
        site.report(interim(step, total * GB))
    retail, wholesale = (sum(e[place] for e in site.entries()) for place in (2, 5))
    assert (-3_000_000, 5_300_000) == (retail, wholesale)
    assert [] == difference(site)


def test_a_simulation_of_the_usage_that_is_listed_costs_what_was_booked(
    database: Database,
) -> None:
    """Two sessions into the night, one of them corrected by a late report: what
    `fairlane usage --json` prints costs by both tariffs what the ledger has."""
    site = Site(database)
    site.use(300, 500, 520, 900)
    for step, total in ((30, 0), (62, 60 * GB), (61, 59 * GB), (72, 200 * GB)):
        site.report(interim(step, total, session="S-2"))
    with database.read.connect() as connection:
        listed = [
            msgspec.json.encode(u).decode() for u in list_usage(connection, Filter())
        ]
    booked = [sum(entry[place] for entry in site.entries()) for place in (2, 5)]
    simulated = []
    for name in ("aurora-home", "open-access"):
        (tariff,) = (t for t in site.network.tariff if t.name == name)
        rates = {rate.name for version in tariff.version for rate in version.rate}
        bill = simulate(tariff, read_usage(listed))
        simulated.append(sum(li.amount for li in bill.lines if li.element in rates))
    assert [-booked[0], booked[1]] == simulated
    assert min(simulated) > 0


def test_a_class_of_ours_goes_before_the_user_name(database: Database) -> None:
    """What was authorised is charged, whatever the NAS calls the user."""
    site = Site(database)
    token = class_token.issue(KEY, bytes(8), NOON, b"borealis-102")
    site.use(1, raw=attribute(25, token))
    assert ("borealis-102", "class", "borealis", {"borealis"}) == site.session()


def test_a_class_that_is_not_ours_names_nothing(database: Database) -> None:
    """Who does not have the key cannot have use charged to another."""
    site = Site(database)
    token = class_token.issue(bytes(31) + b"x", bytes(8), NOON, b"borealis-102")
    site.use(1, raw=attribute(25, token))
    assert ("aurora-101", "user_name", "aurora", {"aurora"}) == site.session()


def test_use_is_guided_by_circuit(database: Database) -> None:
    """A line with one service needs no user name."""
    site = Site(database)
    site.use(1, user_name="02-00-00-00-00-01", nas_port_id="ge-0/0/1:101")
    assert ("aurora-101", "circuit", "aurora", {"aurora"}) == site.session()


def test_use_is_guided_by_the_lease_of_then(database: Database) -> None:
    """An address is the line's that had it at that time, not the one that has it."""
    with database.write.begin() as connection:
        common = {
            "address": int.from_bytes(bytes([100, 64, 0, 9])),
            "pool": "aurora-harbour",
            "owner": "aurora",
            "hardware": b"",
            "client_id": b"",
            "agent": b"",
            "end_reason": "expired",
        }
        for line, start in (("harbour-102", NOON - 900), ("harbour-101", NOON - 60)):
            row = {"line": line, "started_at": start, "ended_at": start + 800}
            connection.execute(insert(lease_history).values(**common, **row))
    site = Site(database)
    site.use(1, user_name="nobody", framed_ip_address="100.64.0.9")
    assert ("aurora-101", "lease", "aurora", {"aurora"}) == site.session()


def test_use_without_a_service_is_kept_and_rated_when_there_is_one(
    database: Database,
) -> None:
    """An order may come after its first use: nothing is lost, nothing counts twice."""
    site = Site(database, without(NETWORK, "service"))
    site.use(10, 20)
    assert [(None, "received", "nothing_known")] * 2 == site.waiting()
    assert [] == site.entries()
    site.apply_network(NETWORK)
    site.report(interim(3, 30 * GB))  # its session is guided before the round
    assert 1 == len(site.entries())
    assert None is site.ledger.recycle(NOON + 60, 0, 10)
    assert [] == site.waiting()
    assert 300_000 == sum(e[5] for e in site.entries())
    assert ("aurora-101", "user_name", "aurora", {"aurora"}) == site.session()
    assert None is site.ledger.recycle(NOON + 60, 0, 10)
    assert 3 == len(site.entries())
    assert [] == difference(site)


def test_use_from_before_a_tariff_waits_for_one(database: Database) -> None:
    """Money is never guessed: without a version in force there is no price."""
    late = tuple(
        type(t)(
            **{
                **{f: getattr(t, f) for f in t.__struct_fields__},
                "version": tuple(
                    type(v)(
                        **{
                            **{f: getattr(v, f) for f in v.__struct_fields__},
                            "valid_from": "2027-01-01",
                        }
                    )
                    for v in t.version
                ),
            }
        )
        for t in NETWORK.tariff
    )
    site = Site(database, dataclasses_replace(NETWORK, tariff=late))
    site.use(10)
    assert [("aurora-101", "guided", "no_version_in_force")] == site.waiting()
    site.apply_network(NETWORK)
    site.ledger.recycle(NOON + 60, 0, 10)
    assert ([], 1) == (site.waiting(), len(site.entries()))


def test_what_no_line_carries_is_kept_and_stops_no_other_use(
    database: Database,
) -> None:
    """A NAS whose counter went below zero shows nearly 2^60: a few of those are more
    than a total can hold, and all that comes behind them could not be rated."""
    site = Site(database)
    for number in range(20):
        site.report(interim(1, 2**60 - 1, session=f"broken-{number}"))
    site.use(1, 2)
    rejected = ("aurora-101", "rejected", "more_than_a_line_carries")
    assert ([rejected] * 20, 2) == (site.waiting(), len(site.entries()))
    site.ledger.recycle(NOON + 60, 0, 100)
    assert (20, 2) == (len(site.waiting()), len(site.entries()))
    assert [] == difference(site)


def test_thresholds_are_events_and_their_effect_is_looked_for(
    database: Database,
) -> None:
    """A quota that was carried out is confirmed, or not, by the next use."""
    site = Site(database)
    site.use(499, 501)
    with database.read.connect() as connection:
        events = quota_events_since(connection, 0, 10)
    last = events[-1]
    assert (Kind.EXHAUSTED, Action.THROTTLE, "aurora-101") == (
        last.event.kind,
        last.event.action,
        last.event.service,
    )
    with database.write.begin() as connection:
        acted(connection, last.number, NOON + 1199)
    site.ledger.follow_quotas()
    site.report(interim(3, 511 * GB))  # 10 GB in ten minutes are not 20 Mbit/s
    with database.read.connect() as connection:
        effects = connection.execute(
            select(quota_event.c.number, quota_event.c.effect).where(
                quota_event.c.effect.is_not(None)
            )
        ).all()
    assert [(last.number, Effect.FAILED)] == [tuple(row) for row in effects]


def test_estimated_use_stays_marked(database: Database) -> None:
    """What is derived is rated, and its record still says what it is (law 9)."""
    site = Site(database)
    site.use(3)
    site.report(interim(2, 1 * GB))  # the counter fell: a wrap or a reset
    with database.read.connect() as connection:
        derived = set(connection.scalars(select(usages.c.derived)))
    assert {"reported"} < derived
    assert [] == difference(site)


def test_a_service_that_ended_pays_for_its_last_use(database: Database) -> None:
    """The Stop comes when the service is gone: it is rated as it was."""
    site = Site(database)
    objects = bodies(NETWORK)
    service = Change("add", "service", "aurora-101", objects["service", "aurora-101"])
    with database.write.begin() as connection:
        apply(connection, [service], NOON)
        apply(connection, [Change("delete", "service", "aurora-101", None)], NOON)
    site.use(1)
    site.apply_network(without(NETWORK, "service"))
    site.report(interim(2, 2 * GB))
    assert ([], 2) == (site.waiting(), len(site.entries()))
    assert [] == difference(site)


def offered(network: Any, offering: str) -> Any:
    """Give the network with another offering for aurora-101."""
    services = tuple(
        msgspec.structs.replace(row, offering=offering)
        if row.name == "aurora-101"
        else row
        for row in network.service
    )
    return msgspec.structs.replace(network, service=services)


def test_a_running_ledger_goes_on_from_what_a_rerating_wrote(
    database: Database,
) -> None:
    """A month is rated again by the offering that it should have had, while the ledger
    has that balance in memory: late use goes on from all that was used."""
    site = Site(database, offered(NETWORK, "start-500"))
    site.use(400, 499)
    site.apply_network(NETWORK)
    site.report(interim(3, 501 * GB))  # within the allowance that begins here
    rerate(database, site.network, own_service, "2026-11", NOON)
    site.report(interim(4, 511 * GB))
    site.use(1, session="S-2", user_name="sub102@borealis.example")  # a balance begins
    assert [] == difference(site)
    retail = -sum(entry[2] for entry in site.entries())
    assert 11 * 100_000 == retail


def test_a_rerating_goes_by_the_offering_that_a_service_had_then(
    database: Database,
) -> None:
    """Who orders another offering, and goes back, has paid by each what was used then;
    what its offering of then costs is asked of the network as it is now."""
    site = Site(database, offered(NETWORK, "start-500"))
    changes = (
        (NOON - 86_400, "add", "start-500", 10),  # 5 GB are included
        (NOON + 700, "modify", "home-500", 20),
        (NOON + 1300, "modify", "start-500", 22),
    )
    for step, (at, action, offering, gigabytes) in enumerate(changes, start=1):
        network = offered(NETWORK, offering)
        body = bodies(network)["service", "aurora-101"]
        with database.write.begin() as connection:
            apply(connection, [Change(action, "service", "aurora-101", body)], at)
        site.apply_network(network)
        site.report(interim(step, gigabytes * GB))
    retail = -sum(entry[2] for entry in site.entries())
    assert 7 * 500_000 == retail
    assert [] == difference(site)
    dear = repriced(site.network, "0.50", "0.70")
    # Two entries of the first record and one of the last, each reversed and made anew.
    assert 6 == rerate(database, dear, own_service, "2026-11", NOON)
    assert 7 * 700_000 == -sum(entry[2] for entry in site.entries())
    assert {"aurora-101"} == {entry[1] for entry in site.entries()}


def test_usage_that_was_rolled_up_keeps_its_price(database: Database) -> None:
    """A record made of many has entries that nobody could find to reverse."""
    site = Site(database, offered(NETWORK, "start-500"))
    site.use(10, 11, 12)
    before = site.entries()
    assert not roll_up(database, NOON + 2 * 86_400)
    dear = repriced(site.network, "0.50", "0.70")
    for rate in (
        lambda: rerate(database, dear, own_service, "2026-11", NOON),
        lambda: dry_run(database, dear, own_service, "2026-11"),
    ):
        with pytest.raises(RolledUpError, match="rolled up"):
            rate()
    assert before == site.entries()


def repriced(network: Any, before: str, after: str) -> Any:
    """Give the network with another price in its tariffs."""
    text = msgspec.json.encode(network.tariff)
    old, new = (f'"price":"{price}"'.encode() for price in (before, after))
    tariffs = msgspec.json.decode(text.replace(old, new), type=tuple[Tariff, ...])
    return msgspec.structs.replace(network, tariff=tariffs)


MIDNIGHT = 72
"""The step at which the 26th of November begins in Stockholm."""

LESS_TAX = msgspec.structs.replace(
    NETWORK,
    tax=(
        *NETWORK.tax,
        Tax(name="less", percent="10", first_day="2026-11-26"),
    ),
)


def taxes(site: Site) -> dict[str, int]:
    """Levy November, and give what is owed in tax of each day, by who owes it."""
    levy_month(site.database, site.network, "2026-11", NOON)
    found: dict[str, int] = {}
    with site.database.read.connect() as connection:
        for entry, _ in list_entries(connection, EntryFilter(source=Source.PERIOD)):
            new = entry.posting.at >= NOON + 600 * MIDNIGHT
            key = f"{entry.book.tax_party} {'new' if new else 'old'}"
            found[key] = found.get(key, 0) + entry.posting.tax_amount
    return found


def test_use_over_the_midnight_of_a_new_tax_is_taxed_by_both(
    database: Database,
) -> None:
    """A record of 4 GB, a quarter of it before midnight, is an entry of each day; rated
    again at another price, each day's tax is that of its own part."""
    site = Site(database, LESS_TAX)
    site.received_at = NOON + 86_400
    site.report(interim(MIDNIGHT - 1, 500 * GB))
    site.report(interim(MIDNIGHT + 3, 504 * GB))
    night = 50_000
    assert [
        ("aurora", "aurora-101", -night, night, 0, 0, 0),
        ("aurora", "aurora-101", -3 * night, 3 * night, 0, 0, 0),
        ("aurora", "aurora-101", 0, -10_000, 0, 10_000, 0),
        ("aurora", "aurora-101", 0, -30_000, 0, 30_000, 0),
    ] == site.entries()[1:]
    assert [] == difference(site)
    whole = {"aurora old": 12_500, "network old": 1_252_500}
    assert whole | {"aurora new": 15_000, "network new": 3_000} == taxes(site)
    site.apply_network(repriced(LESS_TAX, "0.05", "0.10"))
    assert 8 == rerate(site.database, site.network, own_service, "2026-11", NOON)
    assert whole | {
        "aurora old": 25_000,
        "aurora new": 30_000,
        "network new": 3_000,
    } == (taxes(site))
    assert 0 == rerate(site.database, site.network, own_service, "2026-11", NOON)


def test_use_into_the_year_of_a_new_tax_is_of_the_month_in_which_it_began(
    database: Database,
) -> None:
    """It is booked there whole, and taxed by the rates of both years; so a month rated
    again differs in nothing."""
    tax = Tax(name="next", percent="10", first_day="2026-12-01")
    network = msgspec.structs.replace(NETWORK, tax=(*NETWORK.tax, tax))
    site = Site(database, network)
    site.received_at = NOON + 6 * 86_400
    last = MIDNIGHT + 5 * 144
    site.report(interim(last - 1, 500 * GB))
    site.report(interim(last + 3, 504 * GB))
    with database.read.connect() as connection:
        found = [e for e, _ in list_entries(connection, EntryFilter())]
    assert {"2026-11"} == {entry.book.month for entry in found}
    before, behind = NOON + 600 * (last - 1), NOON + 600 * last
    assert [(before, 50_000, 0), (before, 0, 10_000), (behind, 0, 30_000)] == [
        (e.posting.at, -e.posting.subscriber_amount, e.posting.network_amount)
        for e in found[1:]  # in December 500 GB are included again
    ]
    assert [] == difference(site)


def test_usage_says_how_far_its_rating_is(database: Database) -> None:
    """Received, rejected, recycled, rated, rerated and billed are TMF635's words."""
    site = Site(database, without(NETWORK, "service"))
    site.use(10)
    assert [("received", "nothing_known")] == statuses(site)
    with database.write.begin() as connection:
        reject_unrated(connection, 1, "it broke")
    assert [("rejected", "it broke")] == statuses(site)
    assert None is site.ledger.recycle(NOON, 0, 10)
    assert 1 == len(statuses(site, status="rejected"))
    with database.write.begin() as connection:
        assert 1 == recycle_rejected(connection)
    assert ["recycled"] == [state for state, _ in statuses(site, status="recycled")]
    site.apply_network(NETWORK)
    site.ledger.recycle(NOON, 0, 10)
    site.report(interim(2, 20 * GB))
    assert [("rated", None)] * 2 == statuses(site)
    dear = repriced(NETWORK, "0.01", "0.02")
    rerate(database, dear, own_service, "2026-11", NOON)
    assert [("rerated", None)] * 2 == statuses(site, limit=2)
    close_months(database, dear, "2026-11", NOON + 30 * 86_400)
    assert [("billed", None)] * 2 == statuses(site, status="billed")
    assert [] == statuses(site, status="rated")


def statuses(site: Site, **values: Any) -> list[tuple[str, str | None]]:
    """Give state and reason of each usage record."""
    with site.database.read.connect() as connection:
        wanted = Filter(with_status=True, **values)
        return [(u["status"], u["reason"]) for u in list_usage(connection, wanted)]
