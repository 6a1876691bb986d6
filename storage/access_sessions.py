"""Sessions as access and CoA ask for them: by user, with what names them at the NAS."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select, text

from storage.tables import session

_AT_ONCE: Final = 500
_COLUMNS: Final = (
    session.c.id,
    session.c.nas,
    session.c.nas_identity,
    session.c.acct_session_id,
    session.c.user_name,
    session.c.class_,
    session.c.framed_ip_address,
    session.c.calling_station_id,
    session.c.nas_port_id,
    session.c.agent_circuit_id,
    session.c.state,
    session.c.last_arrival_at,
)


class NasSession(NamedTuple):
    """A session as its NAS knows it; times in epoch seconds."""

    id: int
    nas: str
    nas_identity: str
    acct_session_id: str
    user_name: str | None
    class_: bytes | None
    framed_ip_address: str | None
    calling_station_id: str | None
    nas_port_id: str | None
    agent_circuit_id: str | None
    state: str
    last_arrival_at: int


def sessions_of_users(
    connection: Connection, users: Iterable[str], since: int
) -> Iterator[NasSession]:
    """Yield the sessions of these User-Names that are live or were seen ``since``."""
    names = sorted(users)
    for place in range(0, len(names), _AT_ONCE):
        query = select(*_COLUMNS).where(
            session.c.user_name.in_(names[place : place + _AT_ONCE]),
            (session.c.state != "closed") | (session.c.last_seen_at >= since),
        )
        yield from _rows(connection.execute(query))


def sessions_without_user(connection: Connection, service: str) -> list[NasSession]:
    """Read the live sessions of a service whose accounting names no user: use was
    guided to it by Class, circuit or address."""
    query = select(*_COLUMNS).where(
        session.c.service == service,
        # As the partial index has it: SQLite uses it for the same words only.
        text("state <> 'closed' AND user_name IS NULL"),
    )
    return list(_rows(connection.execute(query)))


def sessions_by_id(connection: Connection, ids: Sequence[int]) -> dict[int, NasSession]:
    """Read sessions by their ids."""
    query = select(*_COLUMNS).where(session.c.id.in_(ids))
    return {found.id: found for found in _rows(connection.execute(query))}


def _rows(rows: Iterable[Any]) -> Iterator[NasSession]:
    for row in rows:
        yield NasSession(*row)
