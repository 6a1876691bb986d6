"""Closed months are in the ledger's chain of digests: each a batch of no entries, and
those that were closed before all in one, from now on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from rating.chain import Digest

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add which batch a closing is, and chain the old ones together."""
    op.add_column("closing", sa.Column("batch_id", sa.BigInteger))
    op.create_index("closing_by_batch_id", "closing", ["batch_id"])
    connection = op.get_bind()
    rows = connection.execute(
        sa.text(
            "SELECT tenant, zone, month, closed_at, entry_id FROM closing"
            " ORDER BY tenant, zone, month"
        )
    ).all()
    if not rows:
        return
    head = connection.execute(sa.text("SELECT batch_id, digest FROM ledger_head")).one()
    at = max(row.closed_at for row in rows)
    digest = Digest(bytes(head.digest))
    digest.feed([(head.batch_id + 1, 0, 0, at), *map(tuple, sorted(map(tuple, rows)))])
    values = {"id": head.batch_id + 1, "at": at, "digest": digest.value()}
    connection.execute(
        sa.text("INSERT INTO ledger_batch VALUES (:id, 0, 0, :at, :digest)"), values
    )
    connection.execute(
        sa.text("UPDATE ledger_head SET batch_id = :id, digest = :digest"),
        {"id": values["id"], "digest": values["digest"]},
    )
