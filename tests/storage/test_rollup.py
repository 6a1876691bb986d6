"""Rolling old usage up per session and UTC day, the same on both databases."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import insert, select

from storage.balances import UnratedUsage, insert_unrated
from storage.database import Database
from storage.rating_tables import usage_arrival
from storage.rollup import roll_up
from storage.sessions import next_ids
from storage.tables import usage
from storage.usage_arrivals import times_rated_as_of

_DAY = 86_400
_MONDAY = 20_000 * _DAY
_FIGURES = ("seconds", "input_octets", "output_octets", "input_packets")


def _all(database: Database) -> list[dict[str, Any]]:
    with database.read.connect() as connection:
        rows = connection.execute(select(usage).order_by(usage.c.id))
        return [dict(row._mapping) for row in rows]


def _sums(records: list[dict[str, Any]]) -> dict[tuple[Any, ...], int]:
    sums: Counter[tuple[Any, ...]] = Counter()
    for record in records:
        day = (record["ended_at"] - 1) // _DAY
        for name in (*_FIGURES, "output_packets", "records"):
            key = (record["session_id"], day, record["derived"], name)
            sums[key] += record[name]
    return dict(sums)


def _month(seed: int) -> list[dict[str, Any]]:
    chance = random.Random(seed)
    records = []
    for number in range(1, 301):
        start = _MONDAY + number * 1000 + chance.randrange(-900, 900)
        records.append(
            {
                "id": number,
                "session_id": chance.randrange(1, 5),
                "started_at": start,
                "ended_at": start + chance.randrange(0, 900),
                "derived": chance.choice(["reported", "wrapped", "estimated"]),
                "input_octets": chance.randrange(2**53),
                "output_octets": chance.randrange(2**53),
                "input_packets": chance.randrange(2**32),
                "seconds": 600,
                "records": chance.randrange(1, 4),
            }
        )
    return records


@pytest.mark.parametrize("slice_records", [1, 7, 1000])
def test_every_sum_stays_the_same(
    database: Database, rows: Any, slice_records: int
) -> None:
    """Per session, day and derivation all totals are kept, whatever the slices."""
    records = _month(slice_records)
    rows.add_usage(*records)
    before = _all(database)
    cutoff = _MONDAY + 2 * _DAY
    more = roll_up(database, cutoff + 5000, slice_records=slice_records)
    after = _all(database)

    assert more is False
    assert _sums(after) == _sums(before)
    rolled_up = [record for record in after if record["rolled_up"]]
    assert len(rolled_up) < 40
    keys = {
        (r["session_id"], (r["ended_at"] - 1) // _DAY, r["derived"]) for r in rolled_up
    }
    assert len(keys) == len(rolled_up)


def test_rolling_up_again_changes_nothing(database: Database, rows: Any) -> None:
    """It may run every hour, or twice at once."""
    rows.add_usage(*_month(1))
    roll_up(database, _MONDAY + 2 * _DAY)
    once = _all(database)
    roll_up(database, _MONDAY + 2 * _DAY)

    assert _all(database) == once


def test_a_day_that_is_not_over_is_left_alone(database: Database, rows: Any) -> None:
    """Only whole days are rolled up: the cutoff falls back to its midnight."""
    late = _MONDAY + _DAY + 600
    rows.add_usage(
        {"id": 1, "session_id": 1, "started_at": _MONDAY, "ended_at": _MONDAY + _DAY},
        {"id": 2, "session_id": 1, "started_at": late - 600, "ended_at": late},
    )
    roll_up(database, late + 3600)

    assert [record["rolled_up"] for record in _all(database)] == [True, False]


def test_the_period_of_a_rolled_up_record_covers_its_parts(
    database: Database, rows: Any
) -> None:
    """It starts with the first part and ends with the last; the parts are counted."""
    times = [(_MONDAY + 600, _MONDAY + 900), (_MONDAY, _MONDAY + 600)]
    rows.add_usage(
        *(
            {"id": number, "session_id": 1, "started_at": start, "ended_at": end}
            for number, (start, end) in enumerate(times, start=1)
        )
    )
    roll_up(database, _MONDAY + _DAY)
    (record,) = _all(database)

    assert (record["started_at"], record["ended_at"]) == (_MONDAY, _MONDAY + 900)
    assert (record["id"], record["records"]) == (2, 2)


def test_late_usage_joins_the_record_of_its_day(database: Database, rows: Any) -> None:
    """What arrives after its day was rolled up is added to that day's record."""
    monday = {"session_id": 1, "started_at": _MONDAY, "ended_at": _MONDAY + 600}
    rows.add_usage({"id": 1, "seconds": 600, **monday})
    roll_up(database, _MONDAY + _DAY)
    rows.add_usage({"id": 2, "seconds": 60, **monday})
    roll_up(database, _MONDAY + _DAY)
    (record,) = _all(database)

    assert (record["id"], record["seconds"], record["records"]) == (2, 660, 2)


def test_estimates_are_not_hidden_in_a_sum(database: Database, rows: Any) -> None:
    """Each derivation keeps a record of its own."""
    monday = {"session_id": 1, "started_at": _MONDAY, "ended_at": _MONDAY + 600}
    rows.add_usage(
        {"id": 1, **monday},
        {"id": 2, "derived": "estimated", **monday},
        {"id": 3, **monday},
    )
    roll_up(database, _MONDAY + _DAY)
    found = [(record["derived"], record["records"]) for record in _all(database)]

    assert found == [("estimated", 1), ("reported", 2)]


def test_the_next_id_never_falls(database: Database, rows: Any) -> None:
    """A ledger that restarts after a roll-up gives no id a second time."""
    rows.add_usage(*_month(3))
    roll_up(database, _MONDAY + 100 * _DAY)
    with database.read.connect() as connection:
        assert next_ids(connection)[1] == 301


def test_it_stops_after_so_many_slices(database: Database, rows: Any) -> None:
    """A caller with other work does a little at a time, until there is no more."""
    rows.add_usage(*_month(4))
    turns = 1
    while roll_up(database, _MONDAY + 100 * _DAY, slice_records=100, slices=1):
        turns += 1

    assert turns == 4
    assert all(record["rolled_up"] for record in _all(database))


def test_usage_that_waits_to_be_rated_is_left_as_it_is(
    database: Database, rows: Any
) -> None:
    """Added to what is rated already it could not be rated alone any more."""
    rows.add_usage(
        *(
            {"id": number, "session_id": 1, "started_at": _MONDAY + 60 * number}
            | {"ended_at": _MONDAY + 60 * number + 60, "input_octets": number}
            for number in range(1, 5)
        )
    )
    waits = UnratedUsage(3, "network", None, "received", "nothing_known", 0, 0, 1)
    with database.write.begin() as connection:
        insert_unrated(connection, [waits])
    roll_up(database, _MONDAY + _DAY)
    found = [(u["id"], u["input_octets"], u["rolled_up"]) for u in _all(database)]
    assert [(3, 3, False), (4, 7, True)] == found


def test_an_arrival_is_kept_until_its_batch_is_rolled_up(
    database: Database, rows: Any
) -> None:
    """What is one record of many is rated no more; the next day's is."""
    rows.add_usage(
        *(
            {"id": number, "session_id": 1, "started_at": at - 60, "ended_at": at}
            for number, at in ((1, _MONDAY + 60), (2, _MONDAY + _DAY + 60))
        )
    )
    with database.write.begin() as connection:
        for number, at in ((1, _MONDAY), (2, _MONDAY + _DAY)):
            connection.execute(insert(usage_arrival).values((number, number, at)))
    roll_up(database, _MONDAY + _DAY)
    with database.read.connect() as connection:
        kept = connection.execute(select(usage_arrival)).all()
        assert {2: _MONDAY + _DAY} == times_rated_as_of(connection, [2])
    assert [(2, 2, _MONDAY + _DAY)] == [tuple(row) for row in kept]
