"""What devices report of themselves; an index of the tasks that are about devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the index."""
    op.create_table(
        "device_report",
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("has", sa.JSON(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("line", "tenant", name=op.f("device_report_key")),
    )
    of_device = sa.text("kind IN ('device', 'device-remove')")
    op.create_index(
        "order_task_of_device",
        "order_task",
        ["order_id"],
        sqlite_where=of_device,
        postgresql_where=of_device,
    )
