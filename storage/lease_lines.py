"""Whose line an address was bound to at a time, from the leases and their history."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address

from sqlalchemy import Connection, select

from storage.lease_tables import lease, lease_history


def line_at(connection: Connection, address: str, at: int) -> str | None:
    """Give the line that had an IPv4 address at a time (epoch seconds), if any had."""
    try:
        number = int(IPv4Address(address))
    except AddressValueError:
        return None
    now, then = lease.c, lease_history.c
    held = select(now.line).where(
        now.address == number,
        now.started_at <= at,
        now.expires_at > at,
        now.ended_at.is_(None) | (now.ended_at > at),
    )
    line: str | None = connection.scalar(held)
    if line is None:
        had = select(then.line).where(
            then.address == number, then.started_at <= at, then.ended_at > at
        )
        line = connection.scalar(had.order_by(then.started_at.desc()).limit(1))
    return line
