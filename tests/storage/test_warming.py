"""What is read ahead is there, and nothing else is different."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.database import Database, StorageError, open_database
from storage.sites import put_sites, sites_by
from storage.warming import warm


def test_reading_ahead_changes_nothing(database: Database) -> None:
    """Every index that it names is there, and the lock of writers stays free."""
    site = {"name": "a", "area": "harbour", "address": "1 Quay Street, Porthaven 4711"}
    with database.write.begin() as connection:
        put_sites(connection, [site])
    warm(database)
    with database.write.begin() as connection:
        found = sites_by(connection, "postcode_key", ["4711 1"])

    assert ["a"] == [one.name for one in found["4711 1"]]


def test_a_database_without_tables_says_so(tmp_path: Path) -> None:
    """As one that is away does: whoever starts goes on without."""
    database = open_database("sqlite", tmp_path)
    with pytest.raises(StorageError):
        warm(database)
    database.close()
