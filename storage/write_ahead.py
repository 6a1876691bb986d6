"""SQLite's log, synced by who tells of a commit and not by the commit itself.

A commit with ``synchronous=FULL`` writes its pages to the log, waits for the disk, and
now and then for a checkpoint too; the next transaction waits for all of it. Here the
commit only writes. ``sync`` waits for the disk: what was committed before it is then
durable, for one wait and beside the next transactions, and whoever tells of a commit
calls it first. Checkpoints run in a thread of their own on a connection of their own.

The log is one file that is written in its order, so what a transaction has seen of
those before it is durable when it is itself. A sync that failed is never asked of the
same log again (the kernel may call pages clean that it has lost): what the log has is
brought into the database file and the log begun anew before anything is durable again.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy
from pysqlite3 import dbapi2 as sqlite
from sqlalchemy import Connection, Engine

_CHECKPOINT_PAGES: Final = 512
"""Pages of the log for which a checkpoint begins beside; see ``storage.database``."""

_LOG_PAGES: Final = 8192
"""The log's length, 32 MiB, at which a commit makes the checkpoint whole: one that runs
beside commits is never quite done, and the log begins anew only when it is."""

_MODE: Final = ("wal_autocheckpoint", "synchronous")


class WriteAhead:
    """The log of one database file, for the one process that this is in."""

    def __init__(self, log: Path, write: Engine, checkpoint: Engine) -> None:
        self._path = log
        self._write = write
        self._checkpoint = checkpoint
        self._file: int | None = None
        self._usual: list[Any] | None = None
        self._trusted = True
        self._failed: sqlite.Error | None = None
        self._syncing = threading.Lock()
        self._checkpointing = threading.Lock()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a transaction that ``sync`` makes durable after it is committed."""
        with self._write.connect() as connection:
            driver: Any = connection.connection.driver_connection
            if self._usual is None:
                read = [driver.execute(f"PRAGMA {name}").fetchone() for name in _MODE]
                self._usual = [value for (value,) in read]
            try:
                _set(driver, (_LOG_PAGES, "NORMAL"))
                with connection.begin():
                    yield connection
            finally:
                _set(driver, self._usual)

    def sync(self) -> None:
        """Make durable all that is committed; raises StorageError when it cannot be,
        or when the checkpoint after the last one failed."""
        with self._syncing:
            failed, self._failed = self._failed, None
            if failed is not None:
                raise _refused(failed)
            try:
                if not self._trusted:
                    self._begin_anew()
                os.fdatasync(self._log())
            except (OSError, sqlite.Error) as error:
                self._trusted = False
                raise _refused(error) from error
        self._checkpoint_when_long()

    def close(self) -> None:
        """Let go of the files."""
        with self._checkpointing, self._syncing:
            self._checkpoint.dispose()
            if self._file is not None:
                os.close(self._file)  # SQLite has no locks on the log
                self._file = None

    def _log(self) -> int:
        """Open the log once: an error of the disk is told to those who had it open."""
        if self._file is not None:
            ours, now = os.fstat(self._file), self._path.stat()
            if (ours.st_ino, ours.st_dev) != (now.st_ino, now.st_dev):
                os.close(self._file)
                self._file = None
        if self._file is None:
            self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        return self._file

    def _begin_anew(self) -> None:
        if self._checkpointed("TRUNCATE")[0]:
            raise OSError("the log could not be brought into the database")
        self._trusted = True

    def _checkpoint_when_long(self) -> None:
        if not self._checkpointing.acquire(blocking=False):
            return
        _, pages, done = self._checkpointed("NOOP")
        if pages - done >= _CHECKPOINT_PAGES:
            threading.Thread(target=self._beside, name="checkpoint").start()
        else:
            self._checkpointing.release()

    def _beside(self) -> None:
        try:
            self._checkpointed("PASSIVE")
        except sqlite.Error as error:
            self._failed = error
        finally:
            self._checkpointing.release()

    def _checkpointed(self, mode: str) -> tuple[int, int, int]:
        """Give whether it was kept from it, the log's pages, and those brought over."""
        with self._checkpoint.connect() as connection:
            driver: Any = connection.connection.driver_connection
            kept, pages, done = driver.execute(
                f"PRAGMA wal_checkpoint({mode})"
            ).fetchone()
        return kept, pages, done


def _refused(error: Exception) -> sqlalchemy.exc.OperationalError:
    return sqlalchemy.exc.OperationalError("sync of the log", None, error)


def _set(driver: Any, values: Sequence[Any]) -> None:
    for name, value in zip(_MODE, values, strict=True):
        driver.execute(f"PRAGMA {name}={value}").fetchone()
