"""Leads as rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, insert, select, update

from storage.provisioning_tables import lead


def add_lead(connection: Connection, row: Mapping[str, Any]) -> None:
    """Write one lead."""
    connection.execute(insert(lead), row)


def find_lead(connection: Connection, id_: str) -> dict[str, Any] | None:
    """Give one lead, whosever it is."""
    row = connection.execute(select(lead).where(lead.c.id == id_)).mappings().first()
    return None if row is None else {str(key): value for key, value in row.items()}


def leads(
    connection: Connection, tenant: str | None, state: str, limit: int
) -> list[Any]:
    """List leads, the oldest first."""
    query = select(lead).where(lead.c.state == state)
    if tenant is not None:
        query = query.where(lead.c.tenant == tenant)
    return list(connection.execute(query.order_by(lead.c.at, lead.c.id).limit(limit)))


def move_lead(
    connection: Connection, id_: str, tenant: str | None, values: Mapping[str, Any]
) -> bool:
    """Change a lead; False when there is none of the tenant's."""
    query = update(lead).where(lead.c.id == id_).values(**values)
    if tenant is not None:
        query = query.where(lead.c.tenant == tenant)
    return connection.execute(query).rowcount == 1
