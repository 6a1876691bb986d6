"""Proves the ledger from its first entry to its last, in memory that does not grow.

It is read in the order of its numbers and held against everything that was promised:
numbers without a gap, legs that sum to zero, blocks that sum up their entries, a chain
of digests that ends at the head, each reversal the mirror of what it reverses.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, func, select

from rating.chain import GENESIS, Digest
from storage.settlement_tables import (
    AMOUNTS,
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

_ROWS_AT_ONCE: Final = 2000
_LEGS: Final = slice(3, 3 + len(AMOUNTS))
_SUMS: Final = slice(6, 6 + len(AMOUNTS))
_BOOK_AT: Final = BLOCK_COLUMNS.index("book_id")

assert ENTRY_COLUMNS[_LEGS] == AMOUNTS
assert BLOCK_COLUMNS[_SUMS] == AMOUNTS


class Proof(NamedTuple):
    """What was proved: entries and batches read, the last digest, what is wrong."""

    entries: int
    batches: int
    digest: bytes
    problems: list[str]


class Prover:
    """Reads the ledger batch by batch, from its first; what it found is kept."""

    def __init__(self) -> None:
        self.entries = self.batches = self.last = self.closings = 0
        self.digest = GENESIS
        self.problems: list[str] = []
        self._is_readable = True

    def go_on(
        self,
        connection: Connection,
        *,
        entries_max: int | None = None,
        problems_max: int = 100,
    ) -> bool:
        """Read the next batches, about so many entries; say whether more are left."""
        behind = select(ledger_batch).where(ledger_batch.c.id > self.batches)
        query = behind.order_by(ledger_batch.c.id)
        until = None if entries_max is None else self.entries + entries_max
        with connection.execute(query, execution_options={"yield_per": 500}) as stream:
            for batch in stream:
                if len(self.problems) >= problems_max or not self._is_readable:
                    return False
                try:
                    self._take(connection, batch)
                except TypeError as error:  # SQLite takes any type into any column
                    self._is_readable = False
                    self.problems.append(f"batch {batch.id}: {error}")
                    return False
                if until is not None and self.entries >= until:
                    return True
        return False

    def _take(self, connection: Connection, batch: Any) -> None:
        problems = self.problems
        name = f"batch {batch.id}"
        if not batch.first_entry_id:
            self._take_closing(connection, batch)
            return
        if batch.id != self.batches + 1 or batch.first_entry_id != self.last + 1:
            problems.append(f"{name}: entries or batches before it are missing")
        found, value = _prove_batch(connection, batch, self.digest, problems)
        if batch.digest != value:
            problems.append(
                f"{name}: entries {batch.first_entry_id} to {batch.last_entry_id}"
                " are not what was written: the digest differs"
            )
        self.batches, self.last = batch.id, batch.last_entry_id
        self.entries += found
        self.digest = batch.digest

    def _take_closing(self, connection: Connection, batch: Any) -> None:
        if batch.id != self.batches + 1:
            self.problems.append(f"batch {batch.id}: batches before it are missing")
        own = closing.c.batch_id
        query = select(*(closing.c[name] for name in CLOSING_COLUMNS))
        rows = connection.execute(query.where(own == batch.id)).all()
        if not rows:  # what was closed before closings were chained
            rows = connection.execute(query.where(own.is_(None))).all()
        digest = Digest(self.digest)
        facts = (batch.id, batch.first_entry_id, batch.last_entry_id, batch.posted_at)
        digest.feed([facts, *sorted(map(tuple, rows))])
        if batch.digest != digest.value():
            which = ", ".join(f"{r.month} of {r.tenant} in {r.zone}" for r in rows[:3])
            self.problems.append(
                f"batch {batch.id}: the closing of {which or 'a month'} is not what was"
                " written: the digest differs"
            )
        self.batches, self.digest = batch.id, batch.digest
        self.closings += len(rows)


def prove(connection: Connection, *, problems_max: int = 100) -> Proof:
    """Read the whole ledger; after so many problems it stops looking."""
    prover = Prover()
    prover.go_on(connection, problems_max=problems_max)
    digest, problems = prover.digest, prover.problems
    problems += _ends(connection, prover)
    problems += _reversals(connection)
    return Proof(prover.entries, prover.batches, digest, problems[:problems_max])


def _prove_batch(
    connection: Connection, batch: Any, previous: bytes, problems: list[str]
) -> tuple[int, bytes]:
    digest = Digest(previous)
    first, last = batch.first_entry_id, batch.last_entry_id
    query = (
        select(block, *(book.c[name] for name in BOOK_COLUMNS))
        .select_from(block.outerjoin(book, book.c.id == block.c.book_id))
        .where(block.c.first_entry_id.between(first, last))
        .order_by(block.c.first_entry_id)
    )
    blocks = [tuple(row) for row in connection.execute(query)]
    digest.feed([(batch.id, first, last, batch.posted_at), *blocks])
    expected = first
    place, sums = -1, [0] * len(AMOUNTS)
    end = first - 1
    for rows in _slices(connection, first, last):
        digest.feed(rows)
        for row in rows:
            number = row[0]
            if number != expected:
                problems.append(f"entry {expected}: missing")
            expected = number + 1
            if sum(row[_LEGS]):
                problems.append(f"entry {number}: its legs do not sum to zero")
            if number > end:
                _hold(blocks, place, sums, problems)
                place, sums = place + 1, [0] * len(AMOUNTS)
                end = blocks[place][1] if place < len(blocks) else last
            if place < len(blocks) and row[1] != blocks[place][_BOOK_AT]:
                problems.append(f"entry {number}: it is not in its block's book")
            for at, amount in enumerate(row[_LEGS]):
                sums[at] += amount
    _hold(blocks, place, sums, problems)
    if expected != last + 1:
        problems.append(f"entry {expected}: missing")
    return expected - first, digest.value()


def _hold(
    blocks: list[tuple[Any, ...]], place: int, sums: list[int], problems: list[str]
) -> None:
    if 0 <= place < len(blocks) and list(blocks[place][_SUMS]) != sums:
        problems.append(
            f"block of entry {blocks[place][0]}: its sums are not its entries'"
        )


def _slices(
    connection: Connection, first: int, last: int
) -> Iterator[list[tuple[Any, ...]]]:
    query = select(entry).where(entry.c.id.between(first, last)).order_by(entry.c.id)
    stream = connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE})
    for rows in stream.partitions():
        yield [tuple(row) for row in rows]


def _ends(connection: Connection, prover: Prover) -> Iterator[str]:
    last = prover.last
    head = connection.execute(select(ledger_head)).one()
    found = last, prover.batches, prover.digest
    if (head.entry_id, head.batch_id, head.digest) != found:
        yield f"the head is at entry {head.entry_id}, the entries end at {last}"
    books = connection.execute(select(func.max(book.c.id))).scalar() or 0
    if books != head.book_id:  # the next book would take the number of another
        yield f"the head is at book {head.book_id}, the books end at {books}"
    closings = connection.execute(select(func.count()).select_from(closing)).scalar()
    if not closings == prover.closings == head.closings:
        yield (
            f"{head.closings} months were closed: {prover.closings} are in the chain,"
            f" and there are {closings}"
        )
    highest = connection.execute(select(func.max(entry.c.id))).scalar() or 0
    if highest > last:
        yield f"entry {last + 1}: it is in no batch"
    # Statements and balances are sums of blocks, so one of no entries is money too.
    own = block.c.first_entry_id
    beyond = select(own).where(~own.between(1, last)).order_by(own).limit(100)
    for first in connection.scalars(beyond):
        yield f"block of entry {first}: it is in no batch"


def _reversals(connection: Connection) -> Iterator[str]:
    undone = entry.alias("undone")
    mirrored = [undone.c[name] == -entry.c[name] for name in AMOUNTS]
    query = (
        select(entry.c.id)
        .select_from(
            entry.outerjoin(undone, (undone.c.id == entry.c.reverses) & and_(*mirrored))
        )
        .where(entry.c.reverses.is_not(None), undone.c.id.is_(None))
        .order_by(entry.c.id)
        .limit(100)
    )
    for (number,) in connection.execute(query):
        yield f"entry {number}: it is not the mirror of the entry that it reverses"
