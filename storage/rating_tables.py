"""Running totals, samples of traffic, and usage that is waiting to be rated.

A balance is one row for a holder and a period, whose id the ledger assigns in order; a
batch updates it by id, and what is in ``memory`` only the rater reads. Usage that was
rated is in the ledger's entries; only what was not is kept here, with the reason.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text

from storage.columns import KEY, metadata, tenant

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
    postgresql_with={"fillfactor": "80"},
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

BALANCE_COLUMNS: Final = tuple(column.name for column in balance.c)
"""The order of a balance's values wherever balances travel as tuples."""

UNRATED_COLUMNS: Final = tuple(column.name for column in unrated_usage.c)
"""The order of the values of usage that waits."""
