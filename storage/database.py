"""The database behind its two doors: one engine that writes, one that only reads.

SQLite comes from the pysqlite3 wheel, never from the system: systems still ship
versions whose write-ahead log can be corrupted when two connections checkpoint at
once. One connection a process writes and checkpoints, and one of ``write_ahead`` may
checkpoint beside it; readers may do neither. A writing transaction takes the write
lock when it begins, so that it waits there and never fails half-way through. Reading
transactions see one moment on both databases.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import sqlalchemy
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import QueuePool

from storage import tables
from storage.write_ahead import WriteAhead

SQLITE_FILE: Final = "fairlane.db"
"""The database's name in the data directory, when it is SQLite."""

StorageError = sqlalchemy.exc.SQLAlchemyError
"""Whatever the database refuses, times out on or cannot be reached for."""

_OURS = (sqlalchemy.exc.DataError, sqlalchemy.exc.IntegrityError)


def is_away(error: Exception) -> bool:
    """Tell whether it is the database that fails: what it refuses for what was said to
    it, it will refuse again, and nobody else should wait for that."""
    return isinstance(error, StorageError) and not isinstance(error, _OURS)


# The driver looks for adapters of None and bytes each time it binds one, by way of two
# failing attribute look-ups; naming adapters that do nothing takes a wide row from 23
# to 8 us. They are the cheapest callables that give None for None, bytes for bytes.
sqlite.register_adapter(type(None), {}.get)
sqlite.register_adapter(bytes, bytes)


def _encoded(value: Any) -> str:
    return msgspec.json.encode(value).decode()


# The standard library's encoder and decoder take five times as long.
_JSON: Final[dict[str, Any]] = {
    "json_serializer": _encoded,
    "json_deserializer": msgspec.json.decode,
}

_REVISIONS: Final = Path(__file__).parent / "migrations/versions"
_BUSY_MS: Final = 10_000
_READERS: Final = 8
# Statements that stay prepared on a connection, those of several rows included.
_STATEMENTS: Final = 512
_CONNECT_SECONDS: Final = 3
# Checkpoint after 2 MiB of log: what one writes and syncs at once is what a journal's
# commit on the same disk, which a packet waits for, has to wait for too. After 64 MiB
# that was up to 94 ms. The log's file stays, since to write in place is quicker than to
# make it grow.
_CHECKPOINT_PAGES: Final = 512
_LOG_BYTES_KEPT: Final = 128 * 2**20
_WRITER_CACHE_KIB: Final = 131_072
_READER_CACHE_KIB: Final = 8_192


class DatabaseUrlError(ValueError):
    """The configured database is neither `sqlite` nor a postgresql:// URL."""


class DatabaseVersionError(RuntimeError):
    """The database was migrated by a newer Fairlane than this one."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database; connections are made when first used.

    `write.begin()` is a transaction that holds the write lock from its start on
    SQLite. `read.connect()` cannot change anything, and sees one moment until closed.
    `log` has transactions that are made durable together, later; PostgreSQL has none.
    """

    write: Engine
    read: Engine
    log: WriteAhead | None = None

    @property
    def is_postgresql(self) -> bool:
        """Whether it is PostgreSQL, for the few statements that must differ."""
        return self.write.dialect.name == "postgresql"

    def close(self) -> None:
        """Close all connections; the next use would open new ones."""
        if self.log is not None:
            self.log.close()
        self.read.dispose()
        self.write.dispose()


def open_database(database: str, data_dir: str | Path) -> Database:
    """Open the database that the settings name: `sqlite` or `postgresql://...`.

    Nothing is connected yet, so an unreachable server is not an error here.
    Raises DatabaseUrlError for any other URL.
    """
    if database == "sqlite":
        return _open_sqlite(Path(data_dir) / SQLITE_FILE)
    try:
        url = make_url(database)
    except sqlalchemy.exc.ArgumentError:
        url = None
    if url is None or url.drivername not in (
        "postgresql",
        "postgres",
        "postgresql+psycopg",
    ):
        # The URL is not repeated: it may hold a password.
        raise DatabaseUrlError('database must be "sqlite" or a postgresql:// URL')
    return _open_postgresql(url.set(drivername="postgresql+psycopg"))


def migrate(database: Database) -> None:
    """Bring the tables to this version's shape, in one transaction.

    Any number of processes may call it at once; all but the first find nothing to do.
    Raises DatabaseVersionError when the tables are newer, StorageError when the
    database fails.
    """
    if _is_current(database):
        return
    # Alembic takes 0.3 s to import, and only the process that migrates needs it.
    from storage import schema

    schema.upgrade(database)


def newest_revision() -> str:
    """Give the revision of a migrated database: the one with the last number."""
    return max(path.name[:4] for path in _REVISIONS.glob("[0-9]*.py"))


def _is_current(database: Database) -> bool:
    try:
        with database.read.connect() as connection:
            query = "SELECT version_num FROM alembic_version"
            return connection.exec_driver_sql(query).scalar() == newest_revision()
    except sqlalchemy.exc.ProgrammingError:  # PostgreSQL: it has no tables yet
        return False
    except sqlalchemy.exc.OperationalError:  # SQLite: the same, or it is not there
        if database.is_postgresql:
            raise
        return False


def check_writable(database: Database) -> None:
    """Prove by a committed write that the database takes writes.

    Raises StorageError when it does not: read-only, full, locked for more than 10 s,
    unreachable, or not migrated.
    """
    row = tables.write_check
    with database.write.begin() as connection:
        connection.execute(row.update().values(checks=row.c.checks + 1))


def _open_sqlite(path: Path) -> Database:
    def engine(mode: str, pragmas: tuple[str, ...], begin: str, pool: int) -> Engine:
        uri = f"file:{quote(str(path.absolute()))}?mode={mode}"

        def connect() -> Any:
            return sqlite.connect(
                uri,
                uri=True,
                timeout=_BUSY_MS / 1000,
                isolation_level=None,  # the driver begins nothing by itself
                check_same_thread=False,  # the pool lends it to one thread at a time
                cached_statements=_STATEMENTS,
            )

        made = create_engine(
            "sqlite://",
            module=sqlite,
            creator=connect,
            poolclass=QueuePool,
            pool_size=pool,
            max_overflow=0,
            **_JSON,
        )

        def prepare(connection: Any, _record: object) -> None:
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}").close()

        def start(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        event.listen(made, "connect", prepare)
        event.listen(made, "begin", start)
        return made

    writer = (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
        f"journal_size_limit={_LOG_BYTES_KEPT}",
        f"cache_size=-{_WRITER_CACHE_KIB}",
        "mmap_size=0",
    )
    reader = (
        "query_only=1",
        "wal_autocheckpoint=0",
        f"cache_size=-{_READER_CACHE_KIB}",
        "mmap_size=0",
    )
    write = engine("rwc", writer, "BEGIN IMMEDIATE", 1)
    checkpoint = engine("rw", reader[1:], "BEGIN", 1)
    return Database(
        write=write,
        # Not rwc: a reader must not leave an empty database where there was none.
        read=engine("rw", reader, "BEGIN", _READERS),
        log=WriteAhead(Path(f"{path}-wal"), write, checkpoint),
    )


def _open_postgresql(url: URL) -> Database:
    def engine(pool: int, **options: Any) -> Engine:
        return create_engine(
            url,
            connect_args={
                "connect_timeout": _CONNECT_SECONDS,
                "tcp_user_timeout": _BUSY_MS,
                "application_name": "fairlane",
            },
            pool_size=pool,
            max_overflow=0,
            pool_pre_ping=True,
            pool_timeout=_BUSY_MS / 1000,
            **_JSON,
            **options,
        )

    return Database(
        write=engine(2),
        read=engine(
            _READERS,
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        ),
    )
