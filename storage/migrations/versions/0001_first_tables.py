"""The first tables: sessions, usage, the network and its change feed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "change",
        sa.Column("number", _KEY, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("change_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "journal_position",
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("journal", name=op.f("journal_position_key")),
    )
    op.create_table(
        "quarantine",
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("received_at_ns", sa.BigInteger(), nullable=False),
        sa.Column("octets", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("quarantined_at", sa.BigInteger(), nullable=False),
        sa.Column("retry_position", sa.BigInteger(), nullable=True),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("journal", "position", name=op.f("quarantine_key")),
    )
    op.create_index(
        "quarantine_by_retry_position", "quarantine", ["retry_position"], unique=True
    )
    op.create_table(
        "network_object",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("network_object_key")),
    )
    op.create_table(
        "session",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("nas", sa.Text(), nullable=False),
        sa.Column("nas_identity", sa.Text(), nullable=False),
        sa.Column("acct_session_id", sa.Text(), nullable=False),
        sa.Column("acct_multi_session_id", sa.Text(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("class_", sa.LargeBinary(), nullable=True),
        sa.Column("framed_ip_address", sa.Text(), nullable=True),
        sa.Column("framed_ipv6_prefixes", sa.Text(), nullable=True),
        sa.Column("delegated_ipv6_prefixes", sa.Text(), nullable=True),
        sa.Column("framed_ipv6_addresses", sa.Text(), nullable=True),
        sa.Column("framed_interface_id", sa.Text(), nullable=True),
        sa.Column("calling_station_id", sa.Text(), nullable=True),
        sa.Column("called_station_id", sa.Text(), nullable=True),
        sa.Column("nas_port_id", sa.Text(), nullable=True),
        sa.Column("agent_circuit_id", sa.Text(), nullable=True),
        sa.Column("agent_remote_id", sa.Text(), nullable=True),
        sa.Column("link_count", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("started_derived", sa.Text(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("last_arrival_at", sa.BigInteger(), nullable=False),
        sa.Column("stopped_at", sa.BigInteger(), nullable=True),
        sa.Column("terminate_cause", sa.BigInteger(), nullable=True),
        sa.Column("close_derived", sa.Text(), nullable=True),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("input_octets", sa.BigInteger(), nullable=False),
        sa.Column("output_octets", sa.BigInteger(), nullable=False),
        sa.Column("input_packets", sa.BigInteger(), nullable=False),
        sa.Column("output_packets", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("session_key")),
        postgresql_with={"fillfactor": "85"},
    )
    op.create_index(
        "session_by_acct_session_id", "session", ["acct_session_id"], unique=False
    )
    op.create_index("session_by_user_name", "session", ["user_name"], unique=False)
    op.create_index(
        "session_by_bundle",
        "session",
        ["nas", "acct_multi_session_id"],
        unique=False,
        sqlite_where=sa.text("acct_multi_session_id IS NOT NULL"),
        postgresql_where=sa.text("acct_multi_session_id IS NOT NULL"),
    )
    op.create_index(
        "session_by_stopped_at",
        "session",
        ["stopped_at"],
        unique=False,
        sqlite_where=sa.text("stopped_at IS NOT NULL"),
        postgresql_where=sa.text("stopped_at IS NOT NULL"),
    )
    op.create_index(
        "session_live_by_id",
        "session",
        ["id", "state"],
        unique=False,
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    )
    op.create_index(
        "session_live_by_nas",
        "session",
        ["nas"],
        unique=False,
        sqlite_where=sa.text("state <> 'closed'"),
        postgresql_where=sa.text("state <> 'closed'"),
    )
    op.create_table(
        "usage",
        sa.Column("id", _KEY, autoincrement=False, nullable=False),
        sa.Column("session_id", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("input_octets", sa.BigInteger(), nullable=False),
        sa.Column("output_octets", sa.BigInteger(), nullable=False),
        sa.Column("input_packets", sa.BigInteger(), nullable=False),
        sa.Column("output_packets", sa.BigInteger(), nullable=False),
        sa.Column("derived", sa.Text(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column(
            "rolled_up", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("usage_key")),
    )
    op.create_index("usage_by_session_id", "usage", ["session_id"], unique=False)
    op.create_table(
        "usage_run",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("latest_end", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", name=op.f("usage_run_key")),
    )
    op.create_table(
        "rollup_position",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("usage_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("rollup_position_key")),
    )
    op.create_table(
        "write_check",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("checks", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("write_check_key")),
    )
    op.execute("INSERT INTO write_check (id, checks) VALUES (1, 0)")
    op.execute("INSERT INTO rollup_position (id, usage_id) VALUES (1, 0)")
