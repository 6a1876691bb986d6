"""How far the database is behind the journals, also while it is away or hangs.

It has readers of its own and runs in a thread of its own: the ledger's may wait for the
database, and that is when the lag is looked at.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from daemon import clock
from storage.journal import JournalError, JournalReader
from telemetry import metrics


def journals(folder: Path) -> list[str]:
    """Name the journals in a folder; a folder that is not there yet has none."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


class JournalLag:
    """Measures and publishes the lag of each journal in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._readers: dict[str, JournalReader] = {}
        self.records: dict[str, int] = {}

    def measure(self, positions: Mapping[str, int]) -> None:
        """Publish the lag of every journal behind the positions that are applied."""
        for name in journals(self._folder):
            reader = self._readers.get(name) or JournalReader(self._folder / name)
            self._readers[name] = reader
            try:
                backlog = reader.backlog(positions.get(name, 1))
            except JournalError:  # the ledger reads the same disk, and says so
                continue
            seconds = 0.0
            if backlog.oldest_received_at_ns is not None:
                seconds = max(0.0, clock.now() - backlog.oldest_received_at_ns / 1e9)
            metrics.JOURNAL_LAG_RECORDS.labels(name).set(backlog.records)
            metrics.JOURNAL_LAG_SECONDS.labels(name).set(seconds)
            self.records[name] = backlog.records
        for reader in self._readers.values():
            reader.close()  # a file that the ledger deletes must not stay open here
