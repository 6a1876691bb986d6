"""RADIUS access, CoA and forwarded accounting."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UNFINISHED = "state IN ('queued', 'sent', 'acked')"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "coa_command",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("nas", sa.Text(), nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("acct_session_id", sa.Text(), nullable=False),
        sa.Column("up_kbps", sa.BigInteger(), nullable=True),
        sa.Column("down_kbps", sa.BigInteger(), nullable=True),
        sa.Column(
            "falls_back", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("follows", sa.BigInteger(), nullable=True),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.Column(
            "attempts", sa.Integer(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("error_cause", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("packet", sa.LargeBinary(), nullable=True),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("coa_command_key")),
    )
    op.create_index(
        "coa_command_unfinished",
        "coa_command",
        ["state", "id"],
        unique=False,
        sqlite_where=sa.text(_UNFINISHED),
        postgresql_where=sa.text(_UNFINISHED),
    )
    op.create_index("coa_command_by_service", "coa_command", ["service"], unique=False)
    op.create_table(
        "accounting_copy",
        sa.Column("isp", sa.Text(), nullable=False),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("isp", "journal", name=op.f("accounting_copy_key")),
    )
