"""The address server's leases, as provisioning asks for them: by line, by address."""

from __future__ import annotations

from typing import Final

from netaddr import AddrFormatError, IPAddress
from sqlalchemy import Connection, bindparam, select

from provisioning.proof import Sign
from storage.lease_tables import lease

_SIGNS: Final = 20
_SIGNS_OF: Final = (
    select(lease.c.address, lease.c.extended_at)
    .where(
        lease.c.line == bindparam("on"),
        lease.c.service == bindparam("of"),
        (lease.c.ended_at.is_(None) & (lease.c.expires_at > bindparam("now")))
        | (lease.c.started_at >= bindparam("since")),
    )
    .limit(_SIGNS)
)


def signs_of(
    connection: Connection, line: str, service: str, now: int, since: int
) -> list[Sign]:
    """Give the leases that a line has for a service: in force, or given ``since``."""
    given = {"on": line, "of": service, "now": now, "since": since}
    rows = connection.execute(_SIGNS_OF, given)
    return [Sign(str(IPAddress(row.address, 4)), row.extended_at) for row in rows]


def live_on(connection: Connection, line: str, now: int) -> list[Sign]:
    """Give the leases that a line has in force, of whichever pool."""
    table = lease.c
    query = select(table.address, table.extended_at).where(
        table.line == line, table.ended_at.is_(None), table.expires_at > now
    )
    rows = connection.execute(query.limit(_SIGNS))
    return [Sign(str(IPAddress(row.address, 4)), row.extended_at) for row in rows]


def line_of(connection: Connection, address: str, now: int) -> str | None:
    """Give the line that has an IPv4 address leased now; None when none has."""
    try:
        wanted = IPAddress(address)
    except (AddrFormatError, ValueError):
        return None
    if wanted.is_ipv4_mapped():  # as a socket of both families shows it
        wanted = wanted.ipv4()
    if wanted.version != 4:
        return None
    table = lease.c
    query = select(table.line).where(
        table.address == int(wanted), table.ended_at.is_(None), table.expires_at > now
    )
    return connection.scalar(query)
