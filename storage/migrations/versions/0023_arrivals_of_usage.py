"""When usage arrived that ends later than that, by its NAS's clock."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "usage_arrival",
        sa.Column("first_usage_id", number, primary_key=True, autoincrement=False),
        sa.Column("last_usage_id", sa.BigInteger, nullable=False),
        sa.Column("received_at", sa.BigInteger, nullable=False),
    )
