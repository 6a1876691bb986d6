"""The address server's start beside the one that it replaces, which goes on writing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import access_network
import pytest

from config.schema import LeaseSettings
from daemon.address_server import AddressServer
from ipserver.over_allocation_change import KIND, Change, PoolMemory, encode
from ipserver.records import frame
from storage.database import Database, StorageError, migrate, open_database
from storage.journal import JournalWriter


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A migrated database."""
    made = open_database("sqlite", tmp_path)
    migrate(made)
    yield made
    made.close()


class Before:
    """The role that is replaced: it leases and journals."""

    def __init__(self, folder: Path, now: float) -> None:
        self.folder = folder / "journal" / "ipserver"
        self.folder.mkdir(parents=True)
        self.site = access_network.Site()
        self.site.now = now
        self._writer = JournalWriter(self.folder, file_bytes=10**6)

    def write(self, octets: bytes) -> None:
        """Make one record durable."""
        self._writer.append(octets, records=1, received_at_ns=1)

    def lease(self, line: str) -> int:
        """Lease an address to a line."""
        address = self.site.lease(line)
        self.write(self.site.records.pop())
        return address


@pytest.mark.parametrize("stepped", [False, True], ids=["leases", "steps"])
def test_what_was_journaled_after_the_load_is_taken_up(
    tmp_path: Path, database: Database, stepped: bool
) -> None:
    """Leases are added; when a step of the over-allocation is among them, all is loaded
    again, and the step is known as well.
    """
    server = AddressServer(LeaseSettings(), access_network.network())
    before = Before(tmp_path, server.now())
    held = [before.lease("line-0")]
    server.load(database, before.folder)
    loaded = server.allocation
    held.append(before.lease("line-1"))
    if stepped:
        memory = PoolMemory("aurora-harbour", refusals=3)
        step = encode(Change(int(server.now()), pools=(memory,)))
        before.write(frame(KIND, step))
    held.append(before.lease("line-2"))

    server.take_up(database, before.folder)

    known = [server.allocation.by_address(a, server.now()) for a in held]
    assert held == [lease.address for lease in known if lease is not None]
    assert stepped == (server.allocation is not loaded)
    assert [] == server.allocation.audit()


def test_a_start_without_the_database_is_tried_again(
    tmp_path: Path, database: Database
) -> None:
    """Nothing is served from half of the leases."""
    server = AddressServer(LeaseSettings(), access_network.network())
    before = Before(tmp_path, server.now())
    held = before.lease("line-0")
    away = open_database("sqlite", tmp_path / "nowhere")
    for begin in (server.load, server.take_up):
        with pytest.raises(StorageError):
            begin(away, before.folder)
    away.close()

    server.take_up(database, before.folder)

    assert server.allocation.by_address(held, server.now()) is not None
