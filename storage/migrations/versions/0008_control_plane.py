"""Clients, tokens, idempotency keys and webhooks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _tenant() -> sa.Column[str]:
    return sa.Column(
        "tenant", sa.Text(), nullable=False, server_default=sa.text("'network'")
    )


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "client",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger()),
        _tenant(),
        sa.PrimaryKeyConstraint("client_id", name=op.f("client_key")),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "token",
        sa.Column("token_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name=op.f("token_key")),
    )
    op.create_index("token_by_expires_at", "token", ["expires_at"])
    op.create_table(
        "idempotency_key",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("operation", sa.Text(), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("answer", sa.LargeBinary()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", "key", name=op.f("idempotency_key_key")),
    )
    op.create_index("idempotency_key_by_at", "idempotency_key", ["at"])
    op.create_table(
        "webhook",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("callback", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("next_at", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("failure", sa.Text()),
        sa.Column(
            "suspended", sa.Boolean(), nullable=False, server_default=sa.text("false")
        ),
        _tenant(),
        sa.PrimaryKeyConstraint("id", name=op.f("webhook_key")),
    )
    due = sa.text("NOT suspended")
    op.create_index(
        "webhook_due", "webhook", ["next_at"], sqlite_where=due, postgresql_where=due
    )
    op.create_table(
        "desired_state",
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("order_id", sa.Text()),
        sa.Column("at", sa.BigInteger(), nullable=False),
        _tenant(),
        sa.PrimaryKeyConstraint("line", "tenant", name=op.f("desired_state_key")),
    )
    op.create_table(
        "outbox_reader",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("outbox_reader_key")),
    )
