"""The ledger as it is read: entries by book and block, balances from blocks' sums.

A question names a tenant, a party or a month; that gives books, books give blocks, and
blocks give runs of entry ids, so that a month of one ISP is read without an index on
entries and without a look at the others'. Rows stream: a list of millions needs no
memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Select,
    case,
    func,
    literal,
    not_,
    or_,
    select,
)

from rating.entry import Book, Entry, Posting
from storage.settlement_tables import (
    AMOUNTS,
    BOOK_COLUMNS,
    block,
    book,
    closing,
    entry,
    ledger_batch,
)

_STREAMED: Final = {"yield_per": 2000}
_POSTING: Final = [entry.c[name] for name in Posting._fields]
_BOOK: Final = [book.c[name] for name in BOOK_COLUMNS]
_SUMS: Final = [func.sum(block.c[name]) for name in AMOUNTS]
_POSTED_AT: Final = (
    select(ledger_batch.c.posted_at)
    .where(ledger_batch.c.first_entry_id <= entry.c.id)
    .order_by(ledger_batch.c.first_entry_id.desc())
    .limit(1)
    .scalar_subquery()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries; None is any. With a ``limit`` the newest are given.

    ``tenant`` is an ISP, ``party`` a BSP, a lending ISP or who owes a tax: who asks for
    its own names one of them, and gets no other's.
    """

    tenant: str | None = None
    party: str | None = None
    month: str | None = None
    kind: str | None = None
    source: str | None = None
    service: str | None = None
    source_id: int | None = None
    limit: int | None = None


class Balance(NamedTuple):
    """The sums of the five legs of a book, of how many entries, and the last one."""

    id: int
    book: Book
    entries: int
    last_entry_id: int
    amounts: tuple[int, ...]


def list_entries(
    connection: Connection, wanted: EntryFilter
) -> Iterator[tuple[Entry, int]]:
    """The entries that match, oldest first, each with when it was posted (epoch s)."""
    conditions = _of_book(wanted)
    if wanted.service is not None:
        conditions.append(entry.c.service == wanted.service)
    if wanted.source_id is not None:
        conditions.append(entry.c.source_id == wanted.source_id)
    query = _entries().where(*conditions)
    if wanted.limit is None:
        yield from _stream(connection, query.order_by(entry.c.id))
        return
    newest = query.order_by(entry.c.id.desc()).limit(wanted.limit)
    yield from reversed(list(_stream(connection, newest)))


def find_entry(connection: Connection, entry_id: int) -> tuple[Entry, int] | None:
    """One entry with when it was posted, None when there is no such entry."""
    row = connection.execute(_entries().where(entry.c.id == entry_id)).one_or_none()
    return None if row is None else (_entry(row), row[1])


def entries_of_book(
    connection: Connection, balance: Balance, until_entry: int
) -> Iterator[tuple[Entry, int]]:
    """The entries of one book up to one, in order, each with when it was posted."""
    query = (
        select(entry.c.id, ledger_batch.c.posted_at, *_POSTING)
        .select_from(
            block.join(ledger_batch, ledger_batch.c.id == block.c.batch_id).join(
                entry, entry.c.id.between(block.c.first_entry_id, block.c.last_entry_id)
            )
        )
        .where(block.c.book_id == balance.id, block.c.last_entry_id <= until_entry)
        .order_by(block.c.first_entry_id, entry.c.id)
    )
    its_book, make = balance.book, Posting._make
    for row in connection.execute(query, execution_options=_STREAMED):
        yield Entry(row[0], its_book, make(row[2:])), row[1]


def entries_of(
    connection: Connection, runs: FromClause, *conditions: ColumnElement[bool]
) -> list[Entry]:
    """The entries of a join with their books that meet some conditions, in order."""
    query = select(entry.c.id, _POSTED_AT, *_BOOK, *_POSTING).select_from(runs)
    rows = connection.execute(query.where(*conditions).order_by(entry.c.id))
    return [_entry(row) for row in rows]


def reversed_by(connection: Connection, entry_id: int) -> int | None:
    """The entry that reverses one, None while it stands."""
    query = select(entry.c.id).where(entry.c.reverses == entry_id)
    return connection.execute(query).scalar()


def balances(
    connection: Connection, wanted: EntryFilter, until_entry: int | None = None
) -> list[Balance]:
    """The balance of every book that matches, up to the last entry of some batch.

    Service and source_id of the filter are not looked at: a book has many.
    """
    count = func.sum(block.c.last_entry_id - block.c.first_entry_id + 1)
    query = (
        select(book.c.id, *_BOOK, count, func.max(block.c.last_entry_id), *_SUMS)
        .select_from(book.join(block, block.c.book_id == book.c.id))
        .where(*_of_book(wanted))
        .group_by(book.c.id, *_BOOK)
        .order_by(*_BOOK)
    )
    if until_entry is not None:
        query = query.where(block.c.last_entry_id <= until_entry)
    behind = 1 + len(_BOOK)
    return [
        Balance(
            row[0],
            Book(*row[1:behind]),
            int(row[behind]),
            row[behind + 1],
            tuple(map(int, row[behind + 2 :])),
        )
        for row in connection.execute(query)
    ]


def months_of(connection: Connection, month: str) -> list[tuple[str, str, bool]]:
    """Every tenant and zone that has entries in a month, and whether it is closed."""
    closed = select(closing.c.tenant).where(
        closing.c.tenant == book.c.tenant,
        closing.c.zone == book.c.zone,
        closing.c.month >= month,
    )
    query = select(book.c.tenant, book.c.zone, closed.exists()).where(
        book.c.month == month
    )
    rows = connection.execute(query.distinct().order_by(book.c.tenant, book.c.zone))
    return [(row[0], row[1], bool(row[2])) for row in rows]


def totals_of_services(
    connection: Connection,
    charged: Sequence[int],
    levied: Sequence[int],
    changes: Sequence[int],
) -> Iterator[tuple[str | None, int, tuple[int, ...], tuple[int, ...]]]:
    """The sums of the legs of each service in some books, and in those of its levies.

    In the order of service; both are ids of books, of one month and currency. They are
    apart by how many of the ``changes`` (epoch seconds, in order) lie before or at the
    entry's own time, which is told behind the service.
    """
    passed = [(entry.c.at < at, place) for place, at in enumerate(changes)]
    place = (case(*passed, else_=len(changes)) if passed else literal(0)).label("place")
    is_levy = entry.c.book_id.in_(levied)
    sums = [
        func.sum(case((condition, entry.c[name]), else_=0))
        for condition in (not_(is_levy), is_levy)
        for name in AMOUNTS
    ]
    query = (
        select(entry.c.service, place, *sums)
        .select_from(
            block.join(
                entry, entry.c.id.between(block.c.first_entry_id, block.c.last_entry_id)
            )
        )
        .where(block.c.book_id.in_([*charged, *levied]))
        .group_by(entry.c.service, "place")
        .order_by(entry.c.service, "place")
    )
    half = 2 + len(AMOUNTS)
    for row in connection.execute(query, execution_options=_STREAMED):
        yield row[0], row[1], tuple(map(int, row[2:half])), tuple(map(int, row[half:]))


class ServiceSums(NamedTuple):
    """The entries of one service in one book: how many, which, and their legs' sums."""

    book_id: int
    entries: int
    first_entry_id: int
    last_entry_id: int
    amounts: tuple[int, ...]


def sums_of_service(
    connection: Connection,
    books: Sequence[int],
    service: str | None,
    until_entry: int,
    since: int,
    until: int,
) -> list[ServiceSums]:
    """The sums of a service's entries up to one, in each of some books that has any.

    Only those whose own time (epoch seconds) is from ``since`` and before ``until``.
    """
    sums = [func.sum(entry.c[name]) for name in AMOUNTS]
    query = (
        select(
            block.c.book_id,
            func.count(),
            func.min(entry.c.id),
            func.max(entry.c.id),
            *sums,
        )
        .select_from(
            block.join(
                entry, entry.c.id.between(block.c.first_entry_id, block.c.last_entry_id)
            )
        )
        .where(
            block.c.book_id.in_(books),
            block.c.first_entry_id <= until_entry,
            entry.c.id <= until_entry,
            entry.c.at >= since,
            entry.c.at < until,
            entry.c.service.is_not_distinct_from(service),
        )
        .group_by(block.c.book_id)
        .order_by(block.c.book_id)
    )
    return [
        ServiceSums(row[0], row[1], row[2], row[3], tuple(map(int, row[4:])))
        for row in connection.execute(query)
    ]


def months_upto(
    connection: Connection, tenant: str, zone: str, closed: str, month: str
) -> dict[str, int]:
    """The months of a tenant and zone behind a closed one and up to another that have
    entries, in order, each with the last entry booked in it."""
    own = book.c.tenant == tenant, book.c.zone == zone
    within = book.c.month > closed, book.c.month <= month
    query = (
        select(book.c.month, func.max(block.c.last_entry_id))
        .select_from(block.join(book, book.c.id == block.c.book_id))
        .where(*own, *within)
        .group_by(book.c.month)
        .order_by(book.c.month)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def _entries() -> Select[Any]:
    both = entry.join(book, book.c.id == entry.c.book_id)
    return select(entry.c.id, _POSTED_AT, *_BOOK, *_POSTING).select_from(both)


def _of_book(wanted: EntryFilter) -> list[ColumnElement[bool]]:
    asked = (
        (book.c.tenant, wanted.tenant),
        (book.c.month, wanted.month),
        (book.c.kind, wanted.kind),
        (book.c.source, wanted.source),
    )
    conditions = [column == value for column, value in asked if value is not None]
    if wanted.party is not None:
        conditions.append(
            or_(book.c.party == wanted.party, book.c.tax_party == wanted.party)
        )
    return conditions


def _stream(connection: Connection, query: Select[Any]) -> Iterator[tuple[Entry, int]]:
    for row in connection.execute(query, execution_options=_STREAMED):
        yield _entry(row), row[1]


def _entry(row: Row[Any]) -> Entry:
    behind = 2 + len(_BOOK)
    return Entry(row[0], Book._make(row[2:behind]), Posting._make(row[behind:]))
