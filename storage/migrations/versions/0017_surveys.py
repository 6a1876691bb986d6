"""The address that a lead wants surveyed, and the site that came of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    for name in ("address", "site"):
        op.add_column("lead", sa.Column(name, sa.Text(), nullable=True))
