"""What the RADIUS workers of a node share and must not forget: places and habits.

One SQLite file beside the journals. Places: each accepted session of a service with a
limit has one, taken in a transaction that counts, so that no two workers take the last
one. Habits: which NAS have been seen to sign their Access-Requests, for ever.

The file is not the database, because access goes on while the database is away. A
commit is in the kernel, not synced: a killed process loses none, a power cut may lose
the last second's places, and then a limit is exceeded until those sessions end. A habit
is synced before it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pysqlite3 import dbapi2 as sqlite3

from radius.asked import Claim

StateError = sqlite3.Error
"""Whatever the file refuses."""

FILE = "access.db"
"""Its name in the data directory."""

_TABLES = """
CREATE TABLE IF NOT EXISTS place (
    token BLOB PRIMARY KEY,
    service TEXT NOT NULL,
    nas TEXT NOT NULL,
    port TEXT NOT NULL,
    user_name TEXT NOT NULL,
    taken_at INTEGER NOT NULL,
    seen INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS place_by_service ON place (service);
CREATE TABLE IF NOT EXISTS learned (nas TEXT PRIMARY KEY, at INTEGER NOT NULL)
"""
_COME_AGAIN = (
    "UPDATE place SET token = ?, taken_at = ?, user_name = ?, seen = 0"
    " WHERE token = (SELECT token FROM place"
    " WHERE service = ? AND nas = ? AND port = ? LIMIT 1)"
)
_TAKE = (
    "INSERT INTO place (token, service, nas, port, user_name, taken_at)"
    " SELECT ?, ?, ?, ?, ?, ?"
    " WHERE (SELECT count(*) FROM place WHERE service = ?) < ?"
)
_COLUMNS = "token, service, nas, user_name, taken_at, seen"


class Place(NamedTuple):
    """A session that counts; ``seen`` once accounting has shown it."""

    token: bytes
    service: str
    nas: str
    user_name: str
    taken_at: int
    seen: bool


class AccessState:
    """The shared file; one object a process, used from one thread at a time."""

    def __init__(self, data_dir: Path) -> None:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = data_dir / FILE
        path.touch(mode=0o600)
        self._connection: Any = sqlite3.connect(
            str(path), timeout=2.0, isolation_level=None, check_same_thread=False
        )
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.executescript(_TABLES)
        self.learned: set[str] = set()
        self.failure: str | None = None
        self.read_learned()

    @staticmethod
    def is_there(data_dir: Path) -> bool:
        """Say whether a daemon has made the file: nobody else should."""
        return (data_dir / FILE).exists()

    # --- places ------------------------------------------------------------------

    def take(self, claims: Sequence[Claim], now: int) -> list[bool | None]:
        """Take a place for each claim, all in one transaction.

        False where there is none. None for all when the file refuses: nobody is let in
        uncounted, and ``failure`` says why.
        """
        execute = self._connection.execute
        taken: list[bool | None]
        try:
            execute("BEGIN IMMEDIATE")
            try:
                taken = [self._take(claim, now) for claim in claims]
            except BaseException:
                execute("ROLLBACK")
                raise
            execute("COMMIT")
        except sqlite3.Error as error:
            self.failure = str(error)
            return [None] * len(claims)
        self.failure = None
        return taken

    def _take(self, claim: Claim, now: int) -> bool:
        service, limit, token, nas, port, user = claim
        execute = self._connection.execute
        if port:
            again = (token, now, user, service, nas, port)
            if execute(_COME_AGAIN, again).rowcount:
                return True
        new = (token, service, nas, port, user, now, service, limit)
        return bool(execute(_TAKE, new).rowcount)

    def places(self, *, service: str | None = None, limit: int = 10_000) -> list[Place]:
        """List places, the longest held first."""
        where = " WHERE service = ?" if service is not None else ""
        values = (limit,) if service is None else (service, limit)
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM place{where}"  # noqa: S608 - our own words
            " ORDER BY taken_at LIMIT ?",
            values,
        )
        return [
            Place(token, service, nas, user, at, seen=bool(seen))
            for token, service, nas, user, at, seen in rows
        ]

    def release(self, tokens: Iterable[bytes]) -> int:
        """Free places; give how many there were."""
        rows = [(token,) for token in tokens]
        if not rows:
            return 0
        self._connection.execute("BEGIN IMMEDIATE")
        cursor = self._connection.executemany("DELETE FROM place WHERE token = ?", rows)
        self._connection.execute("COMMIT")
        return int(cursor.rowcount)

    def see(self, tokens: Iterable[bytes]) -> None:
        """Note that accounting has shown these sessions."""
        rows = [(token,) for token in tokens]
        if rows:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(
                "UPDATE place SET seen = 1 WHERE token = ?", rows
            )
            self._connection.execute("COMMIT")

    # --- habits --------------------------------------------------------------------

    def learn(self, nas: str, now: int) -> None:
        """Remember durably that a NAS signs; it counts when the disk has it."""
        execute = self._connection.execute
        try:
            execute("PRAGMA synchronous=FULL")
            execute("INSERT OR IGNORE INTO learned VALUES (?, ?)", (nas, now))
        except sqlite3.Error as error:
            self.failure = str(error)
            return
        finally:
            execute("PRAGMA synchronous=NORMAL")
        self.learned.add(nas)

    def read_learned(self) -> None:
        """Take over what other workers have learned."""
        rows = self._connection.execute("SELECT nas FROM learned")
        self.learned |= {nas for (nas,) in rows}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
