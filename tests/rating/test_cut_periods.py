"""A period that is cut by a version which is announced while it runs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.network import Network
from config.offers import Offering, Service
from config.parties import Isp
from config.tariffs import Allowance, Rate, Tariff, Version
from rating.charge import RatableUsage
from rating.counters import Derived
from rating.rater import Rated, Rater, StoredBalance

EURO = 1_000_000
OLD, NEW = "2026-01-01", "2026-11-16"


def network(*firsts: str) -> Network:
    """1.00 a GB beyond 30 GB a month, by the day, in versions from some days on."""
    rate = (Rate(name="data", measure="sum", per="1 GB", price="1"),)
    own = Allowance(name="own", quantity="30 GB", rates=("data",), prorate=True)
    versions = (Version(valid_from=d, rate=rate, allowance=(own,)) for d in firsts)
    tariff = Tariff(
        name="home", isp="aurora", currency="EUR", zone="UTC", version=tuple(versions)
    )
    offering = Offering(
        name="home", isp="aurora", down_kbps=1, up_kbps=1, tariff="home"
    )
    return Network(
        isp=(Isp(name="aurora"),),
        tariff=(tariff,),
        offering=(offering,),
        service=(Service(name="one", isp="aurora", line="", offering="home"),),
    )


def used(day: int, gigabytes: int) -> RatableUsage:
    """An hour of a day of November."""
    at = int(datetime(2026, 11, day, 12, tzinfo=UTC).timestamp())
    octets = gigabytes * 10**9
    return RatableUsage(
        "one", day, 1, at, at, at + 3600, 3600, 0, octets, Derived.REPORTED
    )


@pytest.mark.parametrize("announced", range(5))
def test_when_a_version_is_announced_makes_no_difference_to_the_money(
    announced: int,
) -> None:
    """15 of 30 GB for fifteen days, of which 23 are used: 8.00 are owed, whether what
    was used before cost nothing then or not. The ledger starts anew at each record."""
    records = [used(5, 20), used(10, 1), used(13, 1), used(15, 1)]
    owed = 0
    stored: dict[int, StoredBalance] = {}
    for nth, record in enumerate(records):
        firsts = (OLD, NEW) if nth >= min(announced, len(records) - 1) else (OLD,)
        rater = Rater(next_balance_id=1)
        rater.know(network(*firsts))
        keys = rater.missing([record])
        rater.adopt(keys, stored.values())
        rated = rater.rate(record)
        assert isinstance(rated, Rated)
        owed += sum(charge.amount for charge in rated.retail)
        changes = rater.changes()
        for balance in (*changes.begun, *changes.counted):
            row = StoredBalance(balance.id, balance.key, balance.memory())
            stored[balance.id] = row
    assert 8 * EURO == owed
