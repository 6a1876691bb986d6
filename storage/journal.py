"""The journal: what an answer waits for, one per writing process.

A journal is a folder of SQLite files (WAL, ``synchronous=FULL``), each named after
the position of its first record and left behind for a new one when it has grown to its
size. One table, one writer, one transaction and one fdatasync a block; a block is one
row that holds the records of one group commit, because a row a record costs five times
as much CPU as joining their octets. What its octets mean is between who writes and who
reads them (``radius.records`` for packets). SQLite brings the crash safety: after a
power cut a block is there whole or not at all.

After a failed commit the file is left and the next attempt starts a new one: what the
kernel kept of a failed fsync cannot be known, so it is never asked again of the same
file. Its octets may be in the log all the same, where whoever opens the file as the
first would find them. So the writer keeps the file open until the next one is there,
whose position hides them, and a reader looks again for a next one after it has read:
else what is acknowledged at that position could be taken for what was read already.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from pysqlite3 import dbapi2 as sqlite3

_SUFFIX = ".journal"
_NO_TABLE = "no such table"
_PRAGMAS = (
    "PRAGMA page_size=4096",  # a commit writes whole pages, two of them besides
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA wal_autocheckpoint=0",  # a checkpoint on the packet path would stall it
)
_TABLE = """
CREATE TABLE IF NOT EXISTS block (
    first_record INTEGER PRIMARY KEY,
    records INTEGER NOT NULL,
    received_at_ns INTEGER NOT NULL,
    octets BLOB NOT NULL
)
"""


class JournalError(Exception):
    """A block could not be made durable, so nothing in it may be acknowledged; or what
    is there could not be read now.
    """


class Block(NamedTuple):
    """The records of one group commit: the position of the first, how many there are,
    when the first came (ns since 1970, UTC), and the octets of them all.
    """

    first: int
    records: int
    received_at_ns: int
    octets: bytes


class Backlog(NamedTuple):
    """What is not consumed yet: records, and when the oldest came (ns), if any."""

    records: int
    oldest_received_at_ns: int | None


def first_position(path: Path) -> int:
    """Give the position of a file's first record."""
    return int(path.name.partition(".")[0])


def journal_files(folder: Path) -> list[Path]:
    """Give a journal's files in the order of their positions."""
    return sorted(folder.glob("*" + _SUFFIX))


def open_file(path: Path, mode: str) -> sqlite3.Connection:
    """Open a SQLite file to read (``ro``) or to write (``rw``) what is there."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
    )


def _end(connection: sqlite3.Connection) -> int | None:
    row = connection.execute(
        "SELECT first_record + records FROM block ORDER BY first_record DESC LIMIT 1"
    ).fetchone()
    return int(row[0]) if row else None


class JournalWriter:
    """The one writer of the journal in ``folder``; positions count from 1.

    ``file_bytes`` is the size at which a file is left for a new one. Opening recovers
    what a crash left and starts a new file behind it.
    """

    def __init__(self, folder: Path, *, file_bytes: int) -> None:
        self.folder = folder
        self._file_bytes = file_bytes
        self._connection: sqlite3.Connection | None = None
        self._refused: sqlite3.Connection | None = None
        self._path = folder
        self._written = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.next_position = self._recover()
        self._start_file()

    def _recover(self) -> int:
        newest = journal_files(self.folder)[-1:]
        if not newest:
            return 1
        try:
            connection = open_file(newest[0], "ro")
            try:
                end = _end(connection)
            finally:
                connection.close()
        except sqlite3.Error as error:
            if _NO_TABLE in str(error):  # it ended while the file was being made
                return first_position(newest[0])
            msg = f"{newest[0].name} cannot be recovered: {error}"
            raise JournalError(msg) from error
        return first_position(newest[0]) if end is None else end

    def _start_file(self) -> None:
        start = f"{self.next_position:020d}"
        attempt = len(list(self.folder.glob(f"{start}.*{_SUFFIX}")))
        path = self.folder / f"{start}.{attempt:06d}{_SUFFIX}"
        connection = None
        try:
            path.touch(mode=0o600)
            connection = open_file(path, "rw")
            for pragma in _PRAGMAS:
                connection.execute(pragma)
            connection.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            if connection is not None:
                connection.close()
            raise JournalError(str(error)) from error
        self._leave(self._refused)
        self._connection, self._path = connection, path
        self._refused = None
        self._written = 0

    def append(self, octets: bytes, *, records: int, received_at_ns: int) -> int:
        """Make one block durable and give its first position, or raise JournalError."""
        if self._connection is None:
            self._start_file()
        elif self._written >= self._file_bytes:
            self._leave(self._connection)
            self._connection = None
            self._start_file()
        connection = self._connection
        assert connection is not None
        try:
            # A single statement outside a transaction is its own: it returns when the
            # commit is on the disk.
            connection.execute(
                "INSERT INTO block VALUES (?, ?, ?, ?)",
                (self.next_position, records, received_at_ns, octets),
            )
        except sqlite3.Error as error:
            self._refused, self._connection = connection, None
            raise JournalError(str(error)) from error
        first = self.next_position
        self.next_position += records
        self._written += len(octets)
        return first

    def probe(self) -> None:
        """Raise JournalError while nothing can be written; used after a failure."""
        if self._connection is None:
            self._start_file()

    def _leave(self, connection: sqlite3.Connection | None) -> None:
        """Close a file and leave its log as it is.

        The last connection to close copies the log into the database and syncs both,
        for a third of a second in which no other commit gets through; unless it may
        only read. What is in the log is durable as it is.
        """
        if connection is None:
            return
        try:
            witness = open_file(self._path, "ro")
            try:
                witness.execute("SELECT count(*) FROM sqlite_master").fetchone()
            finally:
                connection.close()
                witness.close()
        except sqlite3.Error:  # a broken disk: this file is not asked again anyway
            connection.close()

    def close(self) -> None:
        """Close the file; what was appended is durable already."""
        self._leave(self._refused)
        self._leave(self._connection)
        self._refused = self._connection = None


class JournalReader:
    """Reads the journal in ``folder`` from any position while it is being written.

    ``read`` and ``backlog`` raise JournalError when the disk refuses; asked again, they
    begin with a fresh connection.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path: Path | None = None
        self._connection: sqlite3.Connection | None = None

    def read(self, position: int, limit: int) -> list[Block]:
        """Give whole blocks from ``position`` on, until they have ``limit`` records.

        The first block may begin before ``position``; what is there was read before.
        """
        blocks: list[Block] = []
        records = 0
        for path, end in self._files_with_ends():
            if end <= position:
                continue
            for block in self._blocks(path, position, end, limit - records):
                blocks.append(block)
                records += block.records
            if records >= limit:
                break
        return blocks

    def _blocks(
        self, path: Path, position: int, end: int, limit: int
    ) -> Iterator[Block]:
        """Give the blocks of one file from ``position`` to ``end``, until they have
        ``limit`` records."""
        found, records = [], 0
        for row in self._select(path, _BLOCKS_FROM, (position, end)):
            block = Block._make(row)
            found.append(block)
            records += block.records
            if records >= limit:
                break
        if end == _NO_END:  # the next file may have come meanwhile
            end = dict(self._files_with_ends()).get(path, _NO_END)
        return (block for block in found if block.first < end)

    def _files_with_ends(self) -> list[tuple[Path, int]]:
        """Give the files in order, each with the first position of the next.

        A block behind that position is one whose commit failed and that a crash brought
        back: nobody was told of it, and the next file has taken its positions.
        """
        files = journal_files(self.folder)
        ends = [*map(first_position, files[1:]), _NO_END]
        return list(zip(files, ends[: len(files)], strict=True))

    def _select(
        self, path: Path, statement: str, bounds: tuple[int | bytes, ...]
    ) -> Iterator[tuple[Any, ...]]:
        try:
            if path != self._path:
                self.close()
                self._connection = open_file(path, "ro")
                self._path = path
            assert self._connection is not None
            cursor = self._connection.execute(statement, bounds)
            try:
                yield from cursor
            finally:
                cursor.close()
        except sqlite3.Error as error:
            if _NO_TABLE in str(error):  # the writer has just made the file
                return
            # What a full or broken disk did to this connection is not asked again.
            self.close()
            msg = f"{path.name} cannot be read: {error}"
            raise JournalError(msg) from error

    def received_since(self, since_ns: int, holding: bytes) -> Iterator[Block]:
        """Give the blocks received at or after a time that have these octets in them.

        It looks through all of the journal that is kept from then on.
        """
        for path, end in self._files_with_ends():
            for row in self._select(path, _BLOCKS_SINCE, (end, since_ns, holding)):
                yield Block._make(row)

    def is_whole(self) -> bool:
        """Tell whether nothing was ever discarded: the first record is still there."""
        files = journal_files(self.folder)
        return not files or first_position(files[0]) == 1

    def oldest(self) -> int | None:
        """Give when the oldest block that is kept was received (ns), if there is one.

        What came before that is gone: retention deletes whole files.
        """
        for path, end in self._files_with_ends():
            for (received_at_ns,) in self._select(path, _OLDEST_FROM, (0, end)):
                return int(received_at_ns)
        return None

    def backlog(self, position: int) -> Backlog:
        """Say what lies at and behind ``position``, the next one to consume."""
        last, oldest = position, None
        for path, end in self._files_with_ends():
            if end <= position:
                continue
            if oldest is None:
                bounds = (position, end)
                for (received_at_ns,) in self._select(path, _OLDEST_FROM, bounds):
                    oldest = received_at_ns
            for (behind,) in self._select(path, _END_BEFORE, (end,)):
                last = max(last, behind)
        return Backlog(last - position, oldest)

    def discard(self, position: int, retention_bytes: int) -> int:
        """Delete the oldest files consumed before ``position`` beyond the retention.

        Gives how many were deleted. The file being written never is.
        """
        files = journal_files(self.folder)
        consumed = [
            path
            for path, following in pairwise(files)
            if first_position(following) <= position
        ]
        kept = deleted = 0
        for path in reversed(consumed):
            parts = [path, *(path.with_name(path.name + s) for s in ("-wal", "-shm"))]
            kept += sum(part.stat().st_size for part in parts if part.exists())
            if kept > retention_bytes:
                if path == self._path:
                    self.close()
                for part in parts:
                    part.unlink(missing_ok=True)
                deleted += 1
        return deleted

    def close(self) -> None:
        """Close the file that is open."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._path = None


_WHERE = (
    " FROM block WHERE first_record >="
    " (SELECT coalesce(max(first_record), 0) FROM block WHERE first_record <= ?1)"
    " AND first_record < ?2 AND first_record + records > ?1 ORDER BY first_record"
)
_BLOCKS_FROM = "SELECT first_record, records, received_at_ns, octets" + _WHERE
_OLDEST_FROM = "SELECT received_at_ns" + _WHERE + " LIMIT 1"
_BLOCKS_SINCE = (
    "SELECT first_record, records, received_at_ns, octets FROM block"
    " WHERE first_record < ? AND received_at_ns >= ? AND instr(octets, ?)"
    " ORDER BY first_record"
)
_END_BEFORE = (
    "SELECT first_record + records FROM block WHERE first_record < ?"
    " ORDER BY first_record DESC LIMIT 1"
)
_NO_END = 1 << 62
