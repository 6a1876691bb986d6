"""Leases, and who had which address when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "lease",
        sa.Column("address", _KEY, autoincrement=False, nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("isp", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("borrower", sa.Text(), nullable=True),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("hardware", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.LargeBinary(), nullable=False),
        sa.Column("agent", sa.LargeBinary(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("extended_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("end_reason", sa.Text(), nullable=True),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("address", name=op.f("lease_key")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_table(
        "lease_history",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("address", sa.BigInteger(), nullable=False),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("isp", sa.Text(), nullable=True),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("borrower", sa.Text(), nullable=True),
        sa.Column("hardware", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.LargeBinary(), nullable=False),
        sa.Column("agent", sa.LargeBinary(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("end_reason", sa.Text(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("lease_history_key")),
    )
    op.create_table(
        "address_sale",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("isp", sa.Text(), nullable=False),
        sa.Column("address", sa.BigInteger(), nullable=False),
        sa.Column("price_micro", sa.BigInteger(), nullable=False),
        sa.Column("sold_in_month", sa.Integer(), nullable=False),
        sa.Column("spent_micro", sa.BigInteger(), nullable=False),
        sa.Column("grace_until", sa.BigInteger(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("address_sale_key")),
    )
    op.create_table(
        "address_quarantine",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("address", sa.BigInteger(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("declined_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("released_at", sa.BigInteger(), nullable=True),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("address_quarantine_key")),
    )
    op.create_index("lease_by_line", "lease", ["line"], unique=False)
    op.create_index(
        "lease_history_by_address",
        "lease_history",
        ["address", "started_at"],
        unique=False,
    )
    op.create_index("address_sale_by_month", "address_sale", ["month"], unique=False)
    op.create_index(
        "address_quarantine_standing",
        "address_quarantine",
        ["address"],
        unique=False,
        sqlite_where=sa.text("released_at IS NULL"),
        postgresql_where=sa.text("released_at IS NULL"),
    )
