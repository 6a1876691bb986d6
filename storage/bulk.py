"""Whole batches of plain tuples into a table: the quickest way that each database has.

SQLite gets one prepared statement a batch through ``executemany``, PostgreSQL gets
binary COPY. What was measured is in docs/decisions/0005-sql-batches.md. Text must not
contain NUL, which PostgreSQL cannot store, and numbers must fit 63 bits.
"""

# ruff: noqa: S608  what is put into statements is our own tables' and columns' names
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    import psycopg


def is_postgresql(connection: Connection) -> bool:
    """Whether it is PostgreSQL, for the few statements that must differ."""
    return connection.dialect.name == "postgresql"


def insert(
    connection: Connection,
    table: Table,
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Add rows, each with its values in the order of ``columns``; none is nothing."""
    if not rows:
        return
    if is_postgresql(connection):
        copy(connection, table.name, columns, types(table, columns), rows)
        return
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({', '.join(columns)})"
        f" VALUES ({', '.join('?' * len(columns))})",
        list(rows),
    )


def types(table: Table, columns: tuple[str, ...]) -> list[str]:
    """The PostgreSQL types of a table's columns, as ``copy`` needs them."""
    from sqlalchemy.dialects import postgresql  # a tenth of a second, as psycopg below

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return [table.c[name].type.compile(dialect).lower() for name in columns]


def copy(
    connection: Connection,
    table: str,
    columns: tuple[str, ...],
    types: list[str],
    rows: Sequence[tuple[Any, ...]],
) -> None:
    """Add rows to a table of PostgreSQL, temporary ones included."""
    import psycopg

    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT BINARY)"
    try:
        with driver.cursor() as cursor, cursor.copy(statement.encode()) as copy:
            copy.set_types(types)
            write_row = copy.write_row
            for row in rows:
                write_row(row)
    except psycopg.Error as error:
        # SQLAlchemy did not see this statement, so its callers get its error here.
        raise sqlalchemy.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error
        ) from error
