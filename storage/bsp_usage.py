"""Metered use that BSPs report, record by record; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, literal_column, select, update

from rating.bsp_usage import UsageState
from storage.settlement_tables import bsp_usage

_AT_ONCE = 500


def known_bodies(
    connection: Connection, bsp: str, event_ids: Sequence[str]
) -> dict[str, Row[Any]]:
    """The records that a BSP sent before under these event ids."""
    found: dict[str, Row[Any]] = {}
    u = bsp_usage.c
    for first in range(0, len(event_ids), _AT_ONCE):
        some = event_ids[first : first + _AT_ONCE]
        query = select(bsp_usage).where(u.bsp == bsp, u.event_id.in_(some))
        found |= {row.event_id: row for row in connection.execute(query)}
    return found


def add_records(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Add records, each with every column but its id and entry."""
    if rows:
        connection.execute(insert(bsp_usage), list(rows))


def change_record(connection: Connection, record_id: int, **values: Any) -> None:
    """Change some columns of a record."""
    statement = update(bsp_usage).where(bsp_usage.c.id == record_id)
    connection.execute(statement.values(**values))


def records_in(
    connection: Connection,
    state: str,
    after_id: int,
    limit: int,
    bsp: str | None = None,
) -> list[Row[Any]]:
    """The next records in a state behind an id, by id."""
    u = bsp_usage.c
    # Written out: an index of some states is not used for a bound one.
    its = u.state == literal_column(f"'{UsageState(state).value}'")
    query = select(bsp_usage).where(its, u.id > after_id)
    if bsp is not None:
        query = query.where(u.bsp == bsp)
    return list(connection.execute(query.order_by(u.id).limit(limit)))


def mark_rated(
    connection: Connection, ids: Iterable[int], aggregate_id: int, now: int
) -> None:
    """Put records behind one aggregate, whose id is that of its first record."""
    ordered = sorted(ids)
    u = bsp_usage.c
    for first in range(0, len(ordered), _AT_ONCE):
        some = ordered[first : first + _AT_ONCE]
        connection.execute(
            update(bsp_usage)
            .where(u.id.in_(some))
            .values(
                state="rated", reason=None, aggregate_id=aggregate_id, updated_at=now
            )
        )


def find_records(connection: Connection, aggregate_id: int) -> list[Row[Any]]:
    """The records behind an aggregate, which is what an entry refers to."""
    u = bsp_usage.c
    query = select(bsp_usage).where(u.aggregate_id == aggregate_id)
    return list(connection.execute(query.order_by(u.id)))


def list_rejected(
    connection: Connection, bsp: str | None, limit: int | None
) -> Iterator[Row[Any]]:
    """Rejected records, the oldest first."""
    u = bsp_usage.c
    query = select(bsp_usage).where(u.state == "rejected").order_by(u.id).limit(limit)
    if bsp is not None:
        query = query.where(u.bsp == bsp)
    yield from connection.execute(query)


def ages_of_rejected(connection: Connection) -> list[Row[Any]]:
    """By BSP and reason: how many are rejected, and when the oldest was received."""
    u = bsp_usage.c
    columns = (u.bsp, u.reason)
    query = (
        select(
            *columns,
            func.count().label("records"),
            func.min(u.received_at).label("oldest"),
        )
        .where(u.state == "rejected")
        .group_by(*columns)
        .order_by(*columns)
    )
    return list(connection.execute(query))
