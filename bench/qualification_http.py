"""Qualifications a second over REST, and how long an ISP's system waits for each.

    python -m bench.qualification_http [--sites 1000000] [--seconds 10]
                                       [--rate 500] [--connections 64] [--data DIR]

The city of ``bench.city`` is made, and `fairlane run` serves it with all of its roles.
Then this process, as the ISPs' systems would, posts TMF645 checks over its connections
at the rate, each at its own moment whatever became of those before: with a bearer
token, an address or a line, and what is asked for. The time is from the moment when a
question was due until the whole of its answer is here: green answers are held, and
committed.
What a question costs role `control` in CPU is told too, and what it cost this process,
which shares the machine with it. --data keeps the city that is made.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import msgspec

from bench.city import ISPS, fill, question
from bench.fairlane_daemon import FairlaneDaemon
from bench.load.latency import Latency
from services.clients import Credentials, Token, add_client, issue_token
from services.principal import Role
from services.qualification import Query
from storage.database import Database, migrate, open_database

_PATH = "/tmf-api/serviceQualificationManagement/v4/checkServiceQualification"


def _tokens(database: Database) -> dict[str, str]:
    """Make a client for each ISP and give its token."""
    now, tokens = int(time.time()), {}
    for isp in ISPS:
        name = f"bench-{isp}-{now}"
        made = add_client(database, name=name, role=Role.ISP_SYSTEM, owner=isp, now=now)
        assert isinstance(made, Credentials), made
        token = issue_token(database, *made, "", now)
        assert isinstance(token, Token), token
        tokens[isp] = token.access_token
    return tokens


def _request(query: Query, token: str) -> bytes:
    role = "line" if query.line else "address"
    body = msgspec.json.encode(
        {
            "place": [{"role": role, "value": query.line or query.address}],
            "serviceQualificationItem": [
                {"service": {"serviceSpecification": {"name": name}}}
                for name in query.offerings
            ],
        }
    )
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One connection, one question at a time."""

    def __init__(self) -> None:
        self._got = b""
        self._answered: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, blank, body = self._got.partition(b"\r\n\r\n")
        _, _, length = head.lower().partition(b"content-length:")
        whole = blank and len(body) >= int(length.partition(b"\r\n")[0])
        if whole and self._answered is not None:
            status, self._got = int(self._got[9:12]), b""
            self._answered.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError())

    async def ask(self, request: bytes) -> int:
        """Send a request and wait for the whole answer; its status."""
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered


async def _load(port: int, requests: list[bytes], rate: float, connections: int) -> str:
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(connections):
        free.put_nowait(
            (await loop.create_connection(_Connection, "127.0.0.1", port))[1]
        )
    latency, statuses = Latency(), Counter[int]()

    async def one(request: bytes, due: float) -> None:
        connection = await free.get()
        statuses[await connection.ask(request)] += 1
        free.put_nowait(connection)
        latency.add(loop.time() - due)

    started, asked = loop.time(), []
    for number, request in enumerate(requests):
        due = started + number / rate
        if due > loop.time():
            await asyncio.sleep(due - loop.time())
        asked.append(asyncio.create_task(one(request, due)))
    await asyncio.gather(*asked)
    took = loop.time() - started
    told = ", ".join(f"{count} with {status}" for status, count in statuses.items())
    p50, p99 = (latency.quantile(share) * 1000 for share in (0.5, 0.99))
    return f"{len(requests) / took:.0f}/s, {told}; p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def main() -> None:
    """Make the city, serve it, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sites", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--data", type=Path)
    given = parser.parse_args()
    daemon = FairlaneDaemon(network=None)
    data = daemon.folder / "data"
    if given.data is not None:
        given.data.mkdir(exist_ok=True)
        data.rmdir()
        data.symlink_to(given.data.absolute())
    database = open_database("sqlite", data)
    migrate(database)
    fill(database, given.sites)
    tokens = _tokens(database)
    database.close()
    chance = random.Random(time.time_ns())

    def requests(count: int) -> list[bytes]:
        asked = (question(chance, given.sites) for _ in range(count))
        return [_request(query, tokens[query.isp or ""]) for query in asked]

    with daemon:
        # The first question reads the network.
        asyncio.run(_load(daemon.http_port, requests(50), 10, given.connections))
        many = requests(int(given.rate * given.seconds))
        used, own = daemon.cpu_seconds("control 0"), time.process_time()
        load = _load(daemon.http_port, many, given.rate, given.connections)
        print(f"asked at {given.rate:g}/s over REST: {asyncio.run(load)}")
        used = (daemon.cpu_seconds("control 0") - used) / len(many) * 1e6
        own = (time.process_time() - own) / len(many) * 1e6
        print(f"CPU a question: control {used:.0f} us, this process {own:.0f} us")


if __name__ == "__main__":
    main()
