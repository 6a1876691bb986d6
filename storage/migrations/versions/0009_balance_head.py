"""Who writes balances: one at a time, and the ledger learns that it was another; quota
events that are carried out again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and its one row."""
    head = op.create_table(
        "balance_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rewritten", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("balance_head_key")),
    )
    op.bulk_insert(head, [{"id": 1, "rewritten": 0}])
    op.add_column(
        "quota_event",
        sa.Column("tries", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    due = sa.text("action <> 'none' AND (acted_at IS NULL OR effect = 'failed')")
    op.create_index(
        "quota_event_due",
        "quota_event",
        ["number"],
        sqlite_where=due,
        postgresql_where=due,
    )
