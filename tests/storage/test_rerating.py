"""Usage of a month rated again: shown first, then booked, and then it is right."""

from __future__ import annotations

from typing import Any

import pytest
from settlement_network import DECEMBER, NOVEMBER, UNIT, network

from config.tariffs import Rate, Tariff, Version
from services.periods import close_months
from services.rerating import apply, dry_run
from storage.database import Database
from storage.entry_queries import EntryFilter, balances
from storage.ledger_proof import prove

MONTH = "2026-11"


def tariff(name: str, price: str, isp: str | None) -> Tariff:
    """A price for each GB, from the year's beginning."""
    rate = Rate(name="volume", measure="sum", price=price, per="1 GB")
    return Tariff(
        name=name,
        isp=isp,
        currency="EUR",
        zone="Europe/Oslo",
        version=(Version(valid_from="2026-01-01", rate=(rate,)),),
    )


def priced(price: str) -> Any:
    """The network with tariffs, and an ISP that pays by the wholesale one."""
    plain = network()
    isps = tuple(type(isp)(name=isp.name, wholesale="wholesale") for isp in plain.isp)
    offerings = tuple(
        type(o)(name=o.name, isp=o.isp, down_kbps=1, up_kbps=1, tariff="home")
        for o in plain.offering
        if o.isp == "aurora"
    )
    services = plain.service[:1]
    tariffs = (tariff("home", price, "aurora"), tariff("wholesale", "0.01", None))
    return network(isp=isps, offering=offerings, service=services, tariff=tariffs)


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

    def service_of(row: Any) -> str | None:
        return "aurora-101" if row.user_name else None

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
