"""Whether a sale of an address is in the ledger, and why not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns: what was sold so far waits."""
    state = sa.Column(
        "state", sa.Text(), nullable=False, server_default=sa.text("'received'")
    )
    op.add_column("address_sale", state)
    op.add_column("address_sale", sa.Column("reason", sa.Text()))
    waits = sa.text("state <> 'rated'")
    op.create_index(
        "address_sale_waiting",
        "address_sale",
        ["id"],
        sqlite_where=waits,
        postgresql_where=waits,
    )
