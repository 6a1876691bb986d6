"""The start of the address server: leases from the database, then the journal's tail.

What the database lacks is in the journal, behind the position that the database names;
both together are every lease that was ever acknowledged. So there is no start without
the database: half of the leases would be as bad as none, because addresses would be
given twice. A start that finds it away waits, and says so.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

from ipserver.allocation import Allocation
from ipserver.excess import month_of
from ipserver.records import Declined, entries
from storage import leases
from storage.database import Database
from storage.journal import JournalReader
from storage.lease_rows import bound_of, excess_of, month_text
from storage.sessions import read_positions

_BLOCK_RECORDS = 10_000

Other = Callable[[bytes], None]
"""Given the octets of each block of the journal's tail, for what is not of leases."""


class LeaseLoader:
    """Brings back every lease, into an allocation that has its network already and was
    told ``begin_loading``, and the blocks by whoever decides about them.

    ``journal`` is the folder of the address server's journal. Its methods block, and
    may run in a thread as long as nobody asks the allocation anything. They raise
    StorageError or JournalError when a store does not answer: begin again then, with a
    new allocation.
    """

    def __init__(
        self,
        allocation: Allocation,
        database: Database,
        journal: Path,
        other: Other | None = None,
    ) -> None:
        self._allocation = allocation
        self._database = database
        self._reader = JournalReader(journal)
        self._other = other
        self._position = 1

    def load(self, now: float) -> None:
        """Take what the database has, and the journal's tail."""
        collecting = gc.isenabled()
        gc.disable()  # millions of tuples, none of which is ever part of a ring
        try:
            self._read_database(now)
            self.follow(now)
        finally:
            if collecting:
                gc.enable()

    def _read_database(self, now: float) -> None:
        restore = self._allocation.restore
        with self._database.read.connect() as connection:
            journal = self._reader.folder.name
            self._position = read_positions(connection).get(journal, 1)
            for rows in leases.all_leases(connection):
                for row in rows:
                    restore(bound_of(row), now)
            for quarantined in leases.quarantined(connection, int(now)):
                restore(Declined._make(quarantined), now)
            month = month_text(month_of(now))
            for sale in leases.sales_of_month(connection, month):
                restore(excess_of(sale), now)

    def follow(self, now: float) -> None:
        """Take what the journal has got since: the role that is replaced wrote on."""
        restore = self._allocation.restore
        while blocks := self._reader.read(self._position, _BLOCK_RECORDS):
            for block in blocks:
                for entry in entries(block.octets):
                    restore(entry, now)
                if self._other is not None:
                    self._other(block.octets)
            self._position = blocks[-1].first + blocks[-1].records

    def close(self) -> None:
        """Let go of the journal; then tell the allocation that it is ``loaded``."""
        self._reader.close()


def tail(database: Database, journal: Path) -> Iterator[bytes]:
    """Give the octets of the journal's blocks that the database has yet to apply."""
    with database.read.connect() as connection:
        position = read_positions(connection).get(journal.name, 1)
    reader = JournalReader(journal)
    try:
        while blocks := reader.read(position, _BLOCK_RECORDS):
            yield from (block.octets for block in blocks)
            position = blocks[-1].first + blocks[-1].records
    finally:
        reader.close()
