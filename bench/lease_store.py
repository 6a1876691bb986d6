"""Leases into the database and back: what the ledger writes, what a start takes.

    python -m bench.lease_store [--leases N] [--folder DIR]

Records are made beforehand, so the figures are those of the ledger role's code and of
SQLite with its commits, and of a start: rows read, and leases in memory.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.allocation_path import network_of
from config.schema import LeaseSettings, Settings
from daemon.lease_ledger import LeaseLedger
from daemon.lease_loading import LeaseLoader
from ipserver import records
from ipserver.allocation import Allocation
from storage.database import Database, migrate, open_database
from storage.journal import Block

_NOW = 1_790_000_000
_BATCH = 5000
_FIRST = (100 << 24) + (64 << 16)


def blocks_of(leases: int, write: Callable[[int], bytes], first: int) -> list[Block]:
    """Make blocks of one record for each lease, in a random order."""
    order = list(range(leases))
    random.Random(1).shuffle(order)
    return [
        Block(
            first + at,
            len(order[at : at + _BATCH]),
            0,
            b"".join(map(write, order[at : at + _BATCH])),
        )
        for at in range(0, leases, _BATCH)
    ]


def binding(number: int) -> bytes:
    """Write the record of a new binding."""
    hardware = b"\x01" + (0x020000000000 + number).to_bytes(6)
    circuit = b"\x01\x10ge-0/0/1:%08d" % number
    place = records.place("pool", "isp", "isp", "")
    line, service = f"line-{number}", f"service-{number}"
    return records.bound(
        *(_NOW, _NOW + 3600, _FIRST + number, 0, 0, place, line, service),
        *(hardware, hardware, circuit),
    )


def renewal(number: int) -> bytes:
    """Write the record of a renewal."""
    return records.extended(_NOW + 1800, _NOW + 5400, _FIRST + number)


def apply(database: Database, name: str, blocks: list[Block], leases: int) -> None:
    """Let the ledger apply blocks, and print how fast."""
    ledger = LeaseLedger(database, Settings())
    wall, cpu = time.perf_counter(), time.process_time()
    for block in blocks:
        ledger.apply("ipserver", [block])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{name:<12} {leases / wall:10,.0f}/s  {wall / leases * 1e6:6.2f} us"
        f"  {cpu / leases * 1e6:6.2f} us of CPU"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--leases", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    leases = options.leases
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        database = open_database("sqlite", folder)
        migrate(database)
        apply(database, "bound", blocks_of(leases, binding, 1), leases)
        apply(database, "extended", blocks_of(leases, renewal, leases + 1), leases)
        started = time.perf_counter()
        allocation = Allocation(LeaseSettings(), random=random.random, now=_NOW)
        prefix = f"100.64.0.0/{32 - leases.bit_length()}"
        allocation.begin_loading()
        allocation.change_network(network_of(1, prefix), _NOW)
        loader = LeaseLoader(allocation, database, Path(folder) / "ipserver")
        loader.load(_NOW)
        loader.close()
        allocation.loaded()
        print(f"a start with {leases:,} leases {time.perf_counter() - started:6.2f} s")
        assert allocation.pool_usage("pool").leased >= leases - 4
        database.close()


if __name__ == "__main__":
    main()
