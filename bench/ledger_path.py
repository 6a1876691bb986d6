"""CPU of the ledger alone, a record: reports into sessions, usage and SQL.

    python -m bench.ledger_path [--sessions N] [--rounds N] [--rated]
        [--postgresql URL]

Rounds of one Interim-Update a session follow a round of Starts, in batches as large as
the daemon's. With `--rated` each session is a service's, rated retail and wholesale,
through to entries in the ledger. Blocks come from memory; `bench.accounting` has the
journal in it too.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import tempfile
import time
from pathlib import Path

from bench.load.packets import AccountingPackets, Pass, Status
from bench.rated_network import network_text, objects_of
from bench.receiver_path import packets_of
from config.schema import AccountingSettings
from daemon.ledger import Ledger
from daemon.role import GC_THRESHOLDS
from radius.records import Origin, encode_origin
from storage.database import migrate, open_database
from storage.journal import Block

_ORIGIN = encode_origin(Origin(b"\x7f\x00\x00\x01", 5000, "bng1"))
_BLOCK = 64
"""Packets a block: about what a group commit holds at 30,000 packets a second."""


def main() -> None:
    """Measure and print, a line a round."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--postgresql", default="sqlite")
    parser.add_argument("--rated", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    gc.set_threshold(*GC_THRESHOLDS)
    position = 1
    made = AccountingPackets(secret=b"a secret")
    settings = AccountingSettings()
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(options.postgresql, Path(folder))
        migrate(database)
        ledger = Ledger(database, settings)
        if options.rated:
            ledger.know(objects_of(network_text(options.sessions)))
        for round_ in range(options.rounds + 1):
            status = Status.INTERIM if round_ else Status.START
            now = time.time_ns()
            packets = packets_of(made, options.sessions, Pass(status, round_))
            blocks = []
            for at in range(0, len(packets), _BLOCK):
                block = packets[at : at + _BLOCK]
                octets = b"".join(_ORIGIN + packet for packet in block)
                blocks.append(Block(position, len(block), now, octets))
                position += len(block)
            batch = settings.batch_records // _BLOCK
            profile = cProfile.Profile() if options.profile else None
            wall, cpu = time.perf_counter(), time.process_time()
            if profile:
                profile.enable()
            for at in range(0, len(blocks), batch):
                ledger.apply("radius-0", blocks[at : at + batch])
            if profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            print(
                f"{status.name.lower():8} {wall / len(packets) * 1e6:6.2f} us wall,"
                f" {cpu / len(packets) * 1e6:6.2f} us cpu a record"
            )
        database.close()


if __name__ == "__main__":
    main()
