"""Leases as the ledger writes them and a start reads them: whole batches.

Rows are plain tuples in the order of the tables' columns, as in ``storage.sessions``.
Every function works in the caller's transaction, takes any number of rows, and raises
StorageError when the database fails.
"""

# ruff: noqa: S608  what is put into statements is our own tables' and columns' names
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, Row, exists, select

from storage.bulk import copy, insert, is_postgresql, types
from storage.lease_tables import (
    HISTORY_COLUMNS,
    LEASE_COLUMNS,
    SALE_COLUMNS,
    address_quarantine,
    address_sale,
    lease,
    lease_history,
)

EXTENSION_COLUMNS: Final = ("address", "extended_at", "expires_at")
"""What a renewal changes of a lease."""

RESTORED_COLUMNS: Final = (
    *("address", "kind", "line", "hardware", "client_id", "agent"),
    *("extended_at", "expires_at", "ended_at", "end_reason"),
)
"""What a start wants to know of a lease."""

QUARANTINE_COLUMNS: Final = ("address", "line", "declined_at", "until", "tenant")
_PAGE_ROWS: Final = 10_000
_SELECT: Final = f"SELECT {', '.join(LEASE_COLUMNS)} FROM lease"


def leases_at(connection: Connection, addresses: Sequence[int]) -> Sequence[Row[Any]]:
    """The leases of these addresses, as far as there are any."""
    if not addresses:
        return []
    if is_postgresql(connection):
        where = "= ANY(%s)"
        value: list[int] | str = list(addresses)
    else:
        where = "IN (SELECT value FROM json_each(?))"
        value = msgspec.json.encode(addresses).decode()
    return connection.exec_driver_sql(
        f"{_SELECT} WHERE address {where}", (value,)
    ).all()


def leases_to_restore(connection: Connection) -> Iterator[Sequence[Row[Any]]]:
    """Every lease, ended ones too, as RESTORED_COLUMNS, in the order of addresses.

    Page by page, because rows that are still in the processor's cache are read in half
    the time.
    """
    last = -1
    following = "%s" if is_postgresql(connection) else "?"
    query = (
        f"SELECT {', '.join(RESTORED_COLUMNS)} FROM lease WHERE address > {following}"
        f" ORDER BY address LIMIT {_PAGE_ROWS}"
    )
    while rows := connection.exec_driver_sql(query, (last,)).all():
        yield rows
        last = rows[-1][0]


def replace_leases(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Make the leases of addresses these, each address at most once a call."""
    if not rows:
        return
    columns = ", ".join(LEASE_COLUMNS)
    if not is_postgresql(connection):
        connection.exec_driver_sql(
            f"INSERT OR REPLACE INTO lease ({columns})"
            f" VALUES ({', '.join('?' * len(LEASE_COLUMNS))})",
            sorted(rows),
        )
        return
    _fill(connection, "lease_batch", LEASE_COLUMNS, rows)
    changed = ", ".join(f"{c} = excluded.{c}" for c in LEASE_COLUMNS[1:])
    connection.exec_driver_sql(
        f"INSERT INTO lease ({columns}) SELECT {columns} FROM lease_batch"
        f" ON CONFLICT (address) DO UPDATE SET {changed}"
    )


def extend_leases(connection: Connection, rows: Sequence[tuple[int, int, int]]) -> None:
    """Move the ends of leases, each at most once; rows are EXTENSION_COLUMNS."""
    if not rows:
        return
    if not is_postgresql(connection):
        connection.exec_driver_sql(
            "UPDATE lease SET extended_at = ?2, expires_at = ?3 WHERE address = ?1",
            sorted(rows),
        )
        return
    _fill(connection, "lease_extension", EXTENSION_COLUMNS, rows)
    connection.exec_driver_sql(
        "UPDATE lease SET extended_at = e.extended_at, expires_at = e.expires_at"
        " FROM lease_extension e WHERE lease.address = e.address"
    )


def _fill(
    connection: Connection,
    batch: str,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {batch} ON COMMIT DELETE ROWS"
        f" AS SELECT {', '.join(columns)} FROM lease WITH NO DATA"
    )
    connection.exec_driver_sql(f"DELETE FROM {batch}")
    copy(connection, batch, columns, types(lease, columns), rows)


def add_history(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add ended bindings; rows are HISTORY_COLUMNS."""
    insert(connection, lease_history, HISTORY_COLUMNS, rows)


def add_sales(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add addresses sold or free for a while; rows are SALE_COLUMNS."""
    insert(connection, address_sale, SALE_COLUMNS, rows)


def quarantine(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Add declined addresses; rows are QUARANTINE_COLUMNS."""
    insert(connection, address_quarantine, QUARANTINE_COLUMNS, rows)


def release_quarantine(connection: Connection, address: int, at: int) -> None:
    """Take an address out of quarantine."""
    standing = address_quarantine.c
    connection.execute(
        address_quarantine.update()
        .where(standing.address == address, standing.released_at.is_(None))
        .values(released_at=at)
    )


def quarantined(
    connection: Connection, after: int
) -> Sequence[Row[int, int, int, str]]:
    """The addresses in quarantine beyond a time: since, until, address, line.

    Not those that are leased: a DECLINE ends what it declines, so that lease is later.
    """
    standing = address_quarantine.c
    again = exists().where(
        lease.c.address == standing.address, lease.c.ended_at.is_(None)
    )
    return connection.execute(
        select(standing.declined_at, standing.until, standing.address, standing.line)
        .where(standing.released_at.is_(None), standing.until > after, ~again)
        .order_by(standing.id)
    ).all()


def sales_of_month(connection: Connection, month: str) -> Sequence[Row[Any]]:
    """What was sold or given free in a month such as 2026-11, in order."""
    return connection.execute(
        select(*(address_sale.c[name] for name in SALE_COLUMNS))
        .where(address_sale.c.month == month)
        .order_by(address_sale.c.id)
    ).all()
