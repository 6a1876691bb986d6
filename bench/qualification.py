"""Qualifications a second over many sites, and how long each takes.

    python -m bench.qualification [--sites 1000000] [--seconds 10] [--rate 2000]
                                  [--postgresql URL] [--data DIR]

A city is made: so many sites at streets, on nodes, one in twenty with a line that is
built, ISPs with pools and offerings. Then questions arrive one by one at the rate, each
at its own moment whatever became of those before: seven in ten have the address as it
is, two have a slip in the street, one names a line; half of them ask for one offering,
half for all three; each holds what its green answer promises, on disk. Last, as many as
can be are asked. The database given by URL must be empty; --data keeps the one that is
made.
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
from typing import Any

from sqlalchemy import insert

from bench.load.latency import Latency
from controlplane.desk import Desk, DeskBusyError
from daemon.provisioning import qualification_desk
from daemon.role import GC_THRESHOLDS
from provisioning.qualification import Color
from provisioning.refusal import Refusal
from services.actor import Actor
from services.provisioning import Provisioning
from services.qualification import Qualification, Query
from storage import network
from storage.database import Database, migrate, open_database
from storage.provisioning_tables import service_site
from storage.sites import site_row

_FIRST = ("Harbour", "Quay", "Mill", "Castle", "Orchard", "Station", "Garden", "Chapel")
_SECOND = ("North", "Upper", "Saint Anne", "Long", "Kings", "Lower", "West", "Market")
_KINDS = ("Street", "Road", "Lane", "Avenue", "Square")
_HOUSES = 200
_SITES_A_NODE = 500
_LINES_A_NODE = 25
_ISPS = ("aurora", "borealis", "corona", "dusk")


def _address(number: int) -> str:
    street, house = divmod(number, _HOUSES)
    words = (
        f"{_SECOND[street % 8]} {_FIRST[street // 8 % 8]} {_KINDS[street // 64 % 5]}"
    )
    district = street // 320
    return f"{house + 1} {words}, Town{district}, {10000 + street % 89999}"


def _fill(database: Database, sites: int) -> None:
    area = {("area", "city"): {"name": "city"}}
    objects: dict[tuple[str, str], dict[str, Any]] = dict(area)
    for place, isp in enumerate(_ISPS):
        objects["isp", isp] = {"name": isp}
        prefixes = [f"10.{place * 16}.0.0/12"]
        pool = {"name": f"{isp}-city", "area": "city", "isp": isp, "prefixes": prefixes}
        objects["pool", f"{isp}-city"] = pool
        for down in (100_000, 500_000, 2_000_000):
            name = f"{isp}-{down // 1000}"
            offer = {"name": name, "isp": isp, "down_kbps": down, "up_kbps": 50_000}
            objects["offering", name] = offer
    for node in range(-(-sites // _SITES_A_NODE)):
        name = f"olt{node}"
        objects["node", name] = {"name": name, "area": "city", "ports": 1024}
        for line in range(_LINES_A_NODE):
            site = node * _SITES_A_NODE + line
            called = f"line{site}"
            objects["line", called] = {
                "name": called,
                "area": "city",
                "node": name,
                "site": f"site{site}",
                "circuit_id": f"{name}:{line}",
            }
    with database.write.begin() as connection:
        network.lock_network(connection)
        connection.execute(
            insert(network.network_object),
            [{"kind": k, "name": n, "body": b} for (k, n), b in objects.items()],
        )
        network.apply(connection, [], 0)
    for start in range(0, sites, 50_000):
        rows = [
            site_row(
                {
                    "name": f"site{number}",
                    "area": "city",
                    "node": f"olt{number // _SITES_A_NODE}",
                    "address": _address(number),
                }
            )
            for number in range(start, min(start + 50_000, sites))
        ]
        with database.write.begin() as connection:
            connection.execute(insert(service_site), rows)


def _query(chance: random.Random, sites: int) -> Query:
    isp = chance.choice(_ISPS)
    actor = Actor("bench", isp, "rest")
    offerings = (f"{isp}-500",) if chance.random() < 0.5 else ()
    site, kind = chance.randrange(sites), chance.random()
    if kind < 0.1:
        line = site // _SITES_A_NODE * _SITES_A_NODE + site % _LINES_A_NODE
        return Query(actor=actor, isp=isp, line=f"line{line}", offerings=offerings)
    address = _address(site)
    if kind < 0.3:
        letters = list(address)
        street = [i for i in range(address.index(",")) if letters[i].isalpha()]
        letters[chance.choice(street)] = "x"
        address = "".join(letters)
    return Query(actor=actor, isp=isp, address=address, offerings=offerings)


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
    queries = [_query(chance, sites) for _ in range(int(rate * seconds))]
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
            await desk.ask(_query(chance, sites))
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
    with database.read.connect() as connection:
        filled = network.latest_change(connection) or network.read_network(connection)
    if not filled:
        _fill(database, given.sites)
    print(f"{given.sites} sites made in {time.monotonic() - began:.0f} s")
    desk = qualification_desk(Provisioning(database), b"")
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
