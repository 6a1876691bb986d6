"""Commits that are synced later: durable when told, beside the next ones."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pysqlite3 import dbapi2 as sqlite

from storage.database import SQLITE_FILE, Database, StorageError, open_database
from storage.write_ahead import WriteAhead


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Database]:
    """A database with a table to write to."""
    database = open_database("sqlite", tmp_path)
    with database.write.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE filling (octets BLOB)")
    yield database
    database.close()


def log_of(database: Database) -> WriteAhead:
    """Give the log, which SQLite always has."""
    assert database.log is not None
    return database.log


def write(log: WriteAhead, octets: int = 1) -> None:
    """Commit a row."""
    with log.begin() as connection:
        row = (bytes(octets),)
        connection.exec_driver_sql("INSERT INTO filling VALUES (?)", row)


def test_what_is_synced_is_in_the_files(filled: Database, tmp_path: Path) -> None:
    """A copy of the files that is opened elsewhere has all that was committed."""
    log = log_of(filled)
    for _ in range(3):
        write(log)
    log.sync()
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in (SQLITE_FILE, f"{SQLITE_FILE}-wal"):
        shutil.copy(tmp_path / name, copy / name)
    with sqlite.connect(copy / SQLITE_FILE) as opened:
        found = opened.execute("SELECT count(*) FROM filling").fetchone()
    opened.close()

    assert (3,) == found


def test_other_transactions_sync_themselves(filled: Database) -> None:
    """The connection is what it was, also after a transaction that failed."""
    log = log_of(filled)
    write(log)
    with pytest.raises(StorageError), log.begin() as connection:
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")
    with filled.write.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "wal_autocheckpoint")
        ]
        rows = connection.exec_driver_sql("SELECT count(*) FROM filling").scalar()

    assert [2, 512] == settings
    assert 1 == rows


def test_the_log_has_an_end(filled: Database, tmp_path: Path) -> None:
    """However much is written, it begins anew: checkpoints beside, and in the end one
    of a commit, see to that."""
    log = log_of(filled)
    for _ in range(120):
        write(log, 2**20)
        log.sync()
    size = (tmp_path / f"{SQLITE_FILE}-wal").stat().st_size

    assert size < 2 * 32 * 2**20


def test_a_log_that_was_not_synced_is_not_asked_again(
    filled: Database, tmp_path: Path
) -> None:
    """It is brought into the database file and begun anew before anything is told."""
    good, pipe, path = (tmp_path / n for n in (f"{SQLITE_FILE}-wal", "pipe", "log"))
    os.mkfifo(pipe)  # which the kernel refuses to sync
    path.symlink_to(pipe)
    log = WriteAhead(path, filled.write, filled.write)
    write(log)
    with pytest.raises(StorageError):
        log.sync()
    before = good.stat().st_size
    path.unlink()
    path.symlink_to(good)
    log.sync()
    after = good.stat().st_size
    log.close()

    assert before > 0
    assert 0 == after
