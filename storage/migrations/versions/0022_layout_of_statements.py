"""How an issued statement's CSV was laid out: it is written again as it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; those issued before have the first layout."""
    op.add_column("statement", sa.Column("layout", sa.Integer))
    op.execute("UPDATE statement SET layout = 1 WHERE entry_id IS NOT NULL")
