"""Usage of a month rated again: shown first, then booked, and then it is right."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from settlement_network import DECEMBER, NOVEMBER, UNIT, network

from config.tariffs import Rate, Tariff, Tier, Version
from rating.charge import RatableUsage
from rating.counters import Derived
from rating.months import span_of
from rating.rater import Rated, Rater
from services.periods import close_months
from services.rerating import apply, dry_run
from storage.balances import load_balances
from storage.database import Database
from storage.entry_queries import EntryFilter, balances
from storage.ledger_proof import prove

MONTH = "2026-11"


def tariff(
    name: str, price: str, isp: str | None, tiers: tuple[Tier, ...] = ()
) -> Tariff:
    """A price for each GB, from the year's beginning."""
    rate = Rate(name="volume", measure="sum", price=price, per="1 GB", tiers=tiers)
    return Tariff(
        name=name,
        isp=isp,
        currency="EUR",
        zone="Europe/Oslo",
        version=(Version(valid_from="2026-01-01", rate=(rate,)),),
    )


def priced(
    price: str,
    beyond: str | None = None,
    zones: dict[str, str] | None = None,
    tiered: str = "home",
) -> Any:
    """The network with tariffs, and an ISP that pays by the wholesale one; perhaps with
    another price beyond 30 GB in one of them, and in other zones."""
    tiers = () if beyond is None else (Tier(above="30 GB", price=beyond),)
    plain = network()
    isps = tuple(type(isp)(name=isp.name, wholesale="wholesale") for isp in plain.isp)
    offerings = tuple(
        type(o)(name=o.name, isp=o.isp, down_kbps=1, up_kbps=1, tariff="home")
        for o in plain.offering
        if o.isp == "aurora"
    )
    services = plain.service[:1]
    tariffs = tuple(
        msgspec.structs.replace(row, zone=(zones or {}).get(row.name, row.zone))
        for row in (
            tariff("home", price, "aurora", tiers if tiered == "home" else ()),
            tariff("wholesale", "0.01", None, tiers if tiered == "wholesale" else ()),
        )
    )
    return network(isp=isps, offering=offerings, service=services, tariff=tariffs)


def service_of(row: Any) -> str | None:
    """Everybody who says a name is aurora-101."""
    return "aurora-101" if row.user_name else None


@pytest.fixture
def used(rows: Any) -> None:
    """Thirty usage records of 1 GB each, of one session of aurora-101."""
    rows.add_sessions(
        {"id": 1, "user_name": "sub101@aurora.example", "started_at": NOVEMBER}
    )
    rows.add_usage(
        *(
            {"id": n, "session_id": 1, "output_octets": 10**9}
            | {"started_at": NOVEMBER + 600 * n, "ended_at": NOVEMBER + 600 * n + 600}
            for n in range(1, 31)
        )
    )


@pytest.mark.usefixtures("used")
def test_rerating_shows_the_difference_then_books_it_once(database: Database) -> None:
    """A dry run changes nothing; applied, every party has what it should; and again
    there is nothing to do."""
    first = dry_run(database, priced("0.10"), service_of, MONTH)
    assert (30, 0) == (first.usages, first.unrated)
    assert {
        ("network", 0, 300_000),
        ("aurora", 0, 2_700_000),
        ("subscribers of aurora", 0, -3_000_000),
    } == {(d.party, d.before, d.after) for d in first.differences()}
    with database.read.connect() as connection:
        assert [] == balances(connection, EntryFilter())
    assert 30 == apply(database, priced("0.10"), service_of, MONTH, DECEMBER)
    assert [] == dry_run(database, priced("0.10"), service_of, MONTH).differences()
    close_months(database, priced("0.10"), MONTH, DECEMBER)
    assert 60 == apply(database, priced("0.20"), service_of, MONTH, DECEMBER)
    assert 0 == apply(database, priced("0.20"), service_of, MONTH, DECEMBER)
    with database.read.connect() as connection:
        assert [] == prove(connection).problems
        found = balances(connection, EntryFilter(source="usage", month="2026-12"))
    assert -3 * UNIT == sum(b.amounts[0] for b in found)


@pytest.mark.usefixtures("used")
def test_late_use_goes_on_from_what_was_rated_again(database: Database) -> None:
    """Thirty GB were booked at one price; rated again with a lower one beyond thirty,
    the next GB costs that. A run that dies after its balances does it all the same."""
    first, then = priced("0.10"), priced("0.20", beyond="0.05")
    assert 30 == apply(database, first, service_of, MONTH, DECEMBER)
    assert 60 == apply(database, then, service_of, MONTH, DECEMBER)
    rater = Rater(next_balance_id=100)
    rater.know(then)
    late = RatableUsage(
        "aurora-101",
        31,
        1,
        NOVEMBER,
        NOVEMBER,
        NOVEMBER + 600,
        600,
        0,
        10**9,
        Derived.REPORTED,
    )
    keys = rater.missing([late])
    with database.read.connect() as connection:
        rater.adopt(keys, load_balances(connection, keys))
    rated = rater.rate(late)
    assert isinstance(rated, Rated)
    assert [50_000] == [charge.amount for charge in rated.retail]
    assert [10_000] == [charge.amount for charge in rated.wholesale]


def test_use_that_runs_into_a_month_is_of_the_month_before(
    database: Database, rows: Any
) -> None:
    """A record over midnight costs what its two halves do, and counts where it began;
    both months come out as they were booked."""
    midnight = span_of("Europe/Oslo", MONTH).starts_at
    user = {"id": 1, "user_name": "sub101@aurora.example", "started_at": midnight - 1}
    rows.add_sessions(user)
    rows.add_usage(
        *(
            {"id": n + 2, "session_id": 1, "output_octets": 15}
            | {"started_at": midnight + 600 * n - 300}
            | {"ended_at": midnight + 600 * n + 300}
            for n in range(-1, 3)
        )
    )
    network = priced("500000")  # 0.5 micro-units an octet: halves make a difference
    for month in ("2026-10", MONTH):
        apply(database, network, service_of, month, DECEMBER)
    for month in ("2026-10", MONTH):
        result = dry_run(database, network, service_of, month)
        assert (2, []) == (result.usages, result.differences())


def test_each_zone_s_month_is_its_own(database: Database, rows: Any) -> None:
    """Retail is booked in the months of Oslo, wholesale in those of New York: what lies
    between two midnights is of another month in each, and rating a month again, or
    repricing it, touches what is its own and nothing else."""
    abroad = {"wholesale": "America/New_York"}
    network = priced("0.10", beyond="0.05", zones=abroad, tiered="wholesale")
    start = span_of("Europe/Oslo", MONTH).starts_at
    user = {"id": 1, "user_name": "sub101@aurora.example", "started_at": start - 7200}
    rows.add_sessions(user)
    rows.add_usage(
        *(
            {"id": number, "session_id": 1, "output_octets": 20 * 10**9}
            | {"started_at": start + 3600 * n, "ended_at": start + 3600 * n + 600}
            for number, n in enumerate(
                (-20, -1, 1, 2, 8, 24 * 30 - 1, 24 * 30 + 1, 24 * 30 + 8), start=1
            )
        )
    )
    months = ("2026-10", MONTH, "2026-12")
    for month in months:
        apply(database, network, service_of, month, DECEMBER)
    for month in months:
        assert [] == dry_run(database, network, service_of, month).differences()
    dear = priced("0.20", beyond="0.05", zones=abroad, tiered="wholesale")
    apply(database, dear, service_of, MONTH, DECEMBER)
    assert [] == dry_run(database, dear, service_of, MONTH).differences()
    for month in ("2026-10", "2026-12"):
        assert [] == dry_run(database, network, service_of, month).differences()
    with database.read.connect() as connection:
        assert [] == prove(connection).problems
        found = balances(connection, EntryFilter(source="usage"))
    # Of November's four in Oslo 20 GB each are repriced, of which 30 at 0.20.
    assert {"2026-10", MONTH, "2026-12"} == {b.book.month for b in found}
