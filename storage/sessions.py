"""Sessions, usage and journal positions as the ledger writes them: whole batches.

Rows are plain tuples in the order of `SESSION_COLUMNS`, `PROGRESS_COLUMNS`,
`LIFE_COLUMNS` or `USAGE_COLUMNS`, because at 30,000 rows a second building anything
richer costs more than the database does. SQLite gets one prepared statement a batch;
PostgreSQL gets binary COPY, for updates into a temporary table that one UPDATE then
joins. What was measured is in docs/decisions/0005-sql-batches.md.

Every function works in the caller's transaction, takes any number of rows, and raises
StorageError when the database fails. Text must not contain NUL, which PostgreSQL
cannot store, and numbers must fit 63 bits.
"""

# ruff: noqa: S608  what is put into statements is our own tables' and columns' names
from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

import msgspec
import sqlalchemy
from sqlalchemy import Connection, Row, func, select

from storage.bulk import copy, insert, is_postgresql, types
from storage.tables import (
    LIFE_COLUMNS,
    PROGRESS_COLUMNS,
    SESSION_COLUMNS,
    USAGE_COLUMNS,
    USAGE_RUN,
    journal_position,
    session,
    usage,
)

_IDENTITY: Final = ("id", "nas", "nas_identity", "acct_session_id")
_MUTABLE: Final = tuple(c for c in SESSION_COLUMNS if c not in _IDENTITY)
_ended_at: Final = itemgetter(USAGE_COLUMNS.index("ended_at"))
_SELECT: Final = f"SELECT {', '.join(SESSION_COLUMNS)} FROM session"


def load_sessions(
    connection: Connection, acct_session_ids: Sequence[str]
) -> Sequence[Row[Any]]:
    """All sessions with one of these Acct-Session-Ids, of any NAS, by id."""
    if not acct_session_ids:
        return []
    if is_postgresql(connection):
        where = "= ANY(%s)"
        value: list[str] | str = list(acct_session_ids)
    else:
        where = "IN (SELECT value FROM json_each(?))"
        value = msgspec.json.encode(acct_session_ids).decode()
    return connection.exec_driver_sql(
        f"{_SELECT} WHERE acct_session_id {where} ORDER BY id", (value,)
    ).all()


def open_sessions_of_nas(connection: Connection, nas: str) -> Sequence[Row[Any]]:
    """The sessions of a NAS that are not closed, by id."""
    if is_postgresql(connection):
        sql = f"{_SELECT} WHERE nas = %s AND state <> 'closed' ORDER BY id"
    else:
        sql = (
            f"{_SELECT} INDEXED BY session_live_by_nas"
            " WHERE nas = ? AND state <> 'closed' ORDER BY id"
        )
    return connection.exec_driver_sql(sql, (nas,)).all()


def stale_candidates(
    connection: Connection, before_arrival: int, after_id: int, limit: int
) -> Sequence[Row[Any]]:
    """Sessions not closed that were last heard of before an arrival time, by id.

    Start with `after_id` 0 and go on with the last id given, until fewer than `limit`
    come. It may walk all live sessions, so call it on a reading connection.
    """
    if is_postgresql(connection):
        sql = (
            f"{_SELECT} WHERE id > %s AND last_arrival_at < %s"
            " AND state <> 'closed' ORDER BY id LIMIT %s"
        )
    else:
        sql = (
            f"{_SELECT} INDEXED BY session_live_by_id WHERE id > ?"
            " AND last_arrival_at < ? AND state <> 'closed' ORDER BY id LIMIT ?"
        )
    return connection.exec_driver_sql(sql, (after_id, before_arrival, limit)).all()


def insert_sessions(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add sessions; rows in the order of SESSION_COLUMNS, with ids never used."""
    insert(connection, session, SESSION_COLUMNS, rows)


def insert_usage(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add usage records; rows in the order of USAGE_COLUMNS, with ids never used."""
    insert(connection, usage, USAGE_COLUMNS, rows)
    if not rows:
        return
    latest = max(map(_ended_at, rows))
    connection.execute(
        sqlalchemy.text(
            "INSERT INTO usage_run (run, latest_end) VALUES (:run, :latest)"
            " ON CONFLICT (run) DO UPDATE SET latest_end = excluded.latest_end"
            " WHERE excluded.latest_end > usage_run.latest_end"
        ),
        [
            {"run": run, "latest": latest}
            for run in sorted({row[0] // USAGE_RUN for row in rows})
        ],
    )


def update_sessions(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Replace all but the identity of sessions, each at most once a call.

    Rows are whole, in the order of SESSION_COLUMNS; one of an unknown id is ignored.
    """
    _update(connection, SESSION_COLUMNS, _MUTABLE, rows)


def update_progress(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Replace what counts up in sessions, each at most once a call.

    Rows are in the order of PROGRESS_COLUMNS. It costs a third of `update_sessions`,
    and is enough when only times, counters and points have changed.
    """
    _update(connection, PROGRESS_COLUMNS, PROGRESS_COLUMNS[1:], rows)


def update_life(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Replace what counts up and the state of sessions, each at most once a call.

    Rows are in the order of LIFE_COLUMNS.
    """
    _update(connection, LIFE_COLUMNS, LIFE_COLUMNS[1:], rows)


def update_guided(
    connection: Connection, rows: Sequence[tuple[int, str | None, str | None, str]]
) -> None:
    """Write whose sessions are: id, service, what said so, and tenant."""
    if rows:
        marks = ("%s", "%s", "%s", "%s") if is_postgresql(connection) else "????"
        connection.exec_driver_sql(
            "UPDATE session SET service = {}, guided_by = {}, tenant = {}"
            " WHERE id = {}".format(*marks),
            [(*guided, number) for number, *guided in rows],
        )


def write_tenants(connection: Connection, tenants: Mapping[int, str]) -> None:
    """Write whose usage is, by its ids."""
    if tenants:
        marks = ("%s", "%s") if is_postgresql(connection) else "??"
        connection.exec_driver_sql(
            "UPDATE usage SET tenant = {} WHERE id = {}".format(*marks),
            [(tenant, number) for number, tenant in tenants.items()],
        )


def read_positions(connection: Connection) -> dict[str, int]:
    """How far each journal is applied: the position of the next record to read."""
    columns = journal_position.c
    rows = connection.execute(select(columns.journal, columns.position))
    return {row.journal: row.position for row in rows}


def write_position(connection: Connection, journal: str, position: int) -> None:
    """Remember how far a journal is applied, with the batch that did it."""
    connection.execute(
        sqlalchemy.text(
            "INSERT INTO journal_position (journal, position)"
            " VALUES (:journal, :position) ON CONFLICT (journal)"
            " DO UPDATE SET position = excluded.position"
        ),
        {"journal": journal, "position": position},
    )


def next_ids(connection: Connection) -> tuple[int, int]:
    """The first unused id of a session and of a usage record, for the ledger's start.

    Only one ledger may write at a time: it counts on from here by itself.
    """
    highest = [
        connection.execute(select(func.max(table.c.id))).scalar()
        for table in (session, usage)
    ]
    return (highest[0] or 0) + 1, (highest[1] or 0) + 1


def sessions_by_state(connection: Connection) -> dict[str, int]:
    """How many sessions there are in each state; every state that has any.

    It reads an index from end to end, so ask at the start and count on from there.
    """
    state = session.c.state
    live = select(state, func.count()).where(sqlalchemy.text("state <> 'closed'"))
    counts = {row[0]: row[1] for row in connection.execute(live.group_by(state))}
    total = connection.execute(select(func.count()).select_from(session)).scalar_one()
    closed = total - sum(counts.values())
    if closed:
        counts["closed"] = closed
    return counts


def _update(
    connection: Connection,
    given: tuple[str, ...],
    changed: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    if not rows:
        return
    if is_postgresql(connection):
        batch = f"session_batch_{len(given)}"
        connection.exec_driver_sql(
            f"CREATE TEMPORARY TABLE IF NOT EXISTS {batch} ON COMMIT DELETE ROWS"
            f" AS SELECT {', '.join(given)} FROM session WITH NO DATA"
        )
        connection.exec_driver_sql(f"DELETE FROM {batch}")
        copy(connection, batch, given, types(session, given), rows)
        assignments = ", ".join(f"{c} = {batch}.{c}" for c in changed)
        connection.exec_driver_sql(
            f"UPDATE session SET {assignments} FROM {batch}"
            f" WHERE session.id = {batch}.id"
        )
        return
    # In order of id, a page that holds several of them is found in the cache.
    assignments = ", ".join(f"{c} = ?{given.index(c) + 1}" for c in changed)
    connection.exec_driver_sql(
        f"UPDATE session SET {assignments} WHERE id = ?1", sorted(rows, key=_id_of)
    )


def _id_of(row: tuple[Any, ...]) -> int:
    return int(row[0])
