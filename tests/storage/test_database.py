"""The database behind its two engines, and the migrations that make it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from postgresql import PostgresqlServer
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import text

from storage import schema, sessions
from storage.database import (
    SQLITE_FILE,
    Database,
    DatabaseUrlError,
    DatabaseVersionError,
    StorageError,
    check_writable,
    migrate,
    newest_revision,
    open_database,
)


def test_the_migrations_make_exactly_the_declared_tables(database: Database) -> None:
    """Alembic's own comparison finds nothing to add, drop or change."""
    with database.read.connect() as connection:
        assert schema.differences(connection) == []
    assert schema.is_current(database)
    with database.read.connect() as connection:
        assert newest_revision() == schema.revision(connection)


def test_migrating_again_changes_nothing(database: Database) -> None:
    """Every start may migrate: what is there stays."""
    with database.write.begin() as connection:
        sessions.write_position(connection, "radius-0", 7)
    migrate(database)
    with database.read.connect() as connection:
        assert sessions.read_positions(connection) == {"radius-0": 7}


def test_a_start_of_a_current_database_does_without_alembic(tmp_path: Path) -> None:
    """It would take a third of a second, before anything else can start."""
    folder = str(tmp_path)
    migrate(open_database("sqlite", folder))
    code = (
        "import sys; from storage.database import migrate, open_database;"
        f"migrate(open_database('sqlite', {folder!r}));"
        "sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_many_may_migrate_at_once(empty_database: Database) -> None:
    """Processes that start together wait for one another, and none fails."""
    failures: list[BaseException] = []

    def start() -> None:
        try:
            migrate(empty_database)
        except BaseException as error:  # noqa: BLE001  shown by the assertion
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert schema.is_current(empty_database)


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    """An older program does not touch tables that it does not know."""
    with database.write.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseVersionError, match="9999"):
        migrate(database)


def test_the_reading_engine_cannot_write(database: Database) -> None:
    """Commands that list can be run beside the daemon: they can change nothing."""
    with database.read.connect() as connection, pytest.raises(StorageError):
        sessions.write_position(connection, "radius-0", 1)


def test_a_reader_sees_one_moment(database: Database) -> None:
    """Two questions of one reading transaction agree, whatever is written between."""
    with database.read.connect() as reader:
        before = sessions.read_positions(reader)
        with database.write.begin() as writer:
            sessions.write_position(writer, "radius-0", 1)
        during = sessions.read_positions(reader)
    with database.read.connect() as reader:
        after = sessions.read_positions(reader)

    assert (before, during, after) == ({}, {}, {"radius-0": 1})


def test_a_migrated_database_is_writable(database: Database) -> None:
    """Readiness may ask as often as it likes."""
    check_writable(database)
    check_writable(database)


def test_a_database_without_tables_is_not_writable(empty_database: Database) -> None:
    """Readiness stays red until the tables are there."""
    with pytest.raises(StorageError):
        check_writable(empty_database)


def test_a_reader_makes_no_database(tmp_path: Path) -> None:
    """A listing in the wrong folder fails and leaves no empty file behind."""
    database = open_database("sqlite", tmp_path)
    with pytest.raises(StorageError):
        database.read.connect()
    database.close()

    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_strange_letters_is_found(tmp_path: Path) -> None:
    """A name that means something in a URI is only a name."""
    folder = tmp_path / "50% & more?#\u00e9"
    folder.mkdir()
    database = open_database("sqlite", folder)
    migrate(database)
    database.close()

    assert (folder / SQLITE_FILE).exists()


def test_sqlite_is_durable_and_recent(tmp_path: Path) -> None:
    """The bundled SQLite is past the write-ahead-log bug and syncs each commit."""
    database = open_database("sqlite", tmp_path)
    with database.write.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "mmap_size")
        ]
    database.close()

    assert sqlite.sqlite_version_info >= (3, 51, 3)
    assert settings == ["wal", 2, 0]


def test_a_reader_never_checkpoints(tmp_path: Path) -> None:
    """The log stays as it is, however much is read."""
    database = open_database("sqlite", tmp_path)
    migrate(database)
    with database.read.connect() as connection:
        settings = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("wal_autocheckpoint", "query_only", "mmap_size")
        ]
    database.close()

    assert settings == [0, 1, 0]


def test_checkpoints_are_small(tmp_path: Path) -> None:
    """The log begins anew every few MiB: what a checkpoint writes and syncs at once is
    what a journal's commit on the same disk has to wait for."""
    database = open_database("sqlite", tmp_path)
    with database.write.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE filling (octets BLOB)")
    for _ in range(40):
        with database.write.begin() as connection:
            row = (bytes(2**20),)
            connection.exec_driver_sql("INSERT INTO filling VALUES (?)", row)
    log = (tmp_path / f"{SQLITE_FILE}-wal").stat().st_size
    database.close()

    assert log < 4 * 2**20


@pytest.mark.parametrize(
    "url", ["", "mysql://a:hidden@b/c", "postgresql+asyncpg://a/b", "sqlite:///x.db"]
)
def test_any_other_database_is_refused(url: str, tmp_path: Path) -> None:
    """The refusal says what is valid and repeats no password."""
    with pytest.raises(DatabaseUrlError, match="postgresql://") as refusal:
        open_database(url, tmp_path)

    assert "hidden" not in str(refusal.value)


def test_a_server_that_went_away_is_used_again_when_it_is_back(
    postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    """A restart of PostgreSQL costs errors while it lasts, and nothing after."""
    url = postgresql_server.create_database("restarted")
    database = open_database(url, tmp_path)
    migrate(database)
    check_writable(database)
    postgresql_server.stop()
    with pytest.raises(StorageError):
        check_writable(database)
    postgresql_server.start()
    check_writable(database)
    database.close()
    postgresql_server.drop_database("restarted")


def test_a_batch_cut_off_by_the_server_is_a_storage_error(
    postgresql_server: PostgresqlServer, tmp_path: Path
) -> None:
    """Nothing of a batch remains when the server ends in the middle of it."""
    url = postgresql_server.create_database("cut_off")
    database = open_database(url, tmp_path)
    migrate(database)
    row = (1, 1, 0, 600, 600, 1, 1, 1, 1, "reported", 1, "network")

    def batch() -> None:
        with database.write.begin() as connection:
            sessions.write_position(connection, "radius-0", 1)
            postgresql_server.stop()
            sessions.insert_usage(connection, [row])

    with pytest.raises(StorageError):
        batch()
    postgresql_server.start()
    with database.write.begin() as connection:
        assert sessions.read_positions(connection) == {}
        sessions.insert_usage(connection, [row])
    database.close()
    postgresql_server.drop_database("cut_off")


def test_a_writer_elsewhere_is_waited_for(tmp_path: Path) -> None:
    """Two processes that write wait for one another instead of failing."""
    one, other = (open_database("sqlite", tmp_path) for _ in range(2))
    migrate(one)
    done: list[int] = []

    def write() -> None:
        check_writable(other)
        done.append(os.getpid())

    with one.write.begin() as connection:
        sessions.write_position(connection, "radius-0", 1)
        waiting = threading.Thread(target=write)
        waiting.start()
        waiting.join(0.2)
        assert done == []
    waiting.join()
    one.close()
    other.close()

    assert len(done) == 1
