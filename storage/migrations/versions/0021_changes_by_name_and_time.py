"""What an object was is found by its name, and what changed since by its time."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make both indexes."""
    op.create_index("change_by_name", "change", ["kind", "name"])
    op.create_index("change_by_time", "change", ["kind", "action", "at"])
