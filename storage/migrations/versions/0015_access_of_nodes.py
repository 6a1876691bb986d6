"""Live sessions without a user, by service; which NAS sign, as all nodes know it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index and the table."""
    unnamed = sa.text("state <> 'closed' AND user_name IS NULL")
    op.create_index(
        "session_live_unnamed",
        "session",
        ["service"],
        sqlite_where=unnamed,
        postgresql_where=unnamed,
    )
    op.create_table(
        "learned_nas",
        sa.Column("nas", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("nas", name="learned_nas_key"),
    )
