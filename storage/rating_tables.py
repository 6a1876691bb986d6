"""Running totals, samples of traffic, and usage that is waiting to be rated.

A balance is one row for a holder and a period, whose id the ledger assigns in order; a
batch updates it by id, and what is in ``memory`` only the rater reads. Usage that was
rated is in the ledger's entries; only what was not is kept here, with the reason.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)

from storage.columns import FILLFACTOR, KEY, metadata, partial_index, tenant

balance: Final = Table(
    "balance",
    metadata,
    Column("id", KEY, primary_key=True, autoincrement=False),
    tenant(),
    Column("holder", Text, nullable=False),
    Column("tariff", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("memory", LargeBinary, nullable=False),
    # A batch grows a memory by an octet or two: room in the page keeps the row there.
    info={FILLFACTOR: 80},
)
Index(
    "balance_by_holder",
    balance.c.holder,
    balance.c.period,
    balance.c.tariff,
    balance.c.version,
    balance.c.tenant,
    unique=True,
)

# One row, held by whoever writes balances of usage: how many times it was another than
# the ledger, whose memory is then out of date.
balance_head: Final = Table(
    "balance_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("rewritten", BigInteger, nullable=False),
)

traffic_sample: Final = Table(
    "traffic_sample",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("started_at", BigInteger, primary_key=True, autoincrement=False),
    Column("input_octets", BigInteger, nullable=False),
    Column("output_octets", BigInteger, nullable=False),
)

unrated_usage: Final = Table(
    "unrated_usage",
    metadata,
    Column("usage_id", KEY, primary_key=True, autoincrement=False),
    tenant(),
    Column("service", Text),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("tried_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
)

# Batches in which usage ended later than it arrived (``storage.usage_arrivals``).
usage_arrival: Final = Table(
    "usage_arrival",
    metadata,
    Column("first_usage_id", KEY, primary_key=True, autoincrement=False),
    Column("last_usage_id", BigInteger, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)

# What a passed threshold asks for, in order of number; ``body`` has the whole event.
# ``acted_at`` is when the provisioning side carried it out, ``effect`` what the next
# usage said of that; what it does not show is done again, ``tries`` times in all.
quota_event: Final = Table(
    "quota_event",
    metadata,
    Column("number", KEY, primary_key=True, autoincrement=True),
    tenant(),
    Column("service", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),
    Column("acted_at", BigInteger),
    Column("effect", Text),
    Column("effect_usage_id", BigInteger),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    sqlite_autoincrement=True,
)
partial_index(
    "quota_event_acted", "acted_at IS NOT NULL AND effect IS NULL", quota_event.c.number
)
DUE: Final = "action <> 'none' AND (acted_at IS NULL OR effect = 'failed')"
"""Of events that ask for something that was not done, or did not show."""

partial_index("quota_event_due", DUE, quota_event.c.number)

# What of a fixed amount was charged for a period: a difference is charged, once.
periodic_charge: Final = Table(
    "periodic_charge",
    metadata,
    Column("tenant", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("tariff", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("element", Text, primary_key=True),
    Column("version", Text, nullable=False),
    Column("first_day", Text),
    Column("last_day", Text),
    Column("amount", BigInteger, nullable=False),
    # A service that ended and came back in one period has two of an element.
    Column("charged_at", BigInteger, primary_key=True, autoincrement=False),
    # What of the amount was taken back by hand, and is not charged any more.
    Column("taken_back", BigInteger, nullable=False, server_default=text("0")),
)

BALANCE_COLUMNS: Final = tuple(column.name for column in balance.c)
"""The order of a balance's values wherever balances travel as tuples."""

UNRATED_COLUMNS: Final = tuple(column.name for column in unrated_usage.c)
"""The order of the values of usage that waits."""
