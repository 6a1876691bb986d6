"""Balances, traffic samples and waiting usage as the ledger writes them: whole batches.

Every function works in the caller's transaction and raises StorageError when the
database fails. A balance is inserted once and then updated by its id; samples are added
to what is there, so nobody has to read them first.
"""

# ruff: noqa: S608  what is put into statements is our own tables' and columns' names
from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from rating.balance import Balance, BalanceKey
from rating.rater import StoredBalance
from rating.samples import Samples
from storage.among import among
from storage.bulk import copy, insert, is_postgresql, types
from storage.rating_tables import (
    BALANCE_COLUMNS,
    UNRATED_COLUMNS,
    balance,
    balance_head,
    traffic_sample,
    unrated_usage,
)

REJECTED = "rejected"

_IDS_AT_ONCE = 5000
"""Ids that are written out in one statement: few plans, and small ones."""

_FIND: Final = select(
    balance.c.id, *(balance.c[name] for name in BalanceKey._fields), balance.c.memory
).where(among(balance.c.holder, "holders"), among(balance.c.period, "periods"))

Rows = list[tuple[Any, ...]]

_SAMPLE_COLUMNS = tuple(column.name for column in traffic_sample.c)


class UnratedUsage(NamedTuple):
    """A usage record that waits, in the order of UNRATED_COLUMNS.

    ``state`` is TMF635's: ``received`` without a service, ``guided`` with one,
    ``rejected`` for what will never do, ``recycled`` when it is to be tried again.
    Times are in seconds since 1970.
    """

    usage_id: int
    tenant: str
    service: str | None
    state: str
    reason: str
    received_at: int
    tried_at: int
    tries: int


def load_balances(
    connection: Connection, keys: Collection[BalanceKey]
) -> list[StoredBalance]:
    """Give the balances there are of these keys."""
    wanted = set(keys)
    # The lists are bound as two values: five thousand keys of five values each, written
    # out, were planned anew each time, and compared one by one with every row.
    asked = {
        "holders": sorted({key.holder for key in wanted}),
        "periods": sorted({key.period for key in wanted}),
    }
    rows = connection.execute(_FIND, asked) if wanted else ()
    found = (StoredBalance(row[0], BalanceKey(*row[1:-1]), row[-1]) for row in rows)
    return [stored for stored in found if stored.key in wanted]


def next_balance_id(connection: Connection) -> int:
    """Give the first unused id, for the ledger's start; it counts on by itself."""
    own = select(func.max(balance.c.id)).where(balance.c.id > 0)
    return (connection.execute(own).scalar() or 0) + 1


def lock_balances(connection: Connection) -> int:
    """Let nobody else write balances of usage until this transaction ends; give how
    often another than the ledger has.

    Whoever takes the ledger's head as well takes this first.
    """
    query = select(balance_head.c.rewritten).with_for_update()
    count: int = connection.execute(query).scalar_one()
    return count


def rewritten(connection: Connection) -> int:
    """Give how often another than the ledger has written balances of usage."""
    count: int = connection.execute(select(balance_head.c.rewritten)).scalar_one()
    return count


def balances_rewritten(connection: Connection) -> None:
    """Tell the ledger that its copies of balances are out of date."""
    once_more = balance_head.c.rewritten + 1
    connection.execute(update(balance_head).values(rewritten=once_more))


def next_bsp_balance_id(connection: Connection) -> int:
    """Give the first unused id of a balance for a BSP's meter.

    They are below zero, so that who rates them and the ledger can both count on without
    asking each other.
    """
    own = select(func.max(balance.c.id)).where(balance.c.id < 0)
    return (connection.execute(own).scalar() or -(2**62)) + 1


def begun_rows(balances: Iterable[Balance]) -> Rows:
    """Give the rows of balances that the rater began."""
    return [(b.id, *b.key, b.memory()) for b in balances]


def counted_rows(balances: Iterable[Balance]) -> Rows:
    """Give what changed of balances that are there, in the order of their ids."""
    return sorted((b.id, b.memory()) for b in balances)


def insert_balances(connection: Connection, rows: Rows) -> None:
    """Add balances: ``begun_rows``."""
    insert(connection, balance, BALANCE_COLUMNS, rows)


def update_balances(connection: Connection, rows: Rows) -> None:
    """Write what changed of balances, each at most once a call: ``counted_rows``."""
    if not rows:
        return
    if not is_postgresql(connection):
        sql = "UPDATE balance SET memory = ?2 WHERE id = ?1"
        connection.exec_driver_sql(sql, rows)
        return
    _into_batch(connection, "balance", ("id", "memory"), rows)
    connection.exec_driver_sql(
        "UPDATE balance SET memory = balance_batch.memory FROM balance_batch"
        " WHERE balance.id = balance_batch.id"
    )


def add_samples(connection: Connection, samples: Samples) -> None:
    """Add octets to the 5-minute samples of ISPs."""
    rows = [
        (tenant, at, octets_in, octets_out)
        for (tenant, at), (octets_in, octets_out) in sorted(samples.items())
    ]
    if not rows:
        return
    names = ", ".join(_SAMPLE_COLUMNS)
    conflict = (
        " ON CONFLICT (tenant, started_at) DO UPDATE SET"
        " input_octets = traffic_sample.input_octets + excluded.input_octets,"
        " output_octets = traffic_sample.output_octets + excluded.output_octets"
    )
    if not is_postgresql(connection):
        sql = f"INSERT INTO traffic_sample ({names}) VALUES (?, ?, ?, ?) {conflict}"
        connection.exec_driver_sql(sql, rows)
        return
    _into_batch(connection, "traffic_sample", _SAMPLE_COLUMNS, rows)
    connection.exec_driver_sql(
        f"INSERT INTO traffic_sample ({names})"
        f" SELECT {names} FROM traffic_sample_batch {conflict}"
    )


def _into_batch(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Copy rows into a temporary table called like the table, with ``_batch``."""
    batch = f"{table}_batch"
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {batch} ON COMMIT DELETE ROWS"
        f" AS SELECT {', '.join(columns)} FROM {table} WITH NO DATA"
    )
    connection.exec_driver_sql(f"DELETE FROM {batch}")
    declared = {t.name: t for t in (balance, traffic_sample)}[table]
    copy(connection, batch, columns, types(declared, columns), rows)


def samples_of(
    connection: Connection, tenant: str, start: int, end: int
) -> Iterator[tuple[int, int]]:
    """Give octets in and out of an ISP's samples in a span; those of 0 are absent."""
    for _, input_octets, output_octets in timed_samples_of(
        connection, tenant, start, end
    ):
        yield input_octets, output_octets


def timed_samples_of(
    connection: Connection, tenant: str, start: int, end: int
) -> Iterator[tuple[int, int, int]]:
    """Give the same, each behind the epoch second at which it starts."""
    at = traffic_sample.c.started_at
    query = select(at, traffic_sample.c.input_octets, traffic_sample.c.output_octets)
    query = query.where(traffic_sample.c.tenant == tenant, at >= start, at < end)
    for row in connection.execute(query.order_by(at)):
        yield row[0], row[1], row[2]


def insert_unrated(connection: Connection, usages: Sequence[tuple[Any, ...]]) -> None:
    """Keep usage that cannot be rated now: fields of ``UnratedUsage``."""
    insert(connection, unrated_usage, UNRATED_COLUMNS, usages)


def unrated(
    connection: Connection, after_usage_id: int, limit: int, tenant: str | None = None
) -> list[UnratedUsage]:
    """Give the next usage that waits, by id; of one tenant, or of all.

    Start with 0 and go on with the last id given, until fewer than ``limit`` come.
    """
    query = select(unrated_usage).where(unrated_usage.c.usage_id > after_usage_id)
    if tenant is not None:
        query = query.where(unrated_usage.c.tenant == tenant)
    query = query.order_by(unrated_usage.c.usage_id).limit(limit)
    return [UnratedUsage(*row) for row in connection.execute(query)]


def waiting_between(connection: Connection, first: int, last: int) -> set[int]:
    """Give the ids of usage that is not rated, from one id to another."""
    usage_id = unrated_usage.c.usage_id
    query = select(usage_id).where(usage_id.between(first, last))
    return set(connection.scalars(query))


def count_waiting(connection: Connection, last_usage_id: int) -> int:
    """Count the usage up to an id that is not rated: it only ever becomes less."""
    query = select(func.count()).select_from(unrated_usage)
    own = unrated_usage.c.usage_id <= last_usage_id
    return connection.execute(query.where(own)).scalar_one()


def reject_unrated(connection: Connection, usage_id: int, reason: str) -> None:
    """Try a record no more, as it can never be rated."""
    own = unrated_usage.c.usage_id == usage_id
    rejected = update(unrated_usage).where(own)
    connection.execute(rejected.values(state=REJECTED, reason=reason))


def unrated_by_reason(connection: Connection) -> dict[tuple[str, str], int]:
    """Count the usage that waits by state and reason; it reads all of it."""
    columns = unrated_usage.c
    query = select(columns.state, columns.reason, func.count())
    rows = connection.execute(query.group_by(columns.state, columns.reason))
    return {(row[0], row[1]): row[2] for row in rows}


def waiting(
    connection: Connection, after_usage_id: int, limit: int
) -> list[UnratedUsage]:
    """Give the next usage to be tried again, by id: what was not rejected."""
    columns = unrated_usage.c
    query = select(unrated_usage).where(
        columns.usage_id > after_usage_id, columns.state != REJECTED
    )
    rows = connection.execute(query.order_by(columns.usage_id).limit(limit))
    return [UnratedUsage(*row) for row in rows]


def forget_unrated(connection: Connection, usage_ids: Sequence[int]) -> None:
    """Take usage off that has been rated, in the transaction that rated it."""
    ids = unrated_usage.c.usage_id
    for first in range(0, len(usage_ids), _IDS_AT_ONCE):
        some = usage_ids[first : first + _IDS_AT_ONCE]
        connection.execute(delete(unrated_usage).where(ids.in_(some)))
