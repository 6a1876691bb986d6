"""A session as the ledger holds it, and as its row in the database: one to the other;
and a row of usage as it is rated.

The row's columns are those of ``storage.tables``; ``points`` is the session's own
memory, which no query looks into.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Row

from radius.accounting import Description
from rating.charge import RatableUsage
from rating.counters import Derived, restore
from rating.session import Closed, Nas, Session, State, Usage
from storage.tables import LIFE_COLUMNS, SESSION_COLUMNS

_AT = {name: place for place, name in enumerate(SESSION_COLUMNS)}
_DESCRIPTION = [_AT[name] for name in Description._fields]
_GUIDED = ("service", "guided_by", "tenant")
_WHOLE = ("nas", "acct_session_id", *Description._fields, *LIFE_COLUMNS, *_GUIDED)
_guided = itemgetter(*(_AT[name] for name in _GUIDED))
_in_order = itemgetter(*(_WHOLE.index(name) for name in SESSION_COLUMNS))
_WORDS: dict[str | None, str | None] = {
    word: word.value for words in (Derived, State, Closed) for word in words
} | {None: None}
"""The driver takes a plain str at once, and looks for an adapter for any other."""
_REPORTED, _ESTIMATED = "reported", "estimated"
_GIGAWORDS, _NO_GIGAWORDS = b"\1", b"\0"
"""What precedes the counters in ``points``: no column has it either."""


def session_of(row: Sequence[Any], nas_of: Callable[[str], Nas]) -> Session:
    """Make the session that a row keeps."""
    session = Session()
    session.id = row[_AT["id"]]
    session.nas = row[_AT["nas"]]
    session.acct_session_id = row[_AT["acct_session_id"]]
    session.state = State(row[_AT["state"]])
    session.started_at = row[_AT["started_at"]]
    session.start_reported = row[_AT["started_derived"]] == _REPORTED
    session.last_seen_at = row[_AT["last_seen_at"]]
    session.last_arrival_at = row[_AT["last_arrival_at"]]
    session.stopped_at = row[_AT["stopped_at"]]
    session.terminate_cause = row[_AT["terminate_cause"]]
    closed_by = row[_AT["close_derived"]]
    session.closed_by = None if closed_by is None else Closed(closed_by)
    session.seconds = row[_AT["seconds"]]
    session.standing = 0
    session.description = Description._make(row[place] for place in _DESCRIPTION)
    session.older = None
    session.service, session.guided_by, session.tenant = _guided(row)
    session.tried = session.batch = 0
    points = row[_AT["points"]]
    session.gigawords = points[:1] == _GIGAWORDS
    rule = nas_of(session.nas).rules[session.gigawords]
    session.counters = restore(points[1:], rule)
    return session


def described_row(session: Session) -> tuple[Any, ...]:
    """Make the whole row of a session, in the order of SESSION_COLUMNS."""
    assert session.description is not None
    row: tuple[Any, ...] = _in_order(
        (
            session.nas,
            session.acct_session_id,
            *session.description,
            *life_row(session),
            session.service,
            session.guided_by,
            session.tenant,
        )
    )
    return row


def progress_row(session: Session) -> tuple[Any, ...]:
    """Make what a report counts up of a row, in the order of PROGRESS_COLUMNS."""
    (octets_in, octets_out, packets_in, packets_out), _, _, points = session.counters
    return (
        session.id,
        session.last_seen_at,
        session.last_arrival_at,
        session.seconds,
        octets_in,
        octets_out,
        packets_in,
        packets_out,
        (_GIGAWORDS if session.gigawords else _NO_GIGAWORDS) + points,
    )


def life_row(session: Session) -> tuple[Any, ...]:
    """Make what a report changes of a row, in the order of LIFE_COLUMNS."""
    return (
        *progress_row(session),
        _WORDS[session.state],
        session.started_at,
        _REPORTED if session.start_reported else _ESTIMATED,
        session.stopped_at,
        session.terminate_cause,
        _WORDS[session.closed_by],
    )


def guided_row(session: Session) -> tuple[int, str | None, str | None, str]:
    """Make what ``storage.sessions.update_guided`` takes of a session."""
    return session.id, session.service, session.guided_by, session.tenant


def usage_row(
    usage_id: int, usage: Usage, records: int, session: Session
) -> tuple[Any, ...]:
    """Make the row of a session's usage record that joins so many, as USAGE_COLUMNS
    has it."""
    derived = _WORDS[usage[8]]
    return (usage_id, *usage[:8], derived, records, session.tenant)


def ratable_of(row: Row[Any], service: str, session_started_at: int) -> RatableUsage:
    """Give a row of usage as it is rated."""
    return RatableUsage(
        service,
        row.id,
        row.session_id,
        session_started_at,
        row.started_at,
        row.ended_at,
        row.seconds,
        row.input_octets,
        row.output_octets,
        row.derived,
    )
