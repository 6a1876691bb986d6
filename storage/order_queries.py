"""Which orders there are, for who lists them, and the tasks that cancel them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select, update

from provisioning.task_graph import DEAD
from storage.provisioning_tables import (
    cancel_order,
    order_task,
    service_order,
    service_order_item,
)


class Filter(NamedTuple):
    """Which orders to list; None for all. The newest come first."""

    tenant: str | None = None
    state: str | None = None
    external_id: str | None = None
    line: str | None = None
    dead: bool = False
    limit: int = 100
    offset: int = 0


def list_ids(connection: Connection, wanted: Filter) -> list[str]:
    """Give the ids of the orders that match, the newest first."""
    order = service_order.c
    query = select(order.id)
    for column, value in (
        (order.tenant, wanted.tenant),
        (order.state, wanted.state),
        (order.external_id, wanted.external_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.line is not None:
        item = service_order_item.c
        of_line = select(item.order_id).where(item.line == wanted.line)
        query = query.where(order.id.in_(of_line))
    if wanted.dead:
        dead = select(order_task.c.order_id).where(order_task.c.state.in_(sorted(DEAD)))
        query = query.where(order.id.in_(dead))
    query = query.order_by(order.ordered_at.desc(), order.id)
    return list(connection.scalars(query.limit(wanted.limit).offset(wanted.offset)))


def add_cancel(connection: Connection, row: Mapping[str, Any]) -> None:
    """Write a cancel task with how it ended."""
    connection.execute(insert(cancel_order), row)


def find_cancels(
    connection: Connection, tenant: str | None, order_id: str
) -> list[Any]:
    """Give the cancel tasks of an order."""
    query = select(cancel_order).where(cancel_order.c.order_id == order_id)
    if tenant is not None:
        query = query.where(cancel_order.c.tenant == tenant)
    return list(connection.execute(query.order_by(cancel_order.c.at)))


def end_cancels(connection: Connection, order_ids: Sequence[str]) -> None:
    """Say that cancels in progress are done."""
    connection.execute(
        update(cancel_order)
        .where(
            cancel_order.c.order_id.in_(order_ids), cancel_order.c.state == "inProgress"
        )
        .values(state="done")
    )
