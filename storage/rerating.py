"""What rerating reads: usage in the order of its ids, its sessions, what it came to.

Everything works in the caller's transaction and streams in slices.
"""

# ruff: noqa: S608  what is put into statements is our own tables' and columns' names
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, func, or_, select

from rating.entry import Entry, Kind, Source
from storage.among import among
from storage.bulk import is_postgresql
from storage.entry_queries import entries_of
from storage.settlement_tables import block, book, entry
from storage.tables import session, usage
from storage.usage_arrivals import rated_as_of

_USAGE: Final = (
    "id, session_id, started_at, ended_at, seconds, input_octets, output_octets"
    ", derived"
)
_AT_ONCE: Final = 500


def usage_behind(
    connection: Connection, usage_id: int, since: int, until: int, limit: int
) -> Sequence[Sequence[Any]]:
    """The next usage records behind an id that began in a span (epoch seconds)."""
    mark = "%s" if is_postgresql(connection) else "?"
    sql = (
        f"SELECT {_USAGE} FROM usage WHERE id > {mark} AND started_at >= {mark}"
        f" AND started_at < {mark} ORDER BY id LIMIT {mark}"
    )
    return connection.exec_driver_sql(sql, (usage_id, since, until, limit)).all()


def is_rolled_up(connection: Connection, since: int, until: int) -> bool:
    """Say whether any usage of a span (epoch seconds) was made one record of many."""
    of_span = usage.c.ended_at > since, usage.c.started_at < until
    query = select(usage.c.id).where(usage.c.rolled_up, *of_span).limit(1)
    return connection.execute(query).first() is not None


def last_usage_id(connection: Connection) -> int:
    """The id of the newest usage record; 0 before the first."""
    return connection.execute(select(func.max(usage.c.id))).scalar() or 0


def sessions_by_id(connection: Connection, ids: Sequence[int]) -> list[Row[Any]]:
    """Sessions by their ids; those that are there no more are left out."""
    found: list[Row[Any]] = []
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        found += connection.execute(select(session).where(session.c.id.in_(some)))
    return found


def services_of_sessions(connection: Connection) -> list[str]:
    """Every service that a session was guided to; it reads the whole table."""
    service = session.c.service
    query = select(service).where(service.is_not(None)).distinct()
    return list(connection.scalars(query))


def usage_by_id(connection: Connection, ids: Sequence[int]) -> list[Row[Any]]:
    """Usage records by their ids, in order; those that are there no more are left
    out."""
    found: list[Row[Any]] = []
    for first in range(0, len(ids), _AT_ONCE):
        own = usage.c.id.in_(ids[first : first + _AT_ONCE])
        query = select(usage).where(own).order_by(usage.c.id)
        found += connection.execute(query)
    return found


def booked(
    connection: Connection, month: str
) -> list[tuple[str, str, str | None, int, int]]:
    """What usage of a month came to, late or not: tenant, currency, service, and the
    sums of what the subscriber and what the ISP (wholesale) was charged."""
    whose = book.c.tenant, book.c.currency, entry.c.service
    query = (
        select(
            *whose,
            func.sum(-entry.c.subscriber_amount),
            func.sum(entry.c.network_amount),
        )
        .select_from(entry.join(book, book.c.id == entry.c.book_id))
        .where(*_of_month(month))
        .group_by(*whose)
    )
    rows = connection.execute(query)
    return [(r[0], r[1], r[2], int(r[3]), int(r[4])) for r in rows]


def booked_by_time(
    connection: Connection, month: str, services: Sequence[str]
) -> list[tuple[str, str, str, int, int]]:
    """What subscribers were charged for usage of a month by these services, late or
    not: tenant, currency, service, what the usage was rated as of, and the sum."""
    at = func.coalesce(rated_as_of(), entry.c.at)
    whose = book.c.tenant, book.c.currency, entry.c.service, at
    query = (
        select(*whose, func.sum(-entry.c.subscriber_amount))
        .select_from(
            entry.join(book, book.c.id == entry.c.book_id).outerjoin(
                usage, usage.c.id == entry.c.source_id
            )
        )
        .where(*_of_month(month), among(entry.c.service))
        .group_by(*whose)
    )
    rows = connection.execute(query, {"keys": list(services)})
    return [(r[0], r[1], r[2], r[3], int(r[4])) for r in rows]


def _of_month(month: str) -> tuple[ColumnElement[bool], ...]:
    own = or_(
        and_(book.c.month == month, entry.c.late_from.is_(None)),
        entry.c.late_from == month,
    )
    kinds = book.c.kind == Kind.ACCESS, book.c.source == Source.USAGE
    return *kinds, book.c.month >= month, own


def taken_back(
    connection: Connection, month: str, services: Sequence[str]
) -> list[Entry]:
    """What top-ups gave back of usage of a month, late or not, that nothing reversed:
    usage's entries that no record is behind."""
    undo = entry.alias("undo")
    is_reversed = select(undo.c.id).where(undo.c.reverses == entry.c.id).exists()
    runs = block.join(
        entry, entry.c.id.between(block.c.first_entry_id, block.c.last_entry_id)
    ).join(book, book.c.id == block.c.book_id)
    found = entries_of(
        connection,
        runs,
        book.c.source == Source.USAGE,
        book.c.kind == Kind.ACCESS,
        book.c.month >= month,
        block.c.first_source_id.is_(None),
        entry.c.reverses.is_(None),
        or_(
            and_(book.c.month == month, entry.c.late_from.is_(None)),
            entry.c.late_from == month,
        ),
        ~is_reversed,
    )
    wanted = set(services)
    return [one for one in found if one.posting.service in wanted]


def standing(connection: Connection, first: int, last: int) -> list[Entry]:
    """The entries of usage records between two ids that nothing has reversed."""
    undo = entry.alias("undo")
    is_reversed = select(undo.c.id).where(undo.c.reverses == entry.c.id).exists()
    runs = block.join(
        entry, entry.c.id.between(block.c.first_entry_id, block.c.last_entry_id)
    ).join(book, book.c.id == block.c.book_id)
    return entries_of(
        connection,
        runs,
        book.c.source == Source.USAGE,
        book.c.kind == Kind.ACCESS,
        block.c.first_source_id <= last,
        block.c.last_source_id >= first,
        entry.c.source_id.between(first, last),
        entry.c.reverses.is_(None),
        ~is_reversed,
    )
