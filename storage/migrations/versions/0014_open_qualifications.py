"""How many green answers each ISP has open: kept, where it was counted each time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, count once, and drop the index that was counted by."""
    op.create_table(
        "open_qualifications",
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("quantity", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tenant", name=op.f("open_qualifications_key")),
    )
    op.execute(
        "INSERT INTO open_qualifications (tenant, quantity)"
        " SELECT tenant, count(*) FROM qualification WHERE state = 'open'"
        " GROUP BY tenant"
    )
    op.drop_index("qualification_open_by_tenant", "qualification")
