"""When usage arrived that ends later than that, by its NAS's clock.

It was rated when it arrived, by what there was then; who rates it again has to know.
A row is of a batch and written only where usage in it ends ahead of its arrival:
nearly no clock is fast, and an arrival kept with each record would cost every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, delete, func, insert, select

from storage.among import among
from storage.rating_tables import usage_arrival
from storage.tables import usage

_A: Final = usage_arrival.c


def note_arrival(
    connection: Connection, rows: Sequence[tuple[Any, ...]], received_at: int
) -> None:
    """Keep when a batch arrived, if any of it (rows of USAGE_COLUMNS) ends later."""
    if rows and max([row[3] for row in rows]) > received_at:
        ids = [row[0] for row in rows]
        values = {"first_usage_id": min(ids), "last_usage_id": max(ids)}
        connection.execute(insert(usage_arrival), values | {"received_at": received_at})


def rated_as_of() -> ColumnElement[int]:
    """Give what usage is rated as of: its end, or its arrival where that was before."""
    ended_at = usage.c.ended_at
    came_before = (_A.last_usage_id >= usage.c.id) & (_A.received_at < ended_at)
    batch = select(case((came_before, _A.received_at), else_=ended_at))
    batch = batch.where(_A.first_usage_id <= usage.c.id).correlate(usage)
    batch = batch.order_by(_A.first_usage_id.desc()).limit(1)
    return func.coalesce(batch.scalar_subquery(), ended_at)


def times_rated_as_of(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Give what usage records are rated as of, in epoch seconds, by their ids."""
    query = select(usage.c.id, rated_as_of()).where(among(usage.c.id))
    return {row[0]: row[1] for row in connection.execute(query, {"keys": list(ids)})}


def forget_arrivals(connection: Connection, usage_id: int) -> None:
    """Let go of batches up to a record: they are rated no more."""
    connection.execute(delete(usage_arrival).where(_A.last_usage_id <= usage_id))
