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

from ipserver.allocation import Allocation
from ipserver.excess import month_of
from ipserver.records import Declined, entries
from storage import leases
from storage.database import Database
from storage.journal import JournalReader
from storage.lease_rows import bound_of, excess_of, month_text
from storage.sessions import read_positions

_BLOCK_RECORDS = 10_000


def load(allocation: Allocation, database: Database, journal: Path, now: float) -> int:
    """Bring back every lease; give how many entries came from the journal's tail.

    ``journal`` is the folder of the address server's journal, which nobody writes yet.
    The allocation has the network already, and ``begin_loading`` and what the blocks
    are was told to it by whoever decides about them. Call ``loaded`` behind it.
    Raises StorageError or JournalError when a store does not answer: begin again with
    a new allocation.
    """
    collecting = gc.isenabled()
    gc.disable()  # millions of tuples, none of which is ever part of a ring
    try:
        with database.read.connect() as connection:
            position = read_positions(connection).get(journal.name, 1)
            for rows in leases.all_leases(connection):
                for row in rows:
                    allocation.restore(bound_of(row), now)
            for row in leases.quarantined(connection, int(now)):
                allocation.restore(Declined._make(row), now)
            month = month_text(month_of(now))
            for row in leases.sales_of_month(connection, month):
                allocation.restore(excess_of(row), now)
        count = 0
        for octets in _from(journal, position):
            for entry in entries(octets):
                allocation.restore(entry, now)
                count += 1
        return count
    finally:
        if collecting:
            gc.enable()


def tail(database: Database, journal: Path) -> Iterator[bytes]:
    """Give the octets of the journal's blocks that the database has yet to apply."""
    with database.read.connect() as connection:
        position = read_positions(connection).get(journal.name, 1)
    return _from(journal, position)


def _from(journal: Path, position: int) -> Iterator[bytes]:
    reader = JournalReader(journal)
    try:
        while blocks := reader.read(position, _BLOCK_RECORDS):
            for block in blocks:
                if block.first >= position:
                    yield block.octets
            position = blocks[-1].first + blocks[-1].records
    finally:
        reader.close()
