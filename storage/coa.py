"""CoA and Disconnect commands: queued, claimed, and what became of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, insert, select, update

from storage.access_tables import coa_command
from storage.tables import session as session_table

_UNFINISHED: Final = ("queued", "sent", "acked")


class Command(NamedTuple):
    """One command as it is stored; times in epoch seconds, rates in kbit/s."""

    id: int
    kind: str
    state: str
    service: str
    nas: str
    session_id: int
    acct_session_id: str
    up_kbps: int | None
    down_kbps: int | None
    falls_back: bool
    follows: int | None
    requested_by: str
    requested_at: int
    sent_at: int | None
    answered_at: int | None
    verified_at: int | None
    attempts: int
    error_cause: int | None
    reason: str | None
    tenant: str


_COLUMNS: Final = tuple(coa_command.c[name] for name in Command._fields)


def add_command(connection: Connection, **values: Any) -> int:
    """Queue a command; give its number."""
    result = connection.execute(insert(coa_command).values(state="queued", **values))
    (number,) = result.inserted_primary_key or (0,)
    return int(number)


def read_command(connection: Connection, number: int) -> Command | None:
    """Read one command."""
    query = select(*_COLUMNS).where(coa_command.c.id == number)
    row = connection.execute(query).one_or_none()
    return None if row is None else Command(*row)


def commands(
    connection: Connection,
    *,
    tenant: str | None = None,
    service: str | None = None,
    states: tuple[str, ...] = (),
    limit: int,
) -> Iterator[Command]:
    """List commands, the newest first; ``tenant`` None lists those of all."""
    query = select(*_COLUMNS).order_by(coa_command.c.id.desc()).limit(limit)
    if tenant is not None:
        query = query.where(coa_command.c.tenant == tenant)
    if service is not None:
        query = query.where(coa_command.c.service == service)
    if states:
        query = query.where(coa_command.c.state.in_(states))
    for row in connection.execute(query):
        yield Command(*row)


def unfinished(connection: Connection, limit: int) -> list[tuple[Command, Any]]:
    """List commands that are not done, the oldest first, each with its session.

    Of the session its state and when it last reported, None when it is no more.
    """
    its_session = session_table.c.id == coa_command.c.session_id
    query = (
        select(*_COLUMNS, session_table.c.state, session_table.c.last_arrival_at)
        .join(session_table, its_session, isouter=True)
        .where(coa_command.c.state.in_(_UNFINISHED))
        .order_by(coa_command.c.id)
        .limit(limit)
    )
    return [
        (Command(*row[:-2]), (row[-2], row[-1])) for row in connection.execute(query)
    ]


def move(connection: Connection, number: int, *, before: str, **values: Any) -> bool:
    """Change a command that is still in the state ``before``; say whether it was."""
    result = connection.execute(
        update(coa_command)
        .where(coa_command.c.id == number, coa_command.c.state == before)
        .values(**values)
    )
    return result.rowcount == 1
