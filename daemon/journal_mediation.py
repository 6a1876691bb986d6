"""The mediation that reads the journals itself, each from where it is.

Who books what it gives asks for the next batch of a journal by the journal's name, and
may ask before the last one is written: ``daemon.mediation_process`` has one of these in
a process of its own, which works on the next batch meanwhile. In this process, where
all roles share one, a batch is made when it is received.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from config.schema import Settings
from daemon.mediation import Mediated, Mediation
from storage.database import Database
from storage.journal import Block, JournalReader
from storage.quarantine import RETRIES, RetryReader
from storage.sessions import read_positions


class JournalMediation(Mediation):
    """Mediates the journals in the data directory; as ``Mediation``."""

    running = True

    def __init__(
        self,
        database: Database,
        settings: Settings,
        class_key: bytes | None = None,
        wait_until_written: Callable[[int], None] = lambda _: None,
    ) -> None:
        super().__init__(database, settings.accounting, class_key, wait_until_written)
        self._limit = settings.accounting.batch_records
        self._folder = Path(settings.data_dir) / "journal"
        self._readers: dict[str, JournalReader | RetryReader] = {
            RETRIES: RetryReader(database)
        }
        self._asked: deque[str] = deque()
        with database.read.connect() as connection:
            self._positions = read_positions(connection)

    def ask(self, journal: str) -> None:
        """Ask for the next batch of a journal."""
        self._asked.append(journal)

    def receive(self) -> Mediated | None:
        """Give the batch that was asked for first, None if there is nothing in it."""
        return self.next(self._asked.popleft())

    def next(self, journal: str) -> Mediated | None:
        """Mediate the next batch of a journal, None if there is nothing in it."""
        reader = self._readers.get(journal)
        if reader is None:
            reader = self._readers[journal] = JournalReader(self._folder / journal)
        position = self._positions.get(journal, 1)
        blocks = reader.read(position, self._limit)
        return self.mediate(journal, position, blocks) if blocks else None

    def mediate(self, journal: str, position: int, blocks: Sequence[Block]) -> Mediated:
        """As ``Mediation``; what is asked for then is behind these blocks."""
        batch = super().mediate(journal, position, blocks)
        self._positions[journal] = batch.position
        return batch

    def close(self) -> None:
        """Let go of the files."""
        for reader in self._readers.values():
            if isinstance(reader, JournalReader):
                reader.close()
