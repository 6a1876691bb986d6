"""The month that a rerating is measured by is one the ledger could have written."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from sqlalchemy import func, inspect, select

from bench.rerate import fill
from storage.database import Database, open_database
from storage.sessions import insert_usage
from storage.tables import USAGE_COLUMNS, USAGE_RUN, usage, usage_run

RECORDS = 25_003


def rows(database: Database, *columns: str) -> list[tuple[Any, ...]]:
    """What is in columns of usage, in order of id."""
    with database.read.connect() as connection:
        chosen = [usage.c[name] for name in columns]
        return [tuple(r) for r in connection.execute(select(*chosen).order_by("id"))]


def test_usage_multiplied_in_sql_is_what_the_ledger_writes(tmp_path: Path) -> None:
    """Ids without a gap, spans of the same length, runs and indexes as they should."""
    database = open_database("sqlite", tmp_path)
    fill(database, RECORDS)
    made = rows(database, *USAGE_COLUMNS)
    assert list(range(1, RECORDS + 1)) == [row[0] for row in made]
    assert {600} == {row[3] - row[2] for row in made}
    assert 3 == len({row[2] for row in made if row[1] == 1})
    assert "usage_by_session_id" in {
        index["name"] for index in inspect(database.write).get_indexes("usage")
    }
    with database.write.begin() as connection:
        runs = set(connection.execute(select(usage_run)))
        connection.execute(usage_run.delete())
        connection.execute(usage.delete())
        for _, run in groupby(made, lambda row: row[0] // USAGE_RUN):
            insert_usage(connection, list(run))
        assert runs == set(connection.execute(select(usage_run)))
        assert RECORDS == connection.scalar(select(func.count()).select_from(usage))
    database.close()
