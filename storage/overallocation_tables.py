"""Blocks, over-allocation requests, loans, and the commands that steer them.

What is looked for has a column; the whole object, as the journal had it, is in `body`.
Numbers are given by the address server, so rows are written without asking for any.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from storage.columns import KEY, metadata, partial_index, tenant

# Only blocks that were lent or converted once: all others are at home, as declared.
address_block: Final = Table(
    "address_block",
    metadata,
    Column("first", BigInteger, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    tenant(),
)

over_allocation_request: Final = Table(
    "over_allocation_request",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=False),
    Column("pool", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("urgent", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("granted", BigInteger, nullable=False),
    Column("raised_at", BigInteger, nullable=False),
    Column("raised_by", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("retry_after", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    tenant(),
)
partial_index(
    "over_allocation_request_open",
    "is_open",
    over_allocation_request.c.number,
)

# One word a party: its tenant, which is who authenticated.
over_allocation_approval: Final = Table(
    "over_allocation_approval",
    metadata,
    Column("request", BigInteger, primary_key=True, autoincrement=False),
    Column("tenant", Text, primary_key=True),
    Column("actor", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("blocks", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("policy", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("reason", Text, nullable=False, server_default=text("''")),
)

over_allocation_decision: Final = Table(
    "over_allocation_decision",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("request", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("inputs", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    tenant(),
)
Index("over_allocation_decision_by_request", over_allocation_decision.c.request)

# The tenant is the lender's.
address_loan: Final = Table(
    "address_loan",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=False),
    Column("request", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("lender", Text, nullable=False),
    Column("borrower", Text, nullable=False),
    Column("borrower_tenant", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("term_ends_at", BigInteger, nullable=False),
    Column("deadline", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    tenant(),
)
partial_index("address_loan_open", "outcome = ''", address_loan.c.number)

pool_memory: Final = Table(
    "pool_memory",
    metadata,
    Column("pool", Text, primary_key=True),
    Column("body", LargeBinary, nullable=False),
    tenant(),
)

# What others publish: in order of id, from where they were.
over_allocation_event: Final = Table(
    "over_allocation_event",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("tenants", JSON, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("detail", JSON, nullable=False),
    tenant(),
    sqlite_autoincrement=True,
)

# The inbox: numbers are never given twice, the address server remembers the last.
over_allocation_command: Final = Table(
    "over_allocation_command",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=True),
    tenant(),
    Column("actor", Text, nullable=False),
    Column("client_key", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("body", JSON, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("result", Text),
    Column("message", Text, nullable=False, server_default=text("''")),
    Column("object_number", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("tenant", "client_key", name="over_allocation_command_once"),
    sqlite_autoincrement=True,
)
