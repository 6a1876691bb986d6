"""Rated usage and balances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _tenant() -> sa.Column[str]:
    return sa.Column(
        "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
    )


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "balance",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        _tenant(),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("tariff", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("memory", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("balance_key")),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index(
        "balance_by_holder",
        "balance",
        ["holder", "period", "tariff", "version", "tenant"],
        unique=True,
    )
    op.create_table(
        "traffic_sample",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("input_octets", sa.BigInteger(), nullable=False),
        sa.Column("output_octets", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "started_at", name=op.f("traffic_sample_key")
        ),
    )
    op.create_table(
        "unrated_usage",
        sa.Column("usage_id", _KEY, autoincrement=False, nullable=False),
        _tenant(),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("tried_at", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("usage_id", name=op.f("unrated_usage_key")),
    )
    op.create_table(
        "quota_event",
        sa.Column("number", _KEY, autoincrement=True, nullable=False),
        _tenant(),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("acted_at", sa.BigInteger(), nullable=True),
        sa.Column("effect", sa.Text(), nullable=True),
        sa.Column("effect_usage_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("quota_event_key")),
        sqlite_autoincrement=True,
    )
    acted = sa.text("acted_at IS NOT NULL AND effect IS NULL")
    op.create_index(
        "quota_event_acted",
        "quota_event",
        ["number"],
        sqlite_where=acted,
        postgresql_where=acted,
    )
    op.create_table(
        "periodic_charge",
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("tariff", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("element", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Text(), nullable=True),
        sa.Column("last_day", sa.Text(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("charged_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant",
            "service",
            "tariff",
            "period",
            "element",
            "charged_at",
            name=op.f("periodic_charge_key"),
        ),
    )
    op.add_column("session", sa.Column("service", sa.Text(), nullable=True))
    op.add_column("session", sa.Column("guided_by", sa.Text(), nullable=True))
