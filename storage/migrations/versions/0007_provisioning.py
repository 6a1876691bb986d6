"""Inventory, qualifications, orders, tasks and the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "cancel_order",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("cancel_order_key")),
    )
    op.create_index(
        "cancel_order_by_order_id", "cancel_order", ["order_id"], unique=False
    )
    op.create_table(
        "customer",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("full_name", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("contact", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", "tenant", name=op.f("customer_key")),
    )
    op.create_table(
        "device",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("mac", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("line", sa.Text(), nullable=True),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("device_key")),
    )
    op.create_index("device_by_line", "device", ["line"], unique=False)
    op.create_table(
        "held",
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("resource", name=op.f("held_key")),
    )
    op.create_table(
        "hold",
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("owner", "resource", name=op.f("hold_key")),
    )
    op.create_table(
        "lead",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("qualification_id", sa.Text(), nullable=True),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("wanted", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("lead_key")),
    )
    op.create_table(
        "object_change",
        sa.Column("number", _KEY, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=True),
        sa.Column("after", sa.JSON(), nullable=True),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("object_change_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "object_change_by_name", "object_change", ["kind", "name"], unique=False
    )
    op.create_index(
        "object_change_managed",
        "object_change",
        ["kind", "name"],
        unique=False,
        sqlite_where=sa.text("channel <> 'network_file'"),
        postgresql_where=sa.text("channel <> 'network_file'"),
    )
    op.create_table(
        "order_task",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("item", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), nullable=False),
        sa.Column("about", sa.JSON(), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("order_id", "number", name=op.f("order_task_key")),
    )
    op.create_index(
        "order_task_dead",
        "order_task",
        ["order_id"],
        unique=False,
        sqlite_where=sa.text("state IN ('dead', 'undo-dead')"),
        postgresql_where=sa.text("state IN ('dead', 'undo-dead')"),
    )
    op.create_table(
        "outbox_event",
        sa.Column("number", _KEY, autoincrement=True, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("outbox_event_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "outbox_event_by_tenant", "outbox_event", ["tenant", "number"], unique=False
    )
    op.create_table(
        "qualification",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("color", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("qualification_key")),
    )
    op.create_index(
        "qualification_open_by_expires_at",
        "qualification",
        ["expires_at"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_index(
        "qualification_open_by_place",
        "qualification",
        ["place"],
        unique=False,
        sqlite_where=sa.text("state = 'open'"),
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        "service_order",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("on_behalf", sa.Text(), nullable=True),
        sa.Column("ordered_at", sa.BigInteger(), nullable=False),
        sa.Column("start_at", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("milestones", sa.JSON(), nullable=False),
        sa.Column("alerts", sa.JSON(), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("service_order_key")),
    )
    op.create_index(
        "service_order_by_due_at",
        "service_order",
        ["due_at"],
        unique=False,
        sqlite_where=sa.text("due_at IS NOT NULL"),
        postgresql_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index(
        "service_order_by_external_id",
        "service_order",
        ["tenant", "external_id"],
        unique=True,
    )
    op.create_index(
        "service_order_by_ordered_at", "service_order", ["ordered_at"], unique=False
    )
    op.create_table(
        "service_order_item",
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column(
            "assessment", sa.Text(), server_default=sa.text("''"), nullable=False
        ),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=True),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("relies_on", sa.JSON(), nullable=False),
        sa.Column("wanted", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint(
            "order_id", "number", name=op.f("service_order_item_key")
        ),
    )
    op.create_index(
        "service_order_item_open_by_line",
        "service_order_item",
        ["line"],
        unique=False,
        sqlite_where=sa.text(
            "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
        ),
        postgresql_where=sa.text(
            "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
        ),
    )
    op.create_index(
        "service_order_item_open_by_service",
        "service_order_item",
        ["service"],
        unique=False,
        sqlite_where=sa.text(
            "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
        ),
        postgresql_where=sa.text(
            "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
        ),
    )
    op.create_index(
        "service_order_item_open_by_site",
        "service_order_item",
        ["site"],
        unique=False,
        sqlite_where=sa.text(
            "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
        ),
        postgresql_where=sa.text(
            "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
        ),
    )
    op.create_index(
        "service_order_item_open_by_user_name",
        "service_order_item",
        ["user_name"],
        unique=False,
        sqlite_where=sa.text(
            "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
        ),
        postgresql_where=sa.text(
            "state NOT IN ('completed', 'failed', 'cancelled', 'rejected')"
        ),
    )
    op.create_table(
        "service_record",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("offering", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("customer", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("service_record_key")),
    )
    op.create_index("service_record_by_line", "service_record", ["line"], unique=False)
    op.create_table(
        "service_site",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("normal", sa.Text(), nullable=False),
        sa.Column("postcode_key", sa.Text(), nullable=False),
        sa.Column("street_key", sa.Text(), nullable=False),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("service_site_key")),
    )
    op.create_index("service_site_by_normal", "service_site", ["normal"], unique=False)
    op.create_index(
        "service_site_by_postcode_key", "service_site", ["postcode_key"], unique=False
    )
    op.create_index(
        "service_site_by_street_key", "service_site", ["street_key"], unique=False
    )
    op.create_table(
        "subscription",
        sa.Column("id", _KEY, autoincrement=True, nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("offering", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column(
            "tenant", sa.Text(), server_default=sa.text("'network'"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("subscription_key")),
    )
    op.create_index(
        "subscription_by_service", "subscription", ["service"], unique=False
    )
