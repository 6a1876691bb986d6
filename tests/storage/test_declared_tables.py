"""What tables are declared with is what the migrations make, on both databases."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from daemon.role import ROLES
from storage.columns import FILLFACTOR, metadata
from storage.database import Database
from storage.schema import DECLARED

ROOT = Path(__file__).parents[2]


def test_partial_indexes_are_as_declared(database: Database) -> None:
    """By name; what each leaves out is a query's matter, and tested there."""
    assert DECLARED  # imported, so that the metadata is whole
    declared = {
        index.name
        for table in metadata.tables.values()
        for index in table.indexes
        if index.dialect_options["sqlite"]["where"] is not None
    }
    found = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE :where"
    if database.is_postgresql:
        found = "SELECT indexname FROM pg_indexes WHERE indexdef LIKE :where"
    with database.read.connect() as connection:
        made = set(connection.scalars(text(found), {"where": "% WHERE %"}))
    assert declared == made


@pytest.mark.parametrize("engine", ["postgresql"])
def test_pages_have_the_room_that_is_declared(database: Database) -> None:
    """Where rows grow in place, and nowhere else."""
    declared = {
        name: [f"fillfactor={table.info[FILLFACTOR]}"]
        for name, table in metadata.tables.items()
        if FILLFACTOR in table.info
    }
    query = "SELECT relname, reloptions FROM pg_class WHERE reloptions IS NOT NULL"
    own = " AND relkind = 'r' AND relnamespace = 'public'::regnamespace"
    with database.read.connect() as connection:
        made = dict(map(tuple, connection.execute(text(query + own))))
    assert declared == made


@pytest.mark.parametrize("target", ROLES.values(), ids=ROLES.keys())
def test_a_role_imports_nothing_of_postgresql_before_it_is_used(target: str) -> None:
    """It would take a tenth of each start, on SQLite too."""
    module = target.partition(":")[0]
    names = "('sqlalchemy.dialects.postgresql', 'psycopg')"
    ask = f"print([name for name in {names} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; {ask}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert "[]" == done.stdout.strip()
