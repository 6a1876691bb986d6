"""Ledger entries and their legs, purchases, BSP usage, closed months and statements.

An entry is one narrow row with its five legs in it, so that the database itself checks
that they sum to zero; the view ``leg`` shows a row for each. What entries have in
common is in their ``book``. A batch's entries are numbered book by book: a ``block``
is the run of one book in one batch, with its sums, and takes the place of any index on
entries, as statements, balances and look-ups go by blocks
(docs/decisions/0014-the-ledger-is-blocks-of-narrow-rows.md).

Entries, blocks, batches and books are append-only: triggers refuse every update and
deletion. Ids are given in order and without a gap by whoever holds ``ledger_head``.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
)

from storage.columns import KEY, metadata, partial_index, tenant

AMOUNTS: Final = (
    "subscriber_amount",
    "isp_amount",
    "party_amount",
    "network_amount",
    "tax_amount",
)
"""The five legs, in micro-units, in the order of ``rating.entry.Account``."""

_BALANCED: Final = " + ".join(AMOUNTS) + " = 0"

book: Final = Table(
    "book",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=False),
    tenant(),
    *(
        Column(name, Text, nullable=False)
        for name in (
            "zone",
            "month",
            "kind",
            "source",
            "party",
            "tax_party",
            "tax_class",
            "currency",
            "tariff",
            "wholesale_tariff",
            "wholesale_tax_class",
        )
    ),
    UniqueConstraint(
        "tenant",
        "month",
        "zone",
        "kind",
        "source",
        "party",
        "tax_party",
        "tax_class",
        "currency",
        "tariff",
        "wholesale_tariff",
        "wholesale_tax_class",
        name="book_once",
    ),
)
Index("book_by_party", book.c.party, book.c.month)

BOOK_COLUMNS: Final = tuple(c.name for c in book.c if c.name != "id")
"""The order of ``rating.entry.Book``."""

entry: Final = Table(
    "entry",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=False),
    Column("book_id", BigInteger, nullable=False),
    Column("service", Text),
    *(Column(name, BigInteger, nullable=False) for name in AMOUNTS),
    Column("at", BigInteger, nullable=False),
    Column("late_from", Text),
    Column("source_id", BigInteger),
    Column("reverses", BigInteger),
    Column("detail", Text),
    CheckConstraint(_BALANCED, name="entry_legs_sum_to_zero"),
)
# An entry is reversed once; nearly none is, so nearly no row is in the index.
partial_index(
    "entry_by_reverses", "reverses IS NOT NULL", entry.c.reverses, unique=True
)

ENTRY_COLUMNS: Final = tuple(c.name for c in entry.c)
"""The order of an entry's values wherever entries travel as tuples."""

block: Final = Table(
    "block",
    metadata,
    Column("first_entry_id", KEY, primary_key=True, autoincrement=False),
    Column("last_entry_id", BigInteger, nullable=False),
    Column("book_id", BigInteger, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    # The least and the greatest, to find an entry by what is behind it.
    Column("first_source_id", BigInteger),
    Column("last_source_id", BigInteger),
    *(Column(name, BigInteger, nullable=False) for name in AMOUNTS),
    CheckConstraint(_BALANCED, name="block_legs_sum_to_zero"),
)
Index("block_by_book_id", block.c.book_id)

BLOCK_COLUMNS: Final = tuple(c.name for c in block.c)
"""The order of a block's values wherever blocks travel as tuples."""

ledger_batch: Final = Table(
    "ledger_batch",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=False),
    Column("first_entry_id", BigInteger, nullable=False),
    Column("last_entry_id", BigInteger, nullable=False),
    Column("posted_at", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)
Index(
    "ledger_batch_by_first_entry_id",
    ledger_batch.c.first_entry_id,
    ledger_batch.c.posted_at,
)

# One row, locked by whoever posts: the last ids given, the last digest, and how many
# times a month was closed.
ledger_head: Final = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("entry_id", BigInteger, nullable=False),
    Column("batch_id", BigInteger, nullable=False),
    Column("book_id", BigInteger, nullable=False),
    Column("closings", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),
)

closing: Final = Table(
    "closing",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("zone", Text, primary_key=True),
    Column("month", Text, primary_key=True),
    Column("closed_at", BigInteger, nullable=False),
    Column("entry_id", BigInteger, nullable=False),
    Column("batch_id", BigInteger),
)
"""The months that are closed, with the last entry of the ledger at that moment, and the
batch that the closing is: one of no entries. None are those that one batch has together
because they were closed before closings were in the chain of digests."""
Index("closing_by_batch_id", closing.c.batch_id)

CLOSING_COLUMNS: Final = tuple(c.name for c in closing.c if c.name != "batch_id")
"""What of a closing is in its batch's digest, in order."""

APPEND_ONLY: Final = (book, entry, block, ledger_batch, closing)
"""What the triggers of the migration keep from every update and deletion."""

purchase: Final = Table(
    "purchase",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    tenant(),
    Column("bsp", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("service", Text),
    Column("product", Text),
    Column("currency", Text),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("authorised_amount", BigInteger, nullable=False),
    Column("captured_amount", BigInteger, nullable=False),
    Column("refunded_amount", BigInteger, nullable=False),
    # The terms at its authorisation, as JSON: what a refund is computed with.
    Column("terms", Text),
    # The entry of its capture.
    Column("entry_id", BigInteger),
    Column("expires_at", BigInteger),
    Column("at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("bsp", "reference", name="purchase_of_bsp"),
)
Index("purchase_by_service", purchase.c.service, purchase.c.at)
partial_index("purchase_pending", "state = 'pending'", purchase.c.bsp)

purchase_event: Final = Table(
    "purchase_event",
    metadata,
    Column("bsp", Text, primary_key=True),
    Column("event_id", Text, primary_key=True),
    Column("purchase_id", BigInteger),
    Column("action", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)
Index("purchase_event_by_purchase_id", purchase_event.c.purchase_id)

bsp_usage: Final = Table(
    "bsp_usage",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    tenant(),
    Column("bsp", Text, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("service", Text),
    Column("meter", Text),
    Column("quantity", BigInteger),
    Column("started_at", BigInteger),
    Column("ended_at", BigInteger),
    # The record that it was rated with, itself or an earlier one: an entry's source.
    Column("aggregate_id", BigInteger),
    Column("received_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    UniqueConstraint("bsp", "event_id", name="bsp_usage_of_bsp"),
)
partial_index("bsp_usage_rejected", "state = 'rejected'", bsp_usage.c.bsp)
Index("bsp_usage_by_aggregate_id", bsp_usage.c.aggregate_id)
partial_index("bsp_usage_guided", "state = 'guided'", bsp_usage.c.id)

statement: Final = Table(
    "statement",
    metadata,
    tenant(),
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("role", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("note", Text),
    Column("opened_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # Of what was issued: the last entry of the ledger then, lines, SHA-256 of the CSV.
    Column("entry_id", BigInteger),
    Column("lines", BigInteger),
    Column("digest", Text),
    # How its CSV was laid out (``rating.statement_csv``).
    Column("layout", Integer),
    UniqueConstraint("tenant", "role", "month", name="statement_once"),
)
