"""The ledger as it is written: batches of entries, numbered, summed and chained.

Whoever posts holds the one row of ``ledger_head`` until the transaction ends, so that
numbers have no gap and digests one order, however many processes post. Everything works
in the caller's transaction and raises StorageError when the database fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, insert, select, update

from rating.chain import Digest
from rating.entry import Book, Posting, check
from rating.months import Closed
from storage import bulk
from storage.settlement_tables import (
    BLOCK_COLUMNS,
    BOOK_COLUMNS,
    CLOSING_COLUMNS,
    ENTRY_COLUMNS,
    block,
    book,
    closing,
    entry,
    ledger_batch,
    ledger_head,
)

Postings = Mapping[Book, Sequence[tuple[Any, ...]]]
"""What is to be posted by the book it belongs to: ``Posting``s, or plain tuples in
their order."""


class Head(NamedTuple):
    """The end of the ledger: the last ids given, closings so far, the last digest."""

    entry_id: int
    batch_id: int
    book_id: int
    closings: int
    digest: bytes


class Posted(NamedTuple):
    """What a batch wrote: its first and last entry; none when last is below first."""

    first_entry_id: int
    last_entry_id: int


class BookIds:
    """The ids of books that one process has met; thrown away with a transaction that
    failed, as a book that it made is not there."""

    def __init__(self) -> None:
        self._known: dict[Book, int] = {}

    def resolve(self, connection: Connection, wanted: Book, head: Head) -> int | None:
        """Give the id of a book, None when the database has no such book."""
        found = self._known.get(wanted)
        if found is None and head.book_id:
            same = (book.c[name] == value for name, value in wanted._asdict().items())
            found = connection.execute(select(book.c.id).where(*same)).scalar()
            if found is not None:
                self._known[wanted] = found
        return found

    def learn(self, made: Book, book_id: int) -> None:
        """Take a book that this transaction made."""
        self._known[made] = book_id


def lock_head(connection: Connection) -> Head:
    """Let nobody else post or close until this transaction ends; give the head."""
    columns = ledger_head.c
    query = select(*(columns[name] for name in Head._fields)).with_for_update()
    row = connection.execute(query).one()
    return Head._make(row)._replace(digest=bytes(row.digest))


def closings(connection: Connection) -> int:
    """Give how many months have been closed, of all tenants and zones."""
    count: int = connection.execute(select(ledger_head.c.closings)).scalar_one()
    return count


def read_closed(connection: Connection) -> Closed:
    """The last closed month of each tenant and zone."""
    columns = closing.c
    query = select(columns.tenant, columns.zone, func.max(columns.month))
    rows = connection.execute(query.group_by(columns.tenant, columns.zone))
    return {(row[0], row[1]): row[2] for row in rows}


def post(
    connection: Connection,
    head: Head,
    postings: Postings,
    now: int,
    books: BookIds | None = None,
) -> Posted:
    """Write postings as one batch behind ``head``, which ``lock_head`` gave.

    ``books`` saves look-ups where it is kept from batch to batch. Raises
    UnbalancedError before anything is written when legs do not sum to zero. Call it
    once a transaction: the head is not read again.
    """
    books = BookIds() if books is None else books
    first = entry_id = head.entry_id + 1
    book_id, batch_id = head.book_id, head.batch_id + 1
    new_books: list[tuple[Any, ...]] = []
    blocks: list[tuple[Any, ...]] = []
    chained: list[tuple[Any, ...]] = []
    rows: list[tuple[Any, ...]] = []
    for its_book, its_postings in postings.items():
        if not its_postings:
            continue
        its_id = books.resolve(connection, its_book, head)
        if its_id is None:
            book_id += 1
            its_id = book_id
            books.learn(its_book, its_id)
            new_books.append((its_id, *its_book))
        sums = check(its_postings)
        begin, entry_id = entry_id, entry_id + len(its_postings)
        rows += [
            (number, its_id, *posting)
            for number, posting in enumerate(its_postings, start=begin)
        ]
        sources = [s for s in map(_source_id, its_postings) if s is not None]
        least, greatest = min(sources, default=None), max(sources, default=None)
        summed = (begin, entry_id - 1, its_id, batch_id, least, greatest, *sums)
        blocks.append(summed)
        chained.append((*summed, *its_book))
    if not rows:
        return Posted(first, first - 1)
    digest = Digest(head.digest)
    digest.feed([(batch_id, first, entry_id - 1, now), *chained])
    digest.feed(rows)
    value = digest.value()
    bulk.insert(connection, book, ("id", *BOOK_COLUMNS), new_books)
    bulk.insert(connection, entry, ENTRY_COLUMNS, rows)
    bulk.insert(connection, block, BLOCK_COLUMNS, blocks)
    _add_batch(connection, (batch_id, first, entry_id - 1, now, value))
    connection.execute(
        update(ledger_head).values(
            entry_id=entry_id - 1, batch_id=batch_id, book_id=book_id, digest=value
        )
    )
    return Posted(first, entry_id - 1)


def close_month(
    connection: Connection, tenant: str, zone: str, month: str, now: int
) -> None:
    """Close a month of a tenant and zone; what comes later is booked behind it.

    A closing is a batch of no entries, so that it is in the chain of digests.
    """
    head = lock_head(connection)
    batch_id, row = head.batch_id + 1, (tenant, zone, month, now, head.entry_id)
    digest = Digest(head.digest)
    digest.feed([(batch_id, 0, 0, now), row])
    value = digest.value()
    values = dict(zip(CLOSING_COLUMNS, row, strict=True))
    connection.execute(insert(closing).values(**values, batch_id=batch_id))
    _add_batch(connection, (batch_id, 0, 0, now, value))
    connection.execute(
        update(ledger_head).values(
            batch_id=batch_id, closings=head.closings + 1, digest=value
        )
    )


def _add_batch(connection: Connection, row: tuple[int, int, int, int, bytes]) -> None:
    names = (column.name for column in ledger_batch.c)
    connection.execute(insert(ledger_batch).values(dict(zip(names, row, strict=True))))


_source_id = itemgetter(Posting._fields.index("source_id"))
