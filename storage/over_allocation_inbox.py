"""Commands to the over-allocation on their way: put in by services, taken by the
address server, answered by way of its journal.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, insert, select, text

from ipserver.over_allocation_command import Command
from storage.overallocation_tables import over_allocation_command

PENDING_MAX: Final = 256
"""Commands that are taken at once."""


class Put(NamedTuple):
    """A command in the inbox; ``result`` is None until it was applied."""

    number: int
    body: dict[str, Any]
    action: str
    result: str | None
    message: str
    object_number: int


def put(
    connection: Connection,
    *,
    tenant: str,
    actor: str,
    client_key: str,
    action: str,
    body: dict[str, Any],
    now: int,
) -> Put:
    """Add a command, or find the one that has the key already."""
    if connection.dialect.name == "postgresql":
        # Numbers must become visible in their order, or one is passed over.
        connection.execute(
            text("LOCK TABLE over_allocation_command IN SHARE ROW EXCLUSIVE MODE")
        )
    table = over_allocation_command
    mine = table.c.tenant == tenant
    known = select(table).where(mine, table.c.client_key == client_key)
    row = connection.execute(known).one_or_none()
    if row is None:
        values: dict[str, Any] = {"tenant": tenant, "actor": actor, "at": now}
        values |= {"client_key": client_key, "action": action, "body": body}
        connection.execute(insert(table).values(values))
        row = connection.execute(known).one()
    return _put(row)


def find(connection: Connection, tenant: str, number: int) -> Put | None:
    """Look how a command of a tenant is."""
    table = over_allocation_command
    mine = table.c.tenant == tenant
    query = select(table).where(mine, table.c.number == number)
    row = connection.execute(query).one_or_none()
    return None if row is None else _put(row)


def pending(connection: Connection, after: int) -> list[Command]:
    """Take the commands beyond a number, in order, ``PENDING_MAX`` at most."""
    table = over_allocation_command
    query = select(table).where(table.c.number > after).order_by(table.c.number)
    return [
        msgspec.convert(
            {
                **row.body,
                "number": row.number,
                "tenant": row.tenant,
                "actor": row.actor,
                "action": row.action,
            },
            Command,
        )
        for row in connection.execute(query.limit(PENDING_MAX))
    ]


def _put(row: Row[Any]) -> Put:
    return Put(
        *(row.number, row.body, row.action),
        *(row.result, row.message, row.object_number),
    )
