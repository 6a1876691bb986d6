"""What the tables of every concern are made with: one set of names, keys and tenants.

Tables are declared by concern (``storage.tables`` for sessions, usage and the network,
``storage.*_tables`` for the others) in one ``metadata``, which the migrations build. It
names no option of PostgreSQL: that would import its dialect, which is a tenth of the
start of every process, and needless on SQLite.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Text, text

# SQLite makes a column the row's own key only when its type reads INTEGER.
KEY: Final = BigInteger().with_variant(Integer(), "sqlite")

FILLFACTOR: Final = "fillfactor"
"""In a table's ``info``: how full PostgreSQL makes its pages, in per cent."""

metadata: Final = MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "pk": "%(table_name)s_key",
    }
)


def tenant() -> Column[str]:
    """Whose row it is; the network's own until a service says otherwise."""
    return Column("tenant", Text, nullable=False, server_default=text("'network'"))


def partial_index(
    name: str, where: str, *columns: Column[Any], unique: bool = False
) -> None:
    """Make an index of the rows that meet a condition, which both databases have."""
    Index(name, *columns, unique=unique, sqlite_where=text(where))
