"""Many rows in one step, for transactions beside an event loop.

The driver lets go of the interpreter for each step of SQLite, which is each row that is
read or written, and must get it back to go on. While an event loop wants it too that
takes longer than the row: see decision 16. So on SQLite rows travel as one JSON value,
a statement is one step, and it goes to the driver without SQLAlchemy, whose part of it
takes longer than the rest. PostgreSQL gives and takes rows together anyway.
"""

# ruff: noqa: S608  what is put into statements is our own tables' and columns' names
from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import sqlalchemy
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import (
    JSON,
    Connection,
    Delete,
    Select,
    Table,
    Update,
    bindparam,
    func,
    select,
    text,
)

from storage.bulk import is_postgresql

_ROWS_A_STATEMENT: Final = 64
"""Rows that one statement adds. Each number of them is a statement of its own, which
stays prepared."""


class Rows:
    """A query of texts and numbers, whose rows are read in one step."""

    def __init__(self, query: Select[Any]) -> None:
        self.query = query
        self._packed: tuple[str, list[str], Mapping[str, Any]] | None = None

    def read(
        self, connection: Connection, bound: Mapping[str, Any]
    ) -> Sequence[Sequence[Any]]:
        """Give the rows; on SQLite they are lists."""
        return read_all(connection, (self, bound))[0]

    def packed(
        self, connection: Connection, bound: Mapping[str, Any]
    ) -> tuple[str, list[Any]]:
        """Give SQLite's statement for all rows as one JSON value, and its values."""
        if self._packed is None:
            rows = self.query.subquery()
            packed = select(func.json_group_array(func.json_array(*rows.c)))
            compiled = packed.compile(dialect=connection.dialect)
            names = compiled.positiontup or []
            self._packed = str(compiled), names, compiled.params
        statement, names, constants = self._packed
        given = {**constants, **bound}
        return statement, [_bindable(given[name]) for name in names]


class Change:
    """A statement that changes rows by texts that are bound; nothing is given back."""

    def __init__(self, statement: Update | Delete) -> None:
        self.statement = statement
        self._compiled: tuple[str, list[str], Mapping[str, Any]] | None = None

    def make(self, connection: Connection, bound: Mapping[str, Any]) -> None:
        """Change them, in one step on SQLite."""
        if is_postgresql(connection):
            connection.execute(self.statement, bound)
            return
        if self._compiled is None:
            compiled = self.statement.compile(dialect=connection.dialect)
            self._compiled = str(compiled), compiled.positiontup or [], compiled.params
        statement, names, constants = self._compiled
        given = {**constants, **bound}
        _step(connection, statement, [_bindable(given[name]) for name in names])


def read_all(
    connection: Connection, *asked: tuple[Rows, Mapping[str, Any]]
) -> list[Sequence[Sequence[Any]]]:
    """Give the rows of several queries, which on SQLite are one statement."""
    if is_postgresql(connection):
        return [connection.execute(rows.query, bound).all() for rows, bound in asked]
    packed = [rows.packed(connection, bound) for rows, bound in asked]
    columns = ", ".join(f"({statement})" for statement, _ in packed)
    values = [value for _, some in packed for value in some]
    found = _step(connection, f"SELECT {columns}", values)
    return [msgspec.json.decode(one, type=list[list[Any]]) for one in found]


def insert(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Add rows in their order; all have the keys of the first."""
    if not rows:
        return
    if is_postgresql(connection):
        connection.execute(sqlalchemy.insert(table), rows)
        return
    names = tuple(rows[0])
    # Values that are bound take half the time of values taken out of JSON.
    packed = {n: kind for n in names if isinstance(kind := table.c[n].type, JSON)}
    given = [
        _packed(row[n], packed[n]) if n in packed else row[n]
        for row in rows
        for n in names
    ]
    width = len(names)
    for start in range(0, len(rows), _ROWS_A_STATEMENT):
        count = min(_ROWS_A_STATEMENT, len(rows) - start)
        values = given[start * width : (start + count) * width]
        _step(connection, _insertion(table.name, names, count), values)


@lru_cache(maxsize=512)
def _insertion(table: str, names: tuple[str, ...], count: int) -> str:
    columns = ", ".join(f'"{name}"' for name in names)
    row = f"({', '.join('?' * len(names))})"
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([row] * count)}"


def _packed(value: Any, kind: JSON) -> str | None:
    return None if value is None and kind.none_as_null else _json(value)


def update(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Change rows by the table's key; each has that, and the same others to be set."""
    if not rows:
        return
    keys = table.primary_key.columns.keys()
    if is_postgresql(connection):
        which = [table.c[key] == bindparam(f"which_{key}") for key in keys]
        named = {key: f"which_{key}" for key in keys}
        changed = [{named.get(k, k): v for k, v in row.items()} for row in rows]
        connection.execute(sqlalchemy.update(table).where(*which), changed)
        return
    others = [name for name in rows[0] if name not in keys]
    values = ", ".join(f'"{name}" = {_value(table, name)}' for name in others)
    where = " AND ".join(f"{table.name}.{key} = value ->> '{key}'" for key in keys)
    _step(
        connection,
        f"UPDATE {table.name} SET {values} FROM json_each(?) WHERE {where}",
        [_json(rows)],
    )


def _value(table: Table, name: str) -> str:
    """Take a column's value out of a row: JSON stays what it is."""
    kind = table.c[name].type
    if not isinstance(kind, JSON):
        return f"value ->> '{name}'"
    if kind.none_as_null:
        return f"nullif(value -> '{name}', 'null')"
    return f"value -> '{name}'"


def add_up(connection: Connection, table: Table, more: Mapping[str, int]) -> None:
    """Add to the quantities in a table by its key, and begin those not there yet."""
    sums = {key: count for key, count in more.items() if count}
    if not sums:
        return
    (key,) = table.primary_key.columns.keys()
    statement = (
        f"INSERT INTO {table.name} ({key}, quantity)"
        " SELECT key, CAST(value AS bigint) FROM {each} WHERE true"
        f" ON CONFLICT ({key}) DO UPDATE"
        f" SET quantity = {table.name}.quantity + excluded.quantity"
    )
    if is_postgresql(connection):
        each = "jsonb_each_text(CAST(:sums AS jsonb))"
        connection.execute(text(statement.format(each=each)), {"sums": _json(sums)})
    else:
        _step(connection, statement.format(each="json_each(?)"), [_json(sums)])


def _step(connection: Connection, statement: str, values: list[Any]) -> Any:
    """Give a statement to SQLite's driver, and give the one row that it returns."""
    if not connection.in_transaction():
        connection.begin()
    driver: Any = connection.connection.driver_connection
    try:
        return driver.execute(statement, values).fetchone()
    except sqlite.Error as error:
        # SQLAlchemy did not see this statement, so its callers get its error here.
        raise sqlalchemy.exc.DBAPIError.instance(
            statement, None, error, sqlite.Error
        ) from error


def _bindable(value: Any) -> Any:
    return _json(value) if isinstance(value, list) else value


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
