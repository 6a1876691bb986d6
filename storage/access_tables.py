"""RADIUS access: CoA and Disconnect commands; how far ISPs have their accounting."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
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

from storage.columns import KEY, metadata, partial_index, tenant

coa_command: Final = Table(
    "coa_command",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("nas", Text, nullable=False),
    Column("session_id", BigInteger, nullable=False),
    Column("acct_session_id", Text, nullable=False),
    # Rates in kbit/s that are wanted in the place of the service's own; null for those.
    Column("up_kbps", BigInteger),
    Column("down_kbps", BigInteger),
    Column("falls_back", Boolean, nullable=False, server_default=text("false")),
    Column("follows", BigInteger),
    Column("requested_by", Text, nullable=False),
    Column("requested_at", BigInteger, nullable=False),
    Column("sent_at", BigInteger),
    Column("answered_at", BigInteger),
    Column("verified_at", BigInteger),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("error_cause", Integer),
    Column("reason", Text),
    Column("packet", LargeBinary),
    tenant(),
)
partial_index(
    "coa_command_unfinished",
    "state IN ('queued', 'sent', 'acked')",
    coa_command.c.state,
    coa_command.c.id,
)
Index("coa_command_by_service", coa_command.c.service)

# NAS that were seen to sign their Access-Requests, on whichever node: each node has
# its own copy, which counts while the database is away.
learned_nas: Final = Table(
    "learned_nas",
    metadata,
    Column("nas", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
)

accounting_copy: Final = Table(
    "accounting_copy",
    metadata,
    Column("isp", Text, primary_key=True),
    Column("journal", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)
