"""Orders with their items and tasks: read whole, written where they changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Select, bindparam, select, text, update

from provisioning.order import Item, Order
from provisioning.order_rules import Wanted
from provisioning.order_states import Action, Assessment, State
from provisioning.task_graph import Kind, Task, TaskState
from storage import at_once
from storage.among import among
from storage.looked_up import LookedUp
from storage.provisioning_tables import (
    OPEN_ITEM,
    order_task,
    service_order,
    service_order_item,
    service_record,
)

_OPEN: Final = text(f"service_order_item.{OPEN_ITEM}")


def _in(query: Select[Any], column: Any) -> Any:
    return query.where(among(column))


_ORDERS: Final = _in(select(service_order), service_order.c.id)
_ITEMS: Final = _in(select(service_order_item), service_order_item.c.order_id)
_TASKS: Final = _in(select(order_task), order_task.c.order_id)


_EXTERNAL: Final = select(service_order.c.external_id, service_order.c.id).where(
    service_order.c.tenant == bindparam("of"),
    among(service_order.c.external_id),
)
_BUSY: Final = {
    kind: select(service_order_item.c[kind], service_order_item.c.order_id).where(
        among(service_order_item.c[kind]),
        _OPEN,
    )
    for kind in ("line", "site", "service", "user_name")
}
_NAMES: Final = select(service_record.c.name).where(
    service_record.c.name >= bindparam("first"),
    service_record.c.name < bindparam("last"),
)
_DUE: Final = (
    select(service_order.c.id)
    .where(
        service_order.c.due_at.is_not(None), service_order.c.due_at <= bindparam("now")
    )
    .order_by(service_order.c.due_at)
    .limit(bindparam("most"))
)
_HURRY_ORDERS: Final = (
    update(service_order)
    .where(
        among(service_order.c.id),
        service_order.c.due_at > bindparam("now"),
    )
    .values(due_at=bindparam("now"))
)
_HURRY_PROOFS: Final = (
    update(order_task)
    .where(
        among(order_task.c.order_id),
        order_task.c.kind == Kind.PROOF,
        order_task.c.state == TaskState.PENDING,
        order_task.c.due_at > bindparam("now"),
    )
    .values(due_at=bindparam("now"))
)


def load(connection: Connection, ids: Iterable[str]) -> dict[str, Order]:
    """Read whole orders by id; who is not there is not in the answer."""
    keys, found = {"keys": sorted(set(ids))}, dict[str, Order]()
    if not keys["keys"]:
        return found
    for row in connection.execute(_ORDERS, keys):
        found[row.id] = _order(row)
    for row in connection.execute(_ITEMS, keys):
        found[row.order_id].items[row.number] = _item(row)
    for row in connection.execute(_TASKS, keys):
        found[row.order_id].tasks[row.number] = _task(row)
    for order in found.values():
        order.items = dict(sorted(order.items.items()))
        order.tasks = dict(sorted(order.tasks.items()))
    return found


class OrderIds(LookedUp[tuple[str, str], str]):
    """The id of the order that an ISP calls so, by the ISP and its own id."""

    def read(self, keys: list[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """Read from the database."""
        found: dict[tuple[str, str], str] = {}
        for tenant, called in _by_first(keys):
            bound = {"of": tenant, "keys": called}
            rows = self.connection.execute(_EXTERNAL, bound)
            found |= {(tenant, row[0]): row[1] for row in rows}
        return found


def due(connection: Connection, now: int, limit: int) -> list[str]:
    """Give the ids of orders that are to be looked at, the longest due first."""
    return list(connection.scalars(_DUE, {"now": now, "most": limit}))


def hurry(connection: Connection, services: Sequence[str], now: int) -> None:
    """Let the manager look at once at open orders about these services."""
    keys = {"keys": list(services)}
    ids = sorted({row[1] for row in connection.execute(_BUSY["service"], keys)})
    if ids:
        connection.execute(_HURRY_ORDERS, {"keys": ids, "now": now})
        connection.execute(_HURRY_PROOFS, {"keys": ids, "now": now})


class OpenClaims(LookedUp[tuple[str, str], str]):
    """The open order about each line, site, service or user name, by kind and name."""

    def read(self, keys: list[tuple[str, str]]) -> Mapping[tuple[str, str], str]:
        """Read from the database."""
        found: dict[tuple[str, str], str] = {}
        for kind, names in _by_first(keys):
            rows = self.connection.execute(_BUSY[kind], {"keys": names})
            found |= {(kind, row[0]): row[1] for row in rows}
        return found


def _by_first(keys: Iterable[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    grouped: dict[str, list[str]] = {}
    for first, second in keys:
        grouped.setdefault(first, []).append(second)
    return sorted(grouped.items())


def names_like(connection: Connection, start: str) -> set[str]:
    """Give the names of services that orders made and that begin so."""
    given = {"first": start, "last": f"{start}\U0010ffff"}
    return set(connection.scalars(_NAMES, given))


def add(connection: Connection, orders: Sequence[Order]) -> None:
    """Write new orders."""
    at_once.insert(connection, service_order, [_order_row(o) for o in orders])
    items = [_item_row(o, item) for o in orders for item in o.items.values()]
    at_once.insert(connection, service_order_item, items)
    tasks = [_task_row(o, task) for o in orders for task in o.tasks.values()]
    at_once.insert(connection, order_task, tasks)


def save(connection: Connection, changed: Sequence[tuple[Order, Snapshot]]) -> None:
    """Write what differs from how the orders were read."""
    headers, items, tasks = [], [], []
    for order, before in changed:
        header = _header(order)
        if header != before.header:
            headers.append({"id": order.id, **header})
        for number, item in order.items.items():
            row = _life(item)
            if row != before.items.get(number):
                items.append({"order_id": order.id, "number": number, **row})
        for number, task in order.tasks.items():
            if task != before.tasks.get(number):
                row = {name: getattr(task, name) for name in _TASK_LIFE}
                row["state"] = task.state.value
                tasks.append({"order_id": order.id, "number": number, **row})
    at_once.update(connection, service_order, headers)
    at_once.update(connection, service_order_item, items)
    at_once.update(connection, order_task, tasks)


_TASK_LIFE: Final = ("state", "attempts", "due_at", "deadline_at", "before", "reason")


class Snapshot(NamedTuple):
    """How an order was when it was read, to find what changed."""

    header: Mapping[str, Any]
    items: Mapping[int, Mapping[str, Any]]
    tasks: Mapping[int, Task]


def snapshot(order: Order) -> Snapshot:
    """Remember how an order is now."""
    return Snapshot(
        _header(order),
        {number: _life(item) for number, item in order.items.items()},
        dict(order.tasks),
    )


def _header(order: Order) -> dict[str, Any]:
    return {
        "state": order.state.value,
        "start_at": order.start_at,
        "completed_at": order.completed_at,
        "due_at": order.due_at,
        "milestones": list(order.milestones),
        "alerts": list(order.alerts),
        "errors": list(order.errors),
    }


def _life(item: Item) -> dict[str, Any]:
    return {
        "state": item.state.value,
        "line": item.wanted.line if item.wanted else None,
        "wanted": msgspec.to_builtins(item.wanted),
        "errors": list(item.errors),
    }


def _order_row(order: Order) -> dict[str, Any]:
    return {
        **_header(order),
        "id": order.id,
        "external_id": order.external_id,
        "digest": order.digest,
        "channel": order.channel,
        "actor": order.actor,
        "on_behalf": order.on_behalf,
        "ordered_at": order.ordered_at,
        "body": order.body,
        "tenant": order.tenant,
    }


def _item_row(order: Order, item: Item) -> dict[str, Any]:
    wanted = item.wanted
    return {
        **_life(item),
        "order_id": order.id,
        "number": item.number,
        "item_id": item.id,
        "action": item.action.value,
        "assessment": item.assessment.value,
        "service": wanted.service if wanted else "",
        "site": wanted.site if wanted else None,
        "user_name": wanted.user_name if wanted else None,
        "relies_on": list(item.relies_on),
        "tenant": order.tenant,
    }


def _task_row(order: Order, task: Task) -> dict[str, Any]:
    row = msgspec.to_builtins(task)
    return {**row, "order_id": order.id, "tenant": order.tenant}


def _order(row: Any) -> Order:
    return Order(
        id=row.id,
        external_id=row.external_id,
        tenant=row.tenant,
        digest=row.digest,
        channel=row.channel,
        actor=row.actor,
        on_behalf=row.on_behalf,
        ordered_at=row.ordered_at,
        start_at=row.start_at,
        body=row.body,
        state=State(row.state),
        completed_at=row.completed_at,
        due_at=row.due_at,
        milestones=row.milestones,
        alerts=row.alerts,
        errors=row.errors,
    )


def _item(row: Any) -> Item:
    return Item(
        number=row.number,
        id=row.item_id,
        action=Action(row.action),
        state=State(row.state),
        wanted=None if row.wanted is None else msgspec.convert(row.wanted, Wanted),
        relies_on=tuple(row.relies_on),
        assessment=Assessment(row.assessment),
        errors=row.errors,
    )


def _task(row: Any) -> Task:
    return Task(
        number=row.number,
        item=row.item,
        kind=Kind(row.kind),
        state=TaskState(row.state),
        after=tuple(row.after),
        attempts=row.attempts,
        due_at=row.due_at,
        deadline_at=row.deadline_at,
        before=row.before,
        reason=row.reason,
        about=row.about,
    )
