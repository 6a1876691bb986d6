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
    """A statement's lines and the recipient's own records, as (reference, amount).

    An own record may go by an id that stands among the records of a line: it counts
    for the line's reference then.
    """

    def __init__(self) -> None:
        # An empty name is a temporary file that SQLite deletes when it is closed.
        self._database = sqlite.connect("", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute(
            "CREATE TABLE line (own INTEGER, reference TEXT, amount INTEGER)"
        )
        self._database.execute(
            "CREATE TABLE behind (record TEXT PRIMARY KEY, reference TEXT)"
            " WITHOUT ROWID"
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

    def add_behind(self, records: Iterable[tuple[str, str]]) -> None:
        """Take the ids behind lines of the statement, each with its line's reference,
        once all lines are there: what is a reference itself stands for itself."""
        self._database.execute("BEGIN")
        self._database.executemany(
            "INSERT OR IGNORE INTO behind VALUES (?, ?)", records
        )
        self._database.execute(
            "DELETE FROM behind WHERE record IN"
            " (SELECT reference FROM line WHERE own = 0)"
        )
        self._database.execute("COMMIT")

    def mismatches(self) -> Iterator[Mismatch]:
        """Give every reference whose sums differ, in order."""
        rows = self._database.execute(
            "SELECT coalesce(behind.reference, line.reference) AS its,"
            " sum(amount) FILTER (WHERE own = 0) AS theirs,"
            " sum(amount) FILTER (WHERE own = 1) AS ours"
            " FROM line LEFT JOIN behind ON own = 1 AND record = line.reference"
            " GROUP BY its HAVING theirs IS NOT ours ORDER BY its"
        )
        yield from map(Mismatch._make, rows)
