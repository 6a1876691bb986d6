"""Old usage made small: one record per session, UTC day and derivation.

Records of different derivation are never added up, so what was estimated can still be
told from what was reported, and every sum stays as it was. A record belongs to the day
in which it ended.

Usage is walked once, in order of id, which is the order of arrival; how far is kept in
the database with the slice that was rolled up. So no index is needed to find what is
old, a crash repeats nothing, and a record that came late joins its day's record when
the walk reaches it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, insert, select, update

from storage.database import Database
from storage.rating_tables import unrated_usage
from storage.tables import rollup_position, usage
from storage.usage_arrivals import forget_arrivals

_DAY_SECONDS: Final = 86_400
_SUMS: Final = (
    "seconds",
    "input_octets",
    "output_octets",
    "input_packets",
    "output_packets",
    "records",
)
_IDS_A_STATEMENT: Final = 500


def roll_up(
    database: Database,
    before: int,
    *,
    slice_records: int = 2000,
    slices: int | None = None,
) -> bool:
    """Roll up the whole UTC days that ended at or before an epoch second.

    Each slice of records is one transaction; other writers get in between. Gives True
    when it stopped after `slices` of them and there may be more to do.
    Raises StorageError; what was done until then stays done.
    """
    cutoff = before // _DAY_SECONDS * _DAY_SECONDS
    done = 0
    while slices is None or done < slices:
        with database.write.begin() as connection:
            if not _roll_up_slice(connection, cutoff, slice_records):
                return False
        done += 1
    return True


def _roll_up_slice(connection: Connection, cutoff: int, limit: int) -> bool:
    """Roll up the next records; False when none of them is old enough."""
    position = connection.execute(select(rollup_position.c.usage_id)).scalar_one()
    following = select(usage).where(usage.c.id > position)
    fresh: list[Row[Any]] = []
    for row in connection.execute(following.order_by(usage.c.id).limit(limit)).all():
        if row.ended_at > cutoff:
            break
        fresh.append(row)
    if not fresh:
        return False
    waits = _waiting(connection, fresh[0].id, fresh[-1].id)
    groups: dict[tuple[Any, ...], list[Row[Any]]] = {}
    for row in fresh:
        if row.id not in waits:
            groups.setdefault(_group(row), []).append(row)
    before = list(_rolled_up_before(connection, fresh, position))
    ids = [row.id for row in before]
    waits = _waiting(connection, min(ids), max(ids)) if ids else set()
    for row in before:
        if _group(row) in groups and row.id not in waits:
            groups[_group(row)].append(row)
    merged = [_merge(rows) for rows in groups.values()]
    gone = sorted(row.id for rows in groups.values() for row in rows)
    for start in range(0, len(gone), _IDS_A_STATEMENT):
        ids = gone[start : start + _IDS_A_STATEMENT]
        connection.execute(delete(usage).where(usage.c.id.in_(ids)))
    if merged:
        connection.execute(insert(usage), merged)
    forget_arrivals(connection, fresh[-1].id)
    connection.execute(update(rollup_position).values(usage_id=fresh[-1].id))
    return True


def _rolled_up_before(
    connection: Connection, fresh: list[Row[Any]], position: int
) -> Iterable[Row[Any]]:
    """What earlier slices left of the sessions and days of these records."""
    sessions = sorted({row.session_id for row in fresh})
    first = min(_day(row) for row in fresh) * _DAY_SECONDS
    last = max(_day(row) for row in fresh) * _DAY_SECONDS + _DAY_SECONDS
    for start in range(0, len(sessions), _IDS_A_STATEMENT):
        query = select(usage).where(
            usage.c.session_id.in_(sessions[start : start + _IDS_A_STATEMENT]),
            usage.c.id <= position,
            usage.c.ended_at.between(first, last),
        )
        yield from connection.execute(query).all()


def _waiting(connection: Connection, first: int, last: int) -> set[int]:
    """Give the usage between two ids that is still to be rated: it stays as it is."""
    ids = unrated_usage.c.usage_id
    return set(connection.scalars(select(ids).where(ids.between(first, last))))


def _day(row: Row[Any]) -> int:
    # Midnight ends the day before, it does not begin the next.
    return int(row.ended_at - 1) // _DAY_SECONDS


def _group(row: Row[Any]) -> tuple[Any, ...]:
    return row.tenant, row.session_id, _day(row), row.derived


def _merge(rows: list[Row[Any]]) -> dict[str, Any]:
    # The highest id stays: ids go on from the highest after a restart, so it must
    # never fall.
    merged = dict(max(rows, key=lambda row: row.id)._mapping)
    merged["started_at"] = min(row.started_at for row in rows)
    merged["ended_at"] = max(row.ended_at for row in rows)
    for name in _SUMS:
        merged[name] = sum(row._mapping[name] for row in rows)
    merged["rolled_up"] = True
    return merged
