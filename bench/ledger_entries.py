"""Entries that the ledger can take: charges into legs, checked, chained and stored.

    python -m bench.ledger_entries [--batches 40] [--postgresql URL] [--data DIR]

Each usage record has a retail and a wholesale charge, and makes one entry. The charges
are made before the clock runs: rating them is another program's figure. The
database given by URL must be empty.
"""

from __future__ import annotations

import argparse
import gc
import shutil
import tempfile
import time
from pathlib import Path

from daemon.role import GC_THRESHOLDS
from rating.charge import Charge, RatingTag
from rating.posting import Poster
from storage.database import Database, migrate, open_database
from storage.entries import BookIds, lock_head, post, read_closed
from storage.ledger_proof import prove

_START = 1_790_000_000
_BATCH = 5000
_ISPS = 10
_SERVICES = 100_000


def _charges(first: int) -> list[tuple[str, list[Charge], list[Charge]]]:
    """A batch of usage records, each with its ISP, its retail and wholesale charge."""
    rated = []
    for number in range(first, first + _BATCH):
        service = number * 7919 % _SERVICES
        both = [
            Charge(
                f"service-{service}",
                tariff,
                "2026-01-01",
                "volume",
                "2026-09-01",
                RatingTag.USAGE,
                123_456_789,
                "octets",
                amount,
                "EUR",
                "standard",
                _START + number // 100,
                _START + number // 100 + 600,
                number,
            )
            for tariff, amount in (("home", 1234), ("wholesale", 321))
        ]
        rated.append((f"isp-{service % _ISPS}", both[:1], both[1:]))
    return rated


def _run(database: Database, batches: int) -> None:
    migrate(database)
    zones = {"home": "Europe/Oslo", "wholesale": "Europe/Oslo"}
    with database.read.connect() as connection:
        poster = Poster(zones, read_closed(connection))
    books, posting, writing, cpu = BookIds(), 0.0, 0.0, 0.0
    for batch in range(batches):
        charges = _charges(1 + batch * _BATCH)
        started = its_cpu = time.process_time()
        for rated in charges:
            poster.usage(*rated)
        postings = poster.take()
        posted = time.process_time()
        with database.write.begin() as connection:
            post(connection, lock_head(connection), postings, _START, books)
        writing += time.process_time() - posted
        posting += posted - started
        cpu += time.process_time() - its_cpu
    usage = batches * _BATCH
    print(f"{usage:,} usage records, as many entries in {batches} batches")
    for what, seconds in (
        ("charges into legs", posting),
        ("checked, chained and stored", writing),
        ("CPU of this process, both", cpu),
    ):
        micro = seconds / usage * 1e6
        print(f"  {what:30} {micro:6.2f} us an entry")
    started = time.perf_counter()
    with database.read.connect() as connection:
        proof = prove(connection)
    rate = proof.entries / (time.perf_counter() - started)
    print(f"  proved {proof.entries:,} entries at {rate:,.0f}/s: {proof.problems}")


def main() -> None:
    """Print the figures for SQLite, and for PostgreSQL when a URL is given."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--batches", type=int, default=40)
    options.add_argument("--postgresql", metavar="URL")
    options.add_argument("--data", metavar="DIR", help="where the SQLite file goes")
    given = options.parse_args()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    folder = Path(tempfile.mkdtemp(prefix="fairlane-bench-", dir=given.data))
    try:
        for name in ("sqlite", given.postgresql):
            if name is None:
                continue
            print("SQLite" if name == "sqlite" else "PostgreSQL")
            database = open_database(name, folder)
            _run(database, given.batches)
            database.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
