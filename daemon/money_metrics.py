"""What metrics say of money: what was posted, statements, closes, and a standing proof.

The proof reads a part of the ledger at a time, from its first entry on, then what
comes; and begins again after a day, so that an old entry that is changed shows.
"""

from __future__ import annotations

from typing import Final

from daemon import clock
from rating.statement import State
from storage.database import Database
from storage.ledger_proof import Prover
from storage.money_counts import (
    entries_by_kind,
    last_closed_at,
    last_entry,
    statements_by_state,
)
from telemetry import metrics

_ENTRIES: Final = 20_000
_AGAIN_SECONDS: Final = 86_400


class MoneyMetrics:
    """Counts on a database when it is told to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: int | None = None
        self._prover = Prover()
        self._again_at = clock.monotonic() + _AGAIN_SECONDS

    def count(self) -> None:
        """Set the gauges, and prove the next part of the ledger."""
        with self._database.read.connect() as connection:
            last = last_entry(connection)
            if self._counted is not None:
                for kind, count in entries_by_kind(connection, self._counted).items():
                    metrics.LEDGER_ENTRIES.labels(kind).inc(count)
            self._counted = last
            found = statements_by_state(connection)
            for state in State:
                metrics.STATEMENTS.labels(state).set(found.get(state, 0))
            metrics.LAST_CLOSE.set(last_closed_at(connection))
            self._prove(last)

    def _prove(self, last: int) -> None:
        if clock.monotonic() >= self._again_at and self._prover.last >= last:
            self._prover = Prover()
            self._again_at = clock.monotonic() + _AGAIN_SECONDS
        prover = self._prover
        with self._database.read.connect() as connection:
            prover.go_on(connection, entries_max=_ENTRIES)
        metrics.LEDGER_PROVED.set(prover.last)
        metrics.LEDGER_PROBLEMS.set(len(prover.problems))
