"""Statements as rows: one for each recipient and month; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from storage.among import among
from storage.lease_tables import address_sale
from storage.settlement_tables import bsp_usage, purchase, purchase_event, statement


def find_statement(
    connection: Connection, tenant: str, role: str, month: str
) -> Row[Any] | None:
    """The statement of a recipient and month, locked where that is to be written."""
    s = statement.c
    query = select(statement).where(s.tenant == tenant, s.role == role)
    return connection.execute(query.where(s.month == month)).one_or_none()


def add_statement(
    connection: Connection, tenant: str, role: str, month: str, state: str, now: int
) -> None:
    """Add a statement."""
    values = {"tenant": tenant, "role": role, "month": month, "state": state}
    times = {"opened_at": now, "updated_at": now}
    connection.execute(insert(statement).values(**values, **times))


def change_statement(
    connection: Connection, statement_id: int, before: str, **values: Any
) -> bool:
    """Change a statement unless it left the state ``before``; say whether it did."""
    s = statement.c
    changed = connection.execute(
        update(statement)
        .where(s.id == statement_id, s.state == before)
        .values(**values)
    )
    return changed.rowcount == 1


def list_statements(
    connection: Connection, *, tenant: str | None = None, month: str | None = None
) -> Iterator[Row[Any]]:
    """The statements that match, by month and recipient."""
    s = statement.c
    asked = ((s.tenant, tenant), (s.month, month))
    wanted = [column == value for column, value in asked if value is not None]
    query = select(statement).where(*wanted).order_by(s.month, s.role, s.tenant)
    yield from connection.execute(query)


_BETWEEN: Final = "\x1f"
"""Not in the id of an event that was rated: those are printable."""

_EVENTS: Final = (
    select(
        bsp_usage.c.aggregate_id,
        # Put together by the database: a row an event took twice as long.
        func.aggregate_strings(bsp_usage.c.event_id, _BETWEEN),
    )
    .where(among(bsp_usage.c.aggregate_id, "ids"))
    .group_by(bsp_usage.c.aggregate_id)
)


def usage_events(
    connection: Connection, ids: Sequence[int]
) -> Iterator[tuple[int, list[str]]]:
    """The BSP's own ids, in order, of the events behind each of some aggregates."""
    for row in connection.execute(_EVENTS, {"ids": ids}).all():
        yield row[0], sorted(row[1].split(_BETWEEN))


def purchase_events(
    connection: Connection, ids: Sequence[int]
) -> Iterator[tuple[str, str, str, int | None]]:
    """Of the events of some purchases: id, action and answer, and the entry that the
    purchase was captured by."""
    e, p = purchase_event.c, purchase.c
    query = select(e.event_id, e.action, e.answer, p.entry_id).select_from(
        purchase_event.join(purchase, p.id == e.purchase_id)
    )
    for row in connection.execute(query.where(e.purchase_id.in_(ids))):
        yield row[0], row[1], row[2], row[3]


def sold_addresses(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """The address of each of some sales."""
    a = address_sale.c
    rows = connection.execute(select(a.id, a.address).where(a.id.in_(ids)))
    return {row[0]: row[1] for row in rows}


def purchase_references(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """The BSP's own reference of each of some purchases."""
    p = purchase.c
    rows = connection.execute(select(p.id, p.reference).where(p.id.in_(ids)))
    return {row[0]: row[1] for row in rows}
