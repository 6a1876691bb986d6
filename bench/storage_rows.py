"""Rows that the ledger can write: usage with the session's update, microseconds a pair.

    python -m bench.storage_rows [--sessions 100000] [--postgresql URL] [--data DIR]

Sessions of ordinary width are inserted first; then batches of the ledger's size each
insert a usage record and update the session for as many sessions, once for neighbours
in the table (a NAS that reports in turn) and once for sessions at random (the worst
there is). Wall time and the CPU time of this process are shown, commit included; for
PostgreSQL the server's own CPU time is not in the latter. The database given by URL
must be empty.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from storage import sessions
from storage.database import Database, migrate, open_database
from storage.tables import PROGRESS_COLUMNS, SESSION_COLUMNS

_START = 1_790_000_000
_AT = [SESSION_COLUMNS.index(name) for name in PROGRESS_COLUMNS]
_POINTS = bytes(range(60))

Rows = list[tuple[Any, ...]]


def _session(number: int, turn: int = 0) -> tuple[Any, ...]:
    """A PPPoE session as a broadband gateway describes it, after so many interims."""
    seen = _START + turn * 600
    values: dict[str, Any] = dict.fromkeys(SESSION_COLUMNS) | {
        "id": number,
        "nas": f"bng{number % 20}",
        "nas_identity": f"10.0.0.{number % 20}",
        "acct_session_id": f"{number * 2654435761 % 2**32:08x}-harbour-{number}",
        "user_name": f"sub{number}@aurora.example",
        "class_": b"home-500-aurora.",
        "framed_ip_address": f"100.64.{number // 256 % 256}.{number % 256}",
        "delegated_ipv6_prefixes": f"2001:db8:{number % 65536:x}::/56",
        "calling_station_id": "02-00-00-00-00-01",
        "nas_port_id": f"ge-0/0/1:{number}",
        "agent_circuit_id": f"ge-0/0/1:{number}",
        "state": "open",
        "started_at": _START,
        "started_derived": "reported",
        "last_seen_at": seen,
        "last_arrival_at": seen,
        "seconds": turn * 600,
        "input_octets": turn * 12_345_678,
        "output_octets": turn * 123_456_789,
        "input_packets": turn * 10_000,
        "output_packets": turn * 100_000,
        "points": _POINTS,
        "tenant": "network",
    }
    return tuple(values.values())


def _usage(number: int, session: int) -> tuple[Any, ...]:
    figures = (600, 12_345_678, 123_456_789, 10_000, 100_000)
    return (number, session, _START, _START + 600, *figures, "reported", 1, "network")


class _Clock:
    """Adds up the wall and CPU time of pieces of work."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __enter__(self) -> None:
        self._started = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter() - self._started[0]
        self.cpu += time.process_time() - self._started[1]

    def show(self, what: str, rows: int) -> None:
        wall, cpu = (seconds / rows * 1e6 for seconds in (self.wall, self.cpu))
        rate = rows / self.wall
        print(f"{what:46} {wall:7.2f} us  {cpu:6.2f} us CPU  {rate:9,.0f}/s")


def _fill(database: Database, count: int, batch: int) -> None:
    clock = _Clock()
    for first in range(1, count + 1, batch):
        last = min(first + batch, count + 1)
        rows = [_session(number) for number in range(first, last)]
        with clock, database.write.begin() as connection:
            sessions.insert_sessions(connection, rows)
    clock.show("a session inserted", count)


def _pairs(
    database: Database,
    what: str,
    pick: Callable[[int], Sequence[int]],
    turns: int,
    *,
    whole: bool,
) -> None:
    with database.read.connect() as connection:
        next_usage = sessions.next_ids(connection)[1]
    clock, count = _Clock(), 0
    for turn in range(1, turns + 1):
        numbers = pick(turn)
        changed: Rows = [_session(number, turn) for number in numbers]
        if not whole:
            changed = [tuple([row[at] for at in _AT]) for row in changed]
        used = [_usage(next_usage + at, number) for at, number in enumerate(numbers)]
        next_usage += len(used)
        count += len(used)
        with clock, database.write.begin() as connection:
            sessions.insert_usage(connection, used)
            update = sessions.update_sessions if whole else sessions.update_progress
            update(connection, changed)
            sessions.write_position(connection, "bench", next_usage)
    clock.show(what, count)


def _run(database: Database, count: int, batch: int, turns: int) -> None:
    migrate(database)
    _fill(database, count, batch)

    def neighbours(turn: int) -> Sequence[int]:
        first = (turn - 1) * batch % max(count - batch, 1)
        return range(first + 1, first + batch + 1)

    def anywhere(turn: int) -> Sequence[int]:
        return random.Random(turn).sample(range(1, count + 1), batch)

    for whole, update in ((False, "progress"), (True, "whole session")):
        for pick, where in ((neighbours, "neighbours"), (anywhere, "at random")):
            what = f"usage + {update} updated, {where}"
            _pairs(database, what, pick, turns, whole=whole)


def main() -> None:
    """Print the figures for SQLite, and for PostgreSQL when a URL is given."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--sessions", type=int, default=100_000)
    options.add_argument("--batch", type=int, default=5000)
    options.add_argument("--turns", type=int, default=40)
    options.add_argument("--postgresql", metavar="URL")
    options.add_argument("--data", metavar="DIR", help="where the SQLite file goes")
    given = options.parse_args()
    batch = min(given.batch, given.sessions)
    print(f"{given.sessions:,} sessions, batches of {batch:,}")
    folder = Path(tempfile.mkdtemp(prefix="fairlane-bench-", dir=given.data))
    try:
        for name in ("sqlite", given.postgresql):
            if name is None:
                continue
            print("SQLite" if name == "sqlite" else "PostgreSQL")
            database = open_database(name, folder)
            _run(database, given.sessions, batch, given.turns)
            database.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
