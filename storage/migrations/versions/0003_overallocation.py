"""Blocks, over-allocation requests and loans."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "address_block",
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("first", name=op.f("address_block_key")),
    )
    op.create_table(
        "address_loan",
        sa.Column("number", _KEY, autoincrement=False, nullable=False),
        sa.Column("request", sa.BigInteger(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("lender", sa.Text(), nullable=False),
        sa.Column("borrower", sa.Text(), nullable=False),
        sa.Column("borrower_tenant", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("price", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("term_ends_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("address_loan_key")),
    )
    op.create_index(
        "address_loan_open",
        "address_loan",
        ["number"],
        unique=False,
        sqlite_where=sa.text("outcome = ''"),
        postgresql_where=sa.text("outcome = ''"),
    )
    op.create_table(
        "over_allocation_approval",
        sa.Column("request", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("blocks", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint(
            "request", "tenant", name=op.f("over_allocation_approval_key")
        ),
    )
    op.create_table(
        "over_allocation_command",
        sa.Column("number", _KEY, autoincrement=True, nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("client_key", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "object_number",
            sa.BigInteger(),
            server_default=sa.text("0"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("over_allocation_command_key")),
        sa.UniqueConstraint(
            "tenant", "client_key", name="over_allocation_command_once"
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "over_allocation_decision",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("request", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("inputs", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("over_allocation_decision_key")),
    )
    op.create_index(
        "over_allocation_decision_by_request",
        "over_allocation_decision",
        ["request"],
        unique=False,
    )
    op.create_table(
        "over_allocation_event",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("tenants", sa.JSON(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("over_allocation_event_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "over_allocation_request",
        sa.Column("number", _KEY, autoincrement=False, nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.BigInteger(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("raised_by", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("retry_after", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("over_allocation_request_key")),
    )
    op.create_index(
        "over_allocation_request_open",
        "over_allocation_request",
        ["number"],
        unique=False,
        sqlite_where=sa.text("is_open"),
        postgresql_where=sa.text("is_open"),
    )
    op.create_table(
        "pool_memory",
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("pool", name=op.f("pool_memory_key")),
    )
