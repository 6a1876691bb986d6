"""Orders a second, from the body to active, on simulated lines.

    python -m bench.orders [--seconds 10] [--rate 200] [--postgresql URL]

So many lines are made. Orders of PPPoE services arrive at the rate, each at its own
moment, at the desk where an interface brings them, while the provisioning
manager carries them out as in the role ``control``. A simulated subscriber comes on as
soon as its service is in the change feed, which it follows as the packet roles do: it
writes the session that the ledger would write. An order counts when it is completed,
on disk; the time is from placing it until then. Apart from that it is measured how long
after the commit of an order's step its service is found by a follower that polls every
quarter second, as the packet roles do. The database given by URL must be empty.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from sqlalchemy import func, insert, select

from bench.city import write_network
from bench.load.latency import Latency
from config.schema import Settings
from daemon.network_feed import POLL_SECONDS
from daemon.provisioning import order_desk, order_keys, ports
from daemon.provisioning_manager import ProvisioningManager
from services.actor import Actor
from services.orders import Command, Placed
from services.provisioning import Provisioning
from storage import network
from storage.database import Database, migrate, open_database
from storage.provisioning_tables import service_order
from storage.tables import SESSION_COLUMNS, session

_ACTOR = Actor("bench", "aurora", "rest")


def fill(database: Database, lines: int) -> None:
    """Make the network: an ISP, its pool and offering, and so many lines."""
    objects: dict[tuple[str, str], dict[str, Any]] = {
        ("area", "city"): {"name": "city"},
        ("isp", "aurora"): {"name": "aurora", "realms": ["aurora.example"]},
        ("pool", "p"): {
            "name": "p",
            "area": "city",
            "isp": "aurora",
            "prefixes": ["100.64.0.0/10"],
        },
        ("offering", "home"): {
            "name": "home",
            "isp": "aurora",
            "down_kbps": 500_000,
            "up_kbps": 100_000,
        },
    }
    for number in range(lines):
        body = {"name": f"line{number}", "area": "city", "circuit_id": f"0/{number}"}
        objects["line", body["name"]] = body
    write_network(database, objects)


def order_body(number: int) -> dict[str, Any]:
    """Give the order for one of the lines."""
    said = {"userName": f"sub{number}@aurora.example", "password": f"word-{number}"}
    return {
        "externalId": f"A-{number}",
        "serviceOrderItem": [
            {
                "id": "1",
                "action": "add",
                "service": {
                    "serviceSpecification": {"name": "home"},
                    "place": [{"role": "line", "name": f"line{number}"}],
                    "serviceCharacteristic": [
                        {"name": name, "value": value} for name, value in said.items()
                    ],
                },
            }
        ],
    }


class Subscribers(threading.Thread):
    """Come on when their service is there: the sessions that a ledger would write."""

    def __init__(self, database: Database) -> None:
        super().__init__(daemon=True)
        self._database = database
        self.ending = threading.Event()
        self.sessions = 0

    def run(self) -> None:
        """Follow the feed until told to end."""
        number = 0
        while not self.ending.wait(0.05):
            with self._database.read.connect() as connection:
                new = network.changes_since(connection, number, 5000)
            users = []
            for numbered in new:
                number = numbered.number
                body = numbered.change.body
                if numbered.change.kind == "service" and body is not None:
                    users += body["user_names"]
            if users:
                self._come_on(users)

    def _come_on(self, users: list[str]) -> None:
        now = int(time.time())
        rows = []
        for user in users:
            self.sessions += 1
            row: dict[str, Any] = dict.fromkeys(SESSION_COLUMNS)
            row |= {n: 0 for n in SESSION_COLUMNS if "octets" in n or "packets" in n}
            row |= {
                "id": self.sessions,
                "nas": "bng1",
                "nas_identity": "192.0.2.1",
                "acct_session_id": f"S-{self.sessions}",
                "user_name": user,
                "framed_ip_address": "100.64.0.9",
                "state": "open",
                "started_at": now,
                "started_derived": "reported",
                "last_seen_at": now,
                "last_arrival_at": now,
                "seconds": 0,
                "points": b"",
                "tenant": "network",
            }
            rows.append(row)
        with self._database.write.begin() as connection:
            connection.execute(insert(session), rows)


class _Follower(threading.Thread):
    """Measures how old a change is when a follower that polls as roles do sees it."""

    def __init__(self, database: Database) -> None:
        super().__init__(daemon=True)
        self._database = database
        self.ending = threading.Event()
        self.placed: dict[str, float] = {}
        self.latency = Latency()
        self.seen = 0

    def run(self) -> None:
        """Follow the feed until told to end."""
        number = 0
        while not self.ending.wait(POLL_SECONDS):
            with self._database.read.connect() as connection:
                new = network.changes_since(connection, number, 5000)
            now = time.monotonic()
            for numbered in new:
                number = numbered.number
                body = numbered.change.body or {}
                began = self.placed.pop(str(body.get("line")), None)
                if numbered.change.kind == "service" and began is not None:
                    self.latency.add(now - began)
                    self.seen += 1


async def _run(
    database: Database, settings: Settings, rate: int, seconds: float
) -> None:
    provisioning = Provisioning(database)
    manager = ProvisioningManager(provisioning, ports(settings, make=True), {})
    keys = order_keys(settings)
    working = asyncio.create_task(manager.run())
    subscribers, follower = Subscribers(database), _Follower(database)
    subscribers.start()
    follower.start()
    placed: dict[str, float] = {}
    total = int(rate * seconds)

    desk = order_desk(provisioning, keys)
    placing = set()

    async def place(number: int, due: float) -> None:
        made = await desk.ask(Command(_ACTOR, order_body(number)))
        assert isinstance(made, Placed), made
        assert not made.refusals, made.refusals
        placed[made.order.id] = due
        manager.ring()

    def completed(after: set[str]) -> list[str]:
        with database.read.connect() as connection:
            query = select(service_order.c.id).where(
                service_order.c.state == "completed"
            )
            return [id_ for id_ in connection.scalars(query) if id_ not in after]

    latency, done = Latency(), set[str]()
    began = time.monotonic()

    async def watch() -> None:
        while len(done) < total:
            for id_ in await asyncio.to_thread(completed, done):
                done.add(id_)
                latency.add(time.monotonic() - placed.get(id_, time.monotonic()))
            await asyncio.sleep(0.1)

    watching = asyncio.create_task(watch())
    for number in range(total):
        due = began + number / rate
        if due > time.monotonic():
            await asyncio.sleep(due - time.monotonic())
        at = time.monotonic()
        follower.placed[f"line{number}"] = at
        task = asyncio.create_task(place(number, due))
        placing.add(task)
        task.add_done_callback(placing.discard)
    while placing:
        await asyncio.wait(placing)
    sent = time.monotonic() - began
    await asyncio.wait_for(watching, 120)
    whole = time.monotonic() - began
    await asyncio.sleep(2 * POLL_SECONDS)
    for thread in (subscribers, follower):
        thread.ending.set()
        thread.join()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    print(
        f"{total} orders placed in {sent:.1f} s ({total / sent:.0f}/s), "
        f"all active after {whole:.1f} s ({total / whole:.0f}/s); placed to active "
        f"p50 {latency.quantile(0.5):.2f} s, p99 {latency.quantile(0.99):.2f} s"
    )
    print(
        f"{follower.seen} services seen by a follower of the feed: "
        f"p50 {follower.latency.quantile(0.5):.2f} s, "
        f"p99 {follower.latency.quantile(0.99):.2f} s after placing"
    )
    with database.read.connect() as connection:
        query = select(service_order.c.state, func.count()).group_by(
            service_order.c.state
        )
        print(", ".join(f"{row[1]} {row[0]}" for row in connection.execute(query)))


def main() -> None:
    """Make the lines, order, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--postgresql", default="sqlite")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fairlane-bench-"))
    settings = Settings(data_dir=str(folder), database=given.postgresql)
    database = open_database(settings.database, folder)
    migrate(database)
    fill(database, int(given.rate * given.seconds))
    asyncio.run(_run(database, settings, given.rate, given.seconds))
    database.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
