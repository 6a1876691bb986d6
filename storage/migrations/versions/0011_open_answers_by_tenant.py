"""An index of the green answers that are good, by whose they are: they are counted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    is_open = sa.text("state = 'open'")
    op.create_index(
        "qualification_open_by_tenant",
        "qualification",
        ["tenant"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
