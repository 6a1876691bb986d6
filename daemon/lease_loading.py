"""The start of the address server: leases from the database, then the journal's tail.

What the database lacks is in the journal, behind the position that the database names;
both together are every lease that was ever acknowledged. So there is no start without
the database: half of the leases would be as bad as none, because addresses would be
given twice. A start that finds it away waits, and says so.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from ipserver.allocation import Allocation
from ipserver.excess import month_of
from ipserver.records import Declined
from storage import leases
from storage.database import Database
from storage.journal import Block, JournalError, JournalReader
from storage.lease_pages import bindings_to_restore
from storage.lease_rows import excess_of, month_text
from storage.sessions import read_positions

_PORTION_RECORDS = 10_000


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
    ) -> None:
        self._allocation = allocation
        self._database = database
        self._reader = JournalReader(journal)
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
        allocation = self._allocation
        with self._database.read.connect() as connection:
            self._position = applied(connection, self._reader.folder)
            for bound, ended in bindings_to_restore(connection):
                allocation.restore_bound(bound, now)
                for end in ended:
                    allocation.restore(end, now)
            for quarantined in leases.quarantined(connection, int(now)):
                allocation.restore(Declined._make(quarantined), now)
            month = month_text(month_of(now))
            for sale in leases.sales_of_month(connection, month):
                allocation.restore(excess_of(sale), now)

    def follow(self, now: float) -> None:
        """Take what the journal has got since: the role that is replaced wrote on."""
        for blocks in _portions(self._reader, self._position):
            octets = b"".join([block.octets for block in blocks])
            self._allocation.restore_journal(octets, now)
            self._position = blocks[-1].first + blocks[-1].records

    def close(self) -> None:
        """Let go of the journal; then tell the allocation that it is ``loaded``."""
        self._reader.close()


def applied(connection: Connection, journal: Path) -> int:
    """Give the position up to which the database has applied a journal, as of all else
    that this transaction reads.
    """
    return read_positions(connection).get(journal.name, 1)


def tail(journal: Path, position: int) -> Iterator[Block]:
    """Give the journal's blocks from a position on."""
    reader = JournalReader(journal)
    try:
        for blocks in _portions(reader, position):
            yield from blocks
    finally:
        reader.close()


def _portions(reader: JournalReader, position: int) -> Iterator[list[Block]]:
    """Give the blocks from a position on; none may be missing before the first.

    The ledger goes on while a start reads, and deletes what it has applied.
    """
    while blocks := reader.read(position, _PORTION_RECORDS):
        if blocks[0].first > position:
            msg = f"records from {position} to {blocks[0].first} are deleted already"
            raise JournalError(msg)
        yield blocks
        position = blocks[-1].first + blocks[-1].records
