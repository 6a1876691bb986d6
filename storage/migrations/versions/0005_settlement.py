"""The double-entry ledger, purchases and statements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AMOUNTS = (
    "subscriber_amount",
    "isp_amount",
    "party_amount",
    "network_amount",
    "tax_amount",
)
_APPEND_ONLY = ("book", "entry", "block", "ledger_batch", "closing")


def upgrade() -> None:
    """Make the tables, the view of legs, and the triggers of what is append-only."""
    _ledger()
    _purchases()
    _bsp_usage()
    _statements()
    _view_of_legs()
    _triggers()


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _key(name: str = "id", *, autoincrement: bool = False) -> sa.Column[int]:
    return sa.Column(name, _KEY, autoincrement=autoincrement, nullable=False)


def _tenant() -> sa.Column[str]:
    default = sa.text("'network'")
    return sa.Column("tenant", sa.Text(), server_default=default, nullable=False)


def _amounts() -> list[sa.Column[int]]:
    return [_number(name) for name in _AMOUNTS]


def _primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"{table}_key"))


def _balanced(table: str) -> sa.CheckConstraint:
    total = " + ".join(_AMOUNTS)
    return sa.CheckConstraint(f"{total} = 0", name=op.f(f"{table}_legs_sum_to_zero"))


def _partial(
    name: str, table: str, where: str, *columns: str, unique: bool = False
) -> None:
    condition = sa.text(where)
    op.create_index(
        name,
        table,
        list(columns),
        sqlite_where=condition,
        postgresql_where=condition,
        unique=unique,
    )


def _ledger() -> None:
    names = ["zone", "month", "kind", "source", "party", "tax_party", "tax_class"]
    names += ["currency", "tariff", "wholesale_tariff", "wholesale_tax_class"]
    unique = ["tenant", "month", "zone", *names[2:]]
    op.create_table(
        "book",
        _key(),
        _tenant(),
        *(_text(name) for name in names),
        _primary("book", "id"),
        sa.UniqueConstraint(*unique, name=op.f("book_once")),
    )
    op.create_index("book_by_party", "book", ["party", "month"])
    op.create_table(
        "entry",
        _key(),
        _number("book_id"),
        _text("service", nullable=True),
        *_amounts(),
        _number("at"),
        _text("late_from", nullable=True),
        _number("source_id", nullable=True),
        _number("reverses", nullable=True),
        _text("detail", nullable=True),
        _primary("entry", "id"),
        _balanced("entry"),
    )
    _partial(
        "entry_by_reverses", "entry", "reverses IS NOT NULL", "reverses", unique=True
    )
    op.create_table(
        "block",
        _key("first_entry_id"),
        _number("last_entry_id"),
        _number("book_id"),
        _number("batch_id"),
        _number("first_source_id", nullable=True),
        _number("last_source_id", nullable=True),
        *_amounts(),
        _primary("block", "first_entry_id"),
        _balanced("block"),
    )
    op.create_index("block_by_book_id", "block", ["book_id"])
    op.create_table(
        "ledger_batch",
        _key(),
        _number("first_entry_id"),
        _number("last_entry_id"),
        _number("posted_at"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _primary("ledger_batch", "id"),
    )
    op.create_index(
        "ledger_batch_by_first_entry_id",
        "ledger_batch",
        ["first_entry_id", "posted_at"],
    )
    head = op.create_table(
        "ledger_head",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        _number("entry_id"),
        _number("batch_id"),
        _number("book_id"),
        _number("closings"),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        _primary("ledger_head", "id"),
    )
    zero = dict.fromkeys(("entry_id", "batch_id", "book_id", "closings"), 0)
    op.bulk_insert(head, [{"id": 1, **zero, "digest": bytes(32)}])
    op.create_table(
        "closing",
        _text("tenant"),
        _text("zone"),
        _text("month"),
        _number("closed_at"),
        _number("entry_id"),
        _primary("closing", "tenant", "zone", "month"),
    )


def _purchases() -> None:
    op.create_table(
        "purchase",
        _key(autoincrement=True),
        _tenant(),
        _text("bsp"),
        _text("reference"),
        _text("service", nullable=True),
        _text("product", nullable=True),
        _text("currency", nullable=True),
        _text("state"),
        _text("reason", nullable=True),
        _number("authorised_amount"),
        _number("captured_amount"),
        _number("refunded_amount"),
        _text("terms", nullable=True),
        _number("entry_id", nullable=True),
        _number("expires_at", nullable=True),
        _number("at"),
        _number("updated_at"),
        _primary("purchase", "id"),
        sa.UniqueConstraint("bsp", "reference", name=op.f("purchase_of_bsp")),
    )
    op.create_index("purchase_by_service", "purchase", ["service", "at"])
    _partial("purchase_pending", "purchase", "state = 'pending'", "bsp")
    op.create_table(
        "purchase_event",
        _text("bsp"),
        _text("event_id"),
        _number("purchase_id", nullable=True),
        _text("action"),
        _text("body"),
        _text("answer"),
        _number("received_at"),
        _primary("purchase_event", "bsp", "event_id"),
    )
    op.create_index("purchase_event_by_purchase_id", "purchase_event", ["purchase_id"])


def _bsp_usage() -> None:
    op.create_table(
        "bsp_usage",
        _key(autoincrement=True),
        _tenant(),
        _text("bsp"),
        _text("event_id"),
        _text("body"),
        _text("state"),
        _text("reason", nullable=True),
        _text("service", nullable=True),
        _text("meter", nullable=True),
        _number("quantity", nullable=True),
        _number("started_at", nullable=True),
        _number("ended_at", nullable=True),
        _number("aggregate_id", nullable=True),
        _number("received_at"),
        _number("updated_at"),
        _primary("bsp_usage", "id"),
        sa.UniqueConstraint("bsp", "event_id", name=op.f("bsp_usage_of_bsp")),
    )
    op.create_index("bsp_usage_by_aggregate_id", "bsp_usage", ["aggregate_id"])
    _partial("bsp_usage_rejected", "bsp_usage", "state = 'rejected'", "bsp")
    _partial("bsp_usage_guided", "bsp_usage", "state = 'guided'", "id")


def _statements() -> None:
    op.create_table(
        "statement",
        _tenant(),
        _key(autoincrement=True),
        _text("role"),
        _text("month"),
        _text("state"),
        _text("note", nullable=True),
        _number("opened_at"),
        _number("updated_at"),
        _number("entry_id", nullable=True),
        _number("lines", nullable=True),
        _text("digest", nullable=True),
        _primary("statement", "id"),
        sa.UniqueConstraint("tenant", "role", "month", name=op.f("statement_once")),
    )


def _view_of_legs() -> None:
    owners = ("coalesce(service, '')", "tenant", "party", "'network'", "tax_party")
    legs = " UNION ALL ".join(
        f"SELECT entry.id AS entry_id, tenant, month, kind,"  # noqa: S608  our names
        f" '{amount.removesuffix('_amount')}' AS account, {owner} AS owner,"
        f" currency, {amount} AS amount FROM entry JOIN book ON book.id = book_id"
        f" WHERE {amount} <> 0"
        for amount, owner in zip(_AMOUNTS, owners, strict=True)
    )
    op.execute(f"CREATE VIEW leg AS {legs}")


def _triggers() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
        )
        for table in _APPEND_ONLY:
            op.execute(
                f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR"
                f" TRUNCATE ON {table} EXECUTE FUNCTION refuse_change()"
            )
        return
    for table in _APPEND_ONLY:
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{event.lower()} BEFORE {event} ON {table}"
                f" BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
