"""The index of open answers by place has their tenant and id, so it answers alone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index again, wider."""
    name, is_open = "qualification_open_by_place", sa.text("state = 'open'")
    op.drop_index(name, "qualification")
    op.create_index(
        name,
        "qualification",
        ["place", "tenant", "id"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
