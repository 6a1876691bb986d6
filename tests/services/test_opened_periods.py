"""Periods are opened as they begin, so that nothing that is left is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tariffs_made import network, usage

from config.network import Network
from rating.rater import Rated, Rater
from services.opened_periods import OpenedPeriods
from storage.balances import (
    begun_rows,
    counted_rows,
    insert_balances,
    load_balances,
    lock_balances,
    next_balance_id,
    update_balances,
)
from storage.database import Database

GB = 10**9


def at(month: int, day: int, hour: int = 12) -> int:
    """An epoch second of 2026."""
    return int(datetime(2026, month, day, hour, tzinfo=UTC).timestamp())


def rolling(**service: Any) -> Network:
    """10 GB a month, which all roll into the next, at one unit for each GB more."""
    rate = {"name": "data", "measure": "sum", "price": "1", "per": "1 GB"}
    allowance = {"name": "included", "quantity": "10 GB", "rates": ["data"]}
    return network(
        {"rate": [rate], "allowance": [allowance | {"rollover": "10 GB"}]},
        services=[{"name": "aurora-101"} | service],
        zone="UTC",
    )


def used(database: Database, made: Network, month: int, gigabytes: int) -> int:
    """Rate and store use of a month's 20th; give what it costs."""
    rater = Rater(next_balance_id=1)
    rater.know(made)
    record = usage(at(month, 20), at(month, 20) + 600, 0, gigabytes * GB)
    with database.write.begin() as connection:
        rater.start_again(next_balance_id(connection))
        keys = rater.missing([record])
        rater.adopt(keys, load_balances(connection, keys))
        rated = rater.rate(record)
        assert isinstance(rated, Rated)
        insert_balances(connection, begun_rows(rater.changes().begun))
        update_balances(connection, counted_rows(rater.changes().counted))
    return sum(charge.amount for charge in rated.retail) // 1_000_000


def opened(database: Database, made: Network, now: int) -> bool:
    """Open what is to be opened, and say whether balances were written."""
    with database.write.begin() as connection:
        before = lock_balances(connection)
    assert None is OpenedPeriods(made).open_some(database, now, "", 10)
    with database.write.begin() as connection:
        return lock_balances(connection) != before


def test_a_month_without_use_loses_nothing(database: Database) -> None:
    """March's rest goes into April and no further; April's own ten go into May, once
    April was opened, and that some hours after it began."""
    made = rolling()
    assert 0 == used(database, made, 3, 4)
    assert not opened(database, made, at(4, 1, 5))
    assert opened(database, made, at(4, 1, 7))
    assert not opened(database, made, at(4, 1, 8))
    assert 1 == used(database, made, 5, 21)


def test_a_daemon_that_was_down_opens_what_it_missed(database: Database) -> None:
    """April and May were never opened: June has ten of May's and its own."""
    made = rolling()
    used(database, made, 3, 4)
    assert opened(database, made, at(6, 2))
    assert 1 == used(database, made, 6, 21)


def test_who_had_no_service_has_nothing_to_take_along(database: Database) -> None:
    """A period before the first day, or without any sign of the service, is none."""
    assert not opened(database, rolling(billed_from="2026-05-01"), at(4, 2))
    assert opened(database, rolling(billed_from="2026-05-01"), at(5, 2))
    assert 11 == used(database, rolling(), 5, 21)


def test_what_does_not_roll_over_is_not_opened(database: Database) -> None:
    """Its balance begins with its use."""
    rate = {"name": "data", "measure": "sum", "price": "1", "per": "1 GB"}
    assert not opened(database, network({"rate": [rate]}), at(4, 2))
