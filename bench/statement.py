"""A statement of many lines: how long it takes, and how much memory.

    python -m bench.statement [--lines 1000000] [--events N] [--postgresql URL]
                              [--data DIR]

It is an ISP's, of network usage; with ``--events`` a BSP's, with as many of its event
ids behind each line of metered use. Half of the ledger's entries are another's. The
statement is written as CSV to a file that is thrown away. Peak memory is of this
process from its start, the filling of the ledger included. The database given by URL
must be empty.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from rating.charge import Charge, RatingTag
from rating.months import span_of
from rating.posting import Poster
from rating.statement import Role
from services.statements import Recipient, csv_of, summary_of
from storage.bsp_usage import add_records
from storage.database import Database, migrate, open_database
from storage.entries import BookIds, lock_head, post

_BATCH = 5000
_MONTH = "2026-11"
_ISPS = ("aurora", "borealis")
_BSPS = ("filmhouse", "radio")


def _fill(database: Database, lines: int, events: int) -> None:
    migrate(database)
    poster, books = Poster({"home": "UTC", "wholesale": "UTC"}, {}), BookIds()
    at = span_of("UTC", _MONTH).starts_at
    for first in range(0, 2 * lines, _BATCH):
        for number in range(first, min(first + _BATCH, 2 * lines)):
            both = [
                Charge(
                    f"service-{number % 100_000}",
                    tariff,
                    "2026-01-01",
                    "volume",
                    "2026-11-01",
                    RatingTag.USAGE,
                    123_456_789,
                    "octets",
                    amount,
                    "EUR",
                    "standard",
                    at + number % 2_000_000,
                    at + number % 2_000_000 + 600,
                    number + 1,
                )
                for tariff, amount in (("home", 1234), ("wholesale", 321))
            ]
            if events:
                poster.bsp_usage(_ISPS[0], _BSPS[number % 2], both[:1])
            else:
                poster.usage(_ISPS[number % 2], both[:1], both[1:])
        with database.write.begin() as connection:
            add_records(connection, _events(first, events))
            post(connection, lock_head(connection), poster.take(), at, books)


def _events(first: int, events: int) -> list[dict[str, Any]]:
    return [
        {
            "tenant": _ISPS[0],
            "bsp": _BSPS[number % 2],
            "event_id": f"play-{number}-{nth}",
            "body": "{}",
            "state": "rated",
            "aggregate_id": number + 1,
            "received_at": 0,
            "updated_at": 0,
        }
        for number in range(first, first + _BATCH)
        for nth in range(events)
    ]


def _run(database: Database, lines: int, events: int, folder: Path) -> None:
    _fill(database, lines, events)
    whose = Recipient(Role.ISP, _ISPS[0], _MONTH)
    if events:
        whose = Recipient(Role.BSP, _BSPS[0], _MONTH)
    started = time.perf_counter()
    with database.read.connect() as connection, (folder / "csv").open("w") as file:
        (summary,) = summary_of(connection, whose)
        summed = time.perf_counter() - started
        for text in csv_of(connection, whose):
            file.write(text)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size = (folder / "csv").stat().st_size / 2**20
    print(f"{summary.lines:,} lines, {size:,.0f} MiB of CSV in {seconds:.1f} s")
    print(f"  its summary alone {summed * 1000:.1f} ms; peak memory {peak:,.0f} MiB")


def main() -> None:
    """Print the figures for SQLite, and for PostgreSQL when a URL is given."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--lines", type=int, default=1_000_000)
    options.add_argument("--events", type=int, default=0, metavar="N")
    options.add_argument("--postgresql", metavar="URL")
    options.add_argument("--data", metavar="DIR", help="where the SQLite file goes")
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fairlane-bench-", dir=given.data))
    try:
        for name in ("sqlite", given.postgresql):
            if name is None:
                continue
            print("SQLite" if name == "sqlite" else "PostgreSQL")
            database = open_database(name, folder)
            _run(database, given.lines, given.events, folder)
            database.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
