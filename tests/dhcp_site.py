"""A DHCP server on a wire in memory, with a real allocation and a real journal."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path
from typing import Any

from access_network import NOW, network
from dhcp_packets import Answer, agent, answer, ip, message, option

from config.network import Network
from config.schema import LeaseSettings
from ipserver.allocation import Allocation
from ipserver.answer import Answer as Decision
from ipserver.ask import Ask
from ipserver.intake import Limits
from ipserver.leasequery import LeaseQueries
from ipserver.network_options import NetworkOptions
from ipserver.outcomes import Sighting, Statistics
from ipserver.ports import Answers
from ipserver.relays import RelayTable
from ipserver.replies import Replies
from ipserver.server import DhcpServer
from storage.group_commit import GroupCommit
from storage.journal import JournalReader, JournalWriter

RELAY = "192.0.2.1"
SERVER = "192.0.2.67"
LIMITS = Limits(
    hops_max=16,
    line_per_second=1000,
    relay_per_second=10_000,
    queue_packets=1000,
    queue_seconds=3,
    queue_records=1000,
    parked_seconds=2,
    parked_discovers=2,
)


def sockaddr(address: str, port: int) -> bytes:
    """Give what the kernel says of an IPv4 sender on this machine."""
    return (
        socket.AF_INET.to_bytes(2, "little") + port.to_bytes(2) + ip(address) + bytes(8)
    )


class Wire:
    """The socket: what was sent to it, and what it sent."""

    def __init__(self) -> None:
        self.waiting: list[tuple[bytes, bytes, bytes]] = []
        self.sent: list[tuple[bytes, bytes, bytes]] = []

    def receive(self) -> list[tuple[bytes, bytes, bytes]]:
        """Give some."""
        given, self.waiting = self.waiting[:64], self.waiting[64:]
        return given

    def send(self, replies: list[tuple[bytes, bytes, bytes]]) -> int:
        """Take all."""
        self.sent += replies
        return len(replies)


class Scripted:
    """Answers that a test chose beforehand, and the asks that were answered."""

    def __init__(self, *answers: Decision) -> None:
        self.answers = list(answers)
        self.asks: list[Ask] = []

    def answer(self, ask: Ask, now: float) -> Decision:
        """Give the next."""
        self.asks.append(ask)
        return self.answers.pop(0)

    def pool_leasing(self, address: int) -> str:
        """Nobody leases."""
        return ""


class Site:
    """A server on an access network (``access_network.network``)."""

    def __init__(
        self,
        folder: Path,
        served: Network | None = None,
        *,
        answers: Answers | None = None,
        limits: Limits = LIMITS,
        leasequery_from: tuple[str, ...] = (),
        **options: Any,
    ) -> None:
        self.time = float(NOW)
        self.folder = folder
        self.writer = JournalWriter(folder, file_bytes=10**7)
        self.commits = GroupCommit(
            self.writer, monotonic=lambda: self.time, observe=lambda *_: None
        )
        self.network = served or network()
        self.allocation = Allocation(
            LeaseSettings(), random=random.Random(1).random, now=self.time
        )
        self.allocation.change_network(self.network, self.time)
        subnet_selection = options.pop("subnet_selection", False)
        self.server = DhcpServer(
            answers=answers or self.allocation,
            commits=self.commits,
            replies=Replies(NetworkOptions(self.network), Statistics(), **options),
            lease_queries=LeaseQueries(self.allocation, leasequery_from),
            limits=limits,
            subnet_selection=subnet_selection,
            identifier_of=lambda _, __: ip(SERVER),
            clock=lambda: self.time,
            monotonic=lambda: self.time,
            time_ns=lambda: int(self.time * 1e9),
        )
        self.server.change_network(
            RelayTable(self.network), NetworkOptions(self.network)
        )
        self.wire = Wire()
        self.readable = self.server.listen(self.wire)
        self.seen: list[Sighting] = []

    def send(self, *datagrams: bytes, source: str = RELAY, port: int = 67) -> None:
        """Put datagrams on the wire and serve them."""
        self.wire.waiting += [(d, sockaddr(source, port), b"here") for d in datagrams]
        self.serve()

    def serve(self) -> None:
        """Serve what waits."""

        async def serve() -> None:
            self.readable()
            await self.commits.drain()

        asyncio.run(serve())

    def take(self) -> list[tuple[Answer, bytes]]:
        """Give the replies sent since the last time, and where they went."""
        sent, self.wire.sent = self.wire.sent, []
        assert all(local == b"here" for _, _, local in sent)
        return [(answer(octets), target) for octets, target, _ in sent]

    def ask(self, *datagrams: bytes, **sender: Any) -> list[Answer]:
        """Send datagrams and give the replies."""
        self.send(*datagrams, **sender)
        return [reply for reply, _ in self.take()]

    def dropped(self) -> dict[str, int]:
        """Count what was dropped, by reason."""
        return {str(k): v for k, v in self.server.statistics.dropped.items()}

    def journaled(self) -> int:
        """Count the records in the journal."""
        reader = JournalReader(self.folder)
        blocks = reader.read(1, 10**6)
        reader.close()
        return sum(block.records for block in blocks)

    def lease(self, line: str = "line-0", **fields: Any) -> str:
        """Go through the four ways; give the address."""
        (offer,) = self.ask(relayed(1, line, **fields))
        chosen = selecting(offer.yiaddr)
        (ack,) = self.ask(relayed(3, line, chosen, **fields))
        assert (5, offer.yiaddr) == (ack.kind, ack.yiaddr)
        return ack.yiaddr

    def close(self) -> None:
        """Let go of the journal."""
        self.commits.close()


def relayed(
    kind: int, line: str = "line-0", options: bytes = b"", **fields: Any
) -> bytes:
    """Make a message as the relay of the access network passes it on."""
    fields.setdefault("giaddr", RELAY)
    more = fields.pop("more", b"")
    inside = agent(line.encode(), more=more) if line else more
    end = option(82, inside) + b"\xff" if inside else b"\xff"
    return message(kind, options, end=end, **fields)


def selecting(address: str, server: str = SERVER) -> bytes:
    """Make the options of a REQUEST in SELECTING."""
    return option(54, ip(server)) + option(50, ip(address))
