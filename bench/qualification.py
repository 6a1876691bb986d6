"""Qualifications a second over many sites, and how long each takes.

    python -m bench.qualification [--sites 1000000] [--seconds 10] [--rate 2000]
                                  [--postgresql URL] [--data DIR]

A city is made: so many sites at streets, on nodes, one in twenty with a line that is
built, ISPs with pools and offerings. Then questions arrive one by one at the rate, each
at its own moment whatever became of those before (``bench.city``); each holds what its
green answer promises, on disk. Last, as many as can be are asked.

Measured is the desk, where every interface brings its questions: from asking to the
answer that is committed. There is no HTTP in it, and whoever asks shares the process
and its event loop with the desk; ``bench.qualification_http`` measures what a client
sees. The database given by URL must be empty; --data keeps the one that is made.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import shutil
import tempfile
import time
from pathlib import Path

from bench.city import fill, question
from bench.load.latency import Latency
from controlplane.desk import Desk, DeskBusyError
from daemon.provisioning import qualification_desk
from daemon.role import GC_THRESHOLDS
from provisioning.qualification import Color
from provisioning.refusal import Refusal
from services.provisioning import Provisioning
from services.qualification import Qualification, Query
from storage.database import migrate, open_database
from storage.warming import warm

_Desk = Desk[Query, Qualification | Refusal]


class _Tally:
    def __init__(self) -> None:
        self.latency = Latency()
        self.turned_away = self.answers = self.green = self.refused = self.found = 0
        self.longest = 0.0

    def count(self, answer: Qualification | Refusal, seconds: float) -> None:
        self.latency.add(seconds)
        self.longest = max(self.longest, seconds)
        self.answers += 1
        self.refused += isinstance(answer, Refusal)
        if isinstance(answer, Qualification):
            self.found += answer.place is not None
            self.green += any(a.color is Color.GREEN for a in answer.answers)

    def __str__(self) -> str:
        p50, p99 = (self.latency.quantile(q) * 1000 for q in (0.5, 0.99))
        return (
            f"{self.answers} answers, {self.found} places found, "
            f"{self.green} green, {self.refused} refused, "
            f"{self.turned_away} turned away; "
            f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
            f"longest {self.longest * 1000:.1f} ms"
        )


async def _steady(desk: _Desk, sites: int, rate: int, seconds: float) -> _Tally:
    chance, tally = random.Random(1), _Tally()
    queries = [question(chance, sites) for _ in range(int(rate * seconds))]
    asked = set()
    loop = asyncio.get_running_loop()

    async def one(query: Query, due: float) -> None:
        try:
            answer = await desk.ask(query)
        except DeskBusyError:
            tally.turned_away += 1
            return
        tally.count(answer, loop.time() - due)

    started = loop.time()
    for number, query in enumerate(queries):
        due = started + number / rate
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        task = asyncio.create_task(one(query, due))
        asked.add(task)
        task.add_done_callback(asked.discard)
    while asked:
        await asyncio.wait(asked)
    return tally


async def _most(desk: _Desk, sites: int, seconds: float) -> float:
    chance, count = random.Random(2), 0
    end = time.monotonic() + seconds

    async def asker() -> None:
        nonlocal count
        while time.monotonic() < end:
            await desk.ask(question(chance, sites))
            count += 1

    await asyncio.gather(*(asker() for _ in range(256)))
    return count / seconds


def main() -> None:
    """Make the city, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--postgresql", default="sqlite")
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    folder = given.data or Path(tempfile.mkdtemp(prefix="fairlane-bench-"))
    folder.mkdir(exist_ok=True)
    database = open_database(given.postgresql, folder)
    began = time.monotonic()
    migrate(database)
    fill(database, given.sites)
    print(f"{given.sites} sites made in {time.monotonic() - began:.0f} s")
    desk = qualification_desk(Provisioning(database), b"")
    began = time.monotonic()
    warm(database)  # as the role does before it is ready
    print(f"what is searched in read in {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    asyncio.run(_steady(desk, given.sites, 100, 1))
    print(f"network read and first answers in {time.monotonic() - began:.1f} s")
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)  # as every role does
    tally = asyncio.run(_steady(desk, given.sites, given.rate, given.seconds))
    print(f"at {given.rate}/s for {given.seconds:g} s: {tally}")
    rate = asyncio.run(_most(desk, given.sites, min(given.seconds, 5)))
    print(f"256 askers at once: {rate:.0f} answers/s")
    database.close()
    if given.data is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
