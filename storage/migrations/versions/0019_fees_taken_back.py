"""What was taken back of a fixed charge by hand: it is not given back again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    nothing = sa.Column(
        "taken_back", sa.BigInteger, nullable=False, server_default=sa.text("0")
    )
    op.add_column("periodic_charge", nothing)
