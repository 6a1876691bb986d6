"""Leases as people and programs read them: `fairlane leases`, `fairlane who-had`.

Rows stream from the database in the order of addresses. The names are those of the JSON
that the commands print, and stay what they are. Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from netaddr import IPAddress
from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from config.moment import moment
from storage.lease_tables import lease, lease_history

STATES: Final = ("live", "expired", "ended")
_KINDS: Final = ("own", "garden", "grace", "sold", "superseded")
_ROWS_AT_ONCE: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseFilter:
    """What to list; None lists all. `now` (epoch seconds) tells live from expired."""

    now: int
    address: int | None = None
    line: str | None = None
    isp: str | None = None
    pool: str | None = None
    state: str | None = None
    limit: int | None = None


def list_leases(
    connection: Connection, wanted: LeaseFilter
) -> Iterator[dict[str, Any]]:
    """The last lease of each address that matches, as JSON-ready objects."""
    asked = (
        (lease.c.address, wanted.address),
        (lease.c.line, wanted.line),
        (lease.c.isp, wanted.isp),
        (lease.c.pool, wanted.pool),
    )
    conditions = [column == value for column, value in asked if value is not None]
    if wanted.state is not None:
        conditions.append(_in_state(wanted.state, wanted.now))
    query = select(lease).where(*conditions).order_by(lease.c.address)
    rows = connection.execute(
        query.limit(wanted.limit), execution_options={"yield_per": _ROWS_AT_ONCE}
    )
    for row in rows:
        yield _lease_object(row, wanted.now)


def _in_state(state: str, now: int) -> ColumnElement[bool]:
    open_ = lease.c.ended_at.is_(None)
    return {
        "live": and_(open_, lease.c.expires_at > now),
        "expired": and_(open_, lease.c.expires_at <= now),
        "ended": lease.c.ended_at.is_not(None),
    }[state]


def who_had(connection: Connection, address: int, at: int) -> dict[str, Any] | None:
    """Who had an address at a time (epoch seconds), or None.

    A binding has its first second and not its last: whoever got the address in the
    second in which another gave it up is the one who had it.
    """
    past = lease_history.c
    ended = (
        select(lease_history)
        .where(past.address == address, past.started_at <= at, past.ended_at > at)
        .order_by(past.started_at.desc(), past.id.desc())
        .limit(1)
    )
    row = connection.execute(ended).first()
    if row is not None:
        return _binding_object(row, row.ended_at, row.end_reason)
    current = lease.c
    last = select(lease).where(
        current.address == address,
        current.started_at <= at,
        or_(current.ended_at.is_(None), current.ended_at > at),
        current.expires_at > at,
    )
    row = connection.execute(last).first()
    return None if row is None else _binding_object(row, None, None)


def _lease_object(row: Row[Any], now: int) -> dict[str, Any]:
    state = "ended" if row.ended_at is not None else "live"
    if state == "live" and row.expires_at <= now:
        state = "expired"
    return {
        **_binding_object(row, row.ended_at, row.end_reason),
        "state": state,
        "kind": _KINDS[row.kind],
        "extended_at": _time(row.extended_at),
        "expires_at": _time(row.expires_at),
        "generation": row.generation,
    }


def _binding_object(
    row: Row[Any], ended_at: int | None, reason: str | None
) -> dict[str, Any]:
    hardware = bytes(row.hardware)
    return {
        "address": str(IPAddress(row.address)),
        "line": row.line,
        "hardware": hardware[1:].hex(":"),
        "hardware_type": hardware[0] if hardware else None,
        "client_id": bytes(row.client_id).hex() or None,
        "agent": bytes(row.agent).hex() or None,
        "service": row.service,
        "isp": row.isp,
        "pool": row.pool,
        "owner": row.owner,
        "borrower": row.borrower,
        "started_at": _time(row.started_at),
        "ended_at": _time(ended_at),
        "end_reason": reason,
    }


def _time(epoch_seconds: int | None) -> str | None:
    return None if epoch_seconds is None else moment(epoch_seconds)
