"""Leases and their history: who holds an address, and who had it when.

``lease`` has the last binding of each address, alive or not: it is what a start of the
address server reads, and an ended one is how a line gets its address back. A binding
that has ended is in ``lease_history``, for ever and never changed; ``who-had`` reads
both. ``owner`` is the ISP that an address belongs to, ``borrower`` the one it was lent
to, null when it was at home.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    text,
)

from storage.columns import FILLFACTOR, KEY, metadata, partial_index, tenant

lease: Final = Table(
    "lease",
    metadata,
    Column("address", KEY, primary_key=True, autoincrement=False),
    Column("pool", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("service", Text),
    Column("isp", Text),
    Column("owner", Text, nullable=False),
    Column("borrower", Text),
    Column("generation", Integer, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("hardware", LargeBinary, nullable=False),
    Column("client_id", LargeBinary, nullable=False),
    Column("agent", LargeBinary, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("extended_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("end_reason", Text),
    tenant(),
    # A renewal changes two numbers in place: room left in the page keeps the row there.
    info={FILLFACTOR: 85},
)
Index("lease_by_line", lease.c.line)

lease_history: Final = Table(
    "lease_history",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("address", BigInteger, nullable=False),
    Column("pool", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("service", Text),
    Column("isp", Text),
    Column("owner", Text, nullable=False),
    Column("borrower", Text),
    Column("hardware", LargeBinary, nullable=False),
    Column("client_id", LargeBinary, nullable=False),
    Column("agent", LargeBinary, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("end_reason", Text, nullable=False),
    tenant(),
)
Index("lease_history_by_address", lease_history.c.address, lease_history.c.started_at)

# One row for each address beyond a service's own, for rating: what it costs, or that it
# is free, and until when. Rows are only added; ``state`` is TMF635's, as the ledger
# books them.
address_sale: Final = Table(
    "address_sale",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("month", Text, nullable=False),
    Column("line", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("isp", Text, nullable=False),
    Column("address", BigInteger, nullable=False),
    Column("price_micro", BigInteger, nullable=False),
    Column("sold_in_month", Integer, nullable=False),
    Column("spent_micro", BigInteger, nullable=False),
    Column("grace_until", BigInteger, nullable=False),
    tenant(),
    Column("state", Text, nullable=False, server_default=text("'received'")),
    Column("reason", Text),
)
Index("address_sale_by_month", address_sale.c.month)
SALE_WAITS: Final = "state <> 'rated'"
"""Of sales that the ledger has not booked."""
partial_index("address_sale_waiting", SALE_WAITS, address_sale.c.id)

address_quarantine: Final = Table(
    "address_quarantine",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("address", BigInteger, nullable=False),
    Column("line", Text, nullable=False),
    Column("declined_at", BigInteger, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("released_at", BigInteger),
    tenant(),
)
partial_index(
    "address_quarantine_standing", "released_at IS NULL", address_quarantine.c.address
)

LEASE_COLUMNS: Final = tuple(c.name for c in lease.c)
"""The order of a lease's values wherever leases travel as tuples."""

HISTORY_COLUMNS: Final = tuple(c.name for c in lease_history.c if c.name != "id")
"""The order of an ended binding's values wherever they travel as tuples."""

SALE_COLUMNS: Final = tuple(
    c.name for c in address_sale.c if c.name not in ("id", "state", "reason")
)
"""The order of a sale's values as it was made."""
