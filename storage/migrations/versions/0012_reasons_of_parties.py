"""What a party says of an over-allocation request has its reason in words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the column; who spoke before gave no reason."""
    op.add_column(
        "over_allocation_approval",
        sa.Column("reason", sa.Text, nullable=False, server_default=sa.text("''")),
    )
