"""The SQL tables, declared once for both databases; the migrations build these and a
test says that they do.

Sessions and usage carry ids that the ledger assigns in order, so a batch needs no
round trip to learn them, and usage has no foreign key: the ledger writes both sides
in one transaction, and a check a row would cost more than the insert. Every index is
paid for on the hot path, so there is one only where a running daemon asks by it.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from storage.columns import FILLFACTOR, KEY, metadata, partial_index, tenant

session: Final = Table(
    "session",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=False),
    Column("nas", Text, nullable=False),
    Column("nas_identity", Text, nullable=False),
    Column("acct_session_id", Text, nullable=False),
    Column("acct_multi_session_id", Text),
    Column("user_name", Text),
    Column("class_", LargeBinary),
    Column("framed_ip_address", Text),
    Column("framed_ipv6_prefixes", Text),
    Column("delegated_ipv6_prefixes", Text),
    Column("framed_ipv6_addresses", Text),
    Column("framed_interface_id", Text),
    Column("calling_station_id", Text),
    Column("called_station_id", Text),
    Column("nas_port_id", Text),
    Column("agent_circuit_id", Text),
    Column("agent_remote_id", Text),
    Column("link_count", BigInteger),
    Column("state", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("started_derived", Text, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("last_arrival_at", BigInteger, nullable=False),
    Column("stopped_at", BigInteger),
    Column("terminate_cause", BigInteger),
    Column("close_derived", Text),
    Column("seconds", BigInteger, nullable=False),
    Column("input_octets", BigInteger, nullable=False),
    Column("output_octets", BigInteger, nullable=False),
    Column("input_packets", BigInteger, nullable=False),
    Column("output_packets", BigInteger, nullable=False),
    Column("points", LargeBinary, nullable=False),
    # Whose use it is, and what said so; without a service, why there is none.
    Column("service", Text),
    Column("guided_by", Text),
    tenant(),
    # An interim update grows the row a little: room left in the page keeps it there.
    info={FILLFACTOR: 85},
)
Index("session_by_acct_session_id", session.c.acct_session_id)
Index("session_by_user_name", session.c.user_name)


_IS_LIVE: Final = "state <> 'closed'"
partial_index("session_live_by_nas", _IS_LIVE, session.c.nas)
# Live sessions in order of id, for the sweep that looks for stale ones in slices: it
# must not walk years of closed ones. With the state in it, they are counted from it.
partial_index("session_live_by_id", _IS_LIVE, session.c.id, session.c.state)
# Sessions that no User-Name finds, for a CoA: few, so the ledger hardly pays for it.
partial_index(
    "session_live_unnamed", f"{_IS_LIVE} AND user_name IS NULL", session.c.service
)
partial_index("session_by_stopped_at", "stopped_at IS NOT NULL", session.c.stopped_at)
partial_index(
    "session_by_bundle",
    "acct_multi_session_id IS NOT NULL",
    session.c.nas,
    session.c.acct_multi_session_id,
)

usage: Final = Table(
    "usage",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=False),
    Column("session_id", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger, nullable=False),
    Column("seconds", BigInteger, nullable=False),
    Column("input_octets", BigInteger, nullable=False),
    Column("output_octets", BigInteger, nullable=False),
    Column("input_packets", BigInteger, nullable=False),
    Column("output_packets", BigInteger, nullable=False),
    Column("derived", Text, nullable=False),
    Column("records", Integer, nullable=False),
    Column("rolled_up", Boolean, nullable=False, server_default=text("false")),
    tenant(),
)
Index("usage_by_session_id", usage.c.session_id)

USAGE_RUN: Final = 4096
"""Ids of usage that share a row of `usage_run`."""

# The latest end in each run of ids. Ids are in order of arrival, so that this tells
# where to begin to look for usage since a time; an index on the end itself would cost
# each record as much as its row does.
usage_run: Final = Table(
    "usage_run",
    metadata,
    Column("run", BigInteger, primary_key=True, autoincrement=False),
    Column("latest_end", BigInteger, nullable=False),
)

journal_position: Final = Table(
    "journal_position",
    metadata,
    Column("journal", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("journal", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("records", Integer, nullable=False),
    Column("received_at_ns", BigInteger, nullable=False),
    Column("octets", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("quarantined_at", BigInteger, nullable=False),
    # Its place in the journal of records to apply again; NULL until someone asks.
    Column("retry_position", BigInteger),
    tenant(),
)
Index("quarantine_by_retry_position", quarantine.c.retry_position, unique=True)

network_object: Final = Table(
    "network_object",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("body", JSON, nullable=False),
    tenant(),
)

change: Final = Table(
    "change",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("body", JSON(none_as_null=True)),
    # A number is never given twice, not even when the newest changes are pruned:
    # followers remember how far they are by it.
    sqlite_autoincrement=True,
)

Index("change_by_name", change.c.kind, change.c.name)
Index("change_by_time", change.c.kind, change.c.action, change.c.at)

# One row: the highest id of usage that was rolled up, or was looked at for it.
rollup_position: Final = Table(
    "rollup_position",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("usage_id", BigInteger, nullable=False),
)

# One row, counted up to prove that a commit reaches the disk.
write_check: Final = Table(
    "write_check",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("checks", BigInteger, nullable=False),
)

SESSION_COLUMNS: Final = tuple(c.name for c in session.c)
"""The order of a session's values wherever sessions travel as tuples."""

PROGRESS_COLUMNS: Final = (
    "id",
    "last_seen_at",
    "last_arrival_at",
    "seconds",
    "input_octets",
    "output_octets",
    "input_packets",
    "output_packets",
    "points",
)
"""What an ordinary interim update changes, and no index has in it."""

LIFE_COLUMNS: Final = (
    *PROGRESS_COLUMNS,
    "state",
    "started_at",
    "started_derived",
    "stopped_at",
    "terminate_cause",
    "close_derived",
)
"""What any report may change of a session, but for what it says of the subscriber."""

USAGE_COLUMNS: Final = tuple(c.name for c in usage.c if c.name != "rolled_up")
"""The order of a usage record's values wherever usage travels as tuples."""
