"""Statements as rows: one for each recipient and month; in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from storage.settlement_tables import purchase, statement


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


def purchase_references(connection: Connection, ids: Sequence[int]) -> dict[int, str]:
    """The BSP's own reference of each of some purchases."""
    p = purchase.c
    rows = connection.execute(select(p.id, p.reference).where(p.id.in_(ids)))
    return {row[0]: row[1] for row in rows}
