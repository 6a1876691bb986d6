"""Two lists of money held against each other, line by line, in a file that goes away.

Neither list has to fit into memory nor be in any order: both go into a temporary SQLite
file, which sums up each by reference and gives what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import NamedTuple, Self

from pysqlite3 import dbapi2 as sqlite


class Mismatch(NamedTuple):
    """A reference whose two sums differ; None where a list has no such reference."""

    reference: str
    statement: int | None
    own: int | None


class Comparison:
    """A statement's lines and the recipient's own records, as (reference, amount)."""

    def __init__(self) -> None:
        # An empty name is a temporary file that SQLite deletes when it is closed.
        self._database = sqlite.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute(
            "CREATE TABLE line (own INTEGER, reference TEXT, amount INTEGER)"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()

    def add(self, lines: Iterable[tuple[str, int]], *, own: bool) -> int:
        """Take lines of the statement, or of the recipient's own; give how many."""
        self._database.execute("BEGIN")
        cursor = self._database.executemany(
            "INSERT INTO line VALUES (?, ?, ?)",
            ((int(own), reference, amount) for reference, amount in lines),
        )
        self._database.execute("COMMIT")
        return max(int(cursor.rowcount), 0)

    def mismatches(self) -> Iterator[Mismatch]:
        """Give every reference whose sums differ, in order."""
        rows = self._database.execute(
            "SELECT reference, sum(amount) FILTER (WHERE own = 0) AS theirs,"
            " sum(amount) FILTER (WHERE own = 1) AS ours FROM line GROUP BY reference"
            " HAVING theirs IS NOT ours ORDER BY reference"
        )
        yield from map(Mismatch._make, rows)
