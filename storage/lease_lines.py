"""Whose line an address was bound to at a time, from the leases and their history."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from sqlalchemy import Connection, select

from storage.bulk import is_postgresql
from storage.lease_tables import lease, lease_history

_LINE_AT = """
SELECT line FROM lease WHERE address = {0} AND started_at <= {1} AND expires_at > {1}
    AND (ended_at IS NULL OR ended_at > {1})
UNION ALL
SELECT line FROM lease_history WHERE address = {0} AND started_at <= {1}
    AND ended_at > {1}
"""
_SQLITE = _LINE_AT.format("?1", "?2")
_POSTGRESQL = _LINE_AT.format("%(address)s", "%(at)s")


def any_lease(connection: Connection) -> bool:
    """Say whether any address was ever bound: where addresses come from elsewhere,
    there is nothing to look up."""
    return any(
        connection.execute(select(table.c.line).limit(1)).first() is not None
        for table in (lease, lease_history)
    )


def line_at(connection: Connection, address: str, at: int) -> str | None:
    """Give the line that had an IPv4 address at a time (epoch seconds), if any had."""
    try:
        number = int(IPv4Address(address))
    except AddressValueError:
        return None
    if is_postgresql(connection):
        values = {"address": number, "at": at}
        found = connection.exec_driver_sql(_POSTGRESQL, values).first()
    else:
        found = connection.exec_driver_sql(_SQLITE, (number, at)).first()
    return None if found is None else str(found[0])
