"""Clients of the interfaces, their tokens, idempotency keys and webhooks.

Secrets and tokens are 256 random bits each, so their SHA-256 is kept and nothing
slower: nobody finds 256 bits by trying, and a token is looked up by its digest.
"""

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

client: Final = Table(
    "client",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("secret_sha256", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    tenant(),
)

token: Final = Table(
    "token",
    metadata,
    Column("token_sha256", LargeBinary, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
)
Index("token_by_expires_at", token.c.expires_at)

# The answer to a request that said an Idempotency-Key, given again to its repetition.
idempotency_key: Final = Table(
    "idempotency_key",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("operation", Text, nullable=False),
    Column("body_sha256", LargeBinary, nullable=False),
    Column("status", Integer),
    Column("answer", LargeBinary),
    Column("at", BigInteger, nullable=False),
)
Index("idempotency_key_by_at", idempotency_key.c.at)

webhook: Final = Table(
    "webhook",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=True),
    Column("callback", Text, nullable=False),
    # Event types that are sent, with commas; empty for all.
    Column("query", Text, nullable=False),
    # Encrypted where a credential key is configured; needed in clear to sign.
    Column("secret", LargeBinary, nullable=False),
    # The number of the last event that was delivered.
    Column("cursor", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("next_at", BigInteger, nullable=False, server_default=text("0")),
    Column("failure", Text),
    Column("suspended", Boolean, nullable=False, server_default=text("false")),
    tenant(),
)
partial_index("webhook_due", "NOT suspended", webhook.c.next_at)

# The last version of each line's desired state that was taken up, and the order that
# it became; null when nothing was to be done.
desired_state: Final = Table(
    "desired_state",
    metadata,
    Column("line", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("order_id", Text),
    Column("at", BigInteger, nullable=False),
    Column(
        "tenant",
        Text,
        primary_key=True,
        nullable=False,
        server_default=text("'network'"),
    ),
)

# How far each reader of the outbox inside this daemon has read.
outbox_reader: Final = Table(
    "outbox_reader",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cursor", BigInteger, nullable=False),
)
