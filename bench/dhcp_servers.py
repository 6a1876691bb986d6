"""The servers of the DHCP benchmark: Fairlane and Kea, each alike but for its name.

Each begins anew, with as many leases as a row wants made beforehand: Fairlane's in its
journal, Kea's in its file or table, written as the server itself would have. The server
has processor 0; perfdhcp, and in the time it leaves Fairlane's ledger, processor 1.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from msgspec.structs import replace
from netaddr import IPNetwork

from bench import kea_peer
from bench.fairlane_daemon import FairlaneDaemon
from bench.kea_peer import KeaPeer, Leases
from config.loader import load_network
from config.schema import LeaseSettings, Settings
from daemon.lease_ledger import LeaseLedger
from ipserver.allocation import Allocation
from ipserver.answer import Ack, Offer
from ipserver.ask import Agent, Ask, Message
from storage.database import open_database
from storage.journal import JournalReader, JournalWriter

__all__ = ["Plan", "Server", "Start", "first_offer", "servers"]

_SERVER: Final = {0}
_LOAD: Final = {1}
_SETTINGS = "line_per_second = 1000\nrelay_per_second = 1000000\n"
_FIRST_ANSWER_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and for how long."""

    seconds: float
    leases: int
    lines: int
    folder: Path
    peers: tuple[Leases, ...] = tuple(Leases)


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test: its port, and the processor time it has used.

    ``aside_seconds`` is what it uses beside that for the same work, ``made`` how many
    leases it had at its start, ``started`` when that was (``time.perf_counter``) and
    ``memory`` its resident bytes.
    """

    name: str
    port: int
    cpu_seconds: Callable[[], float]
    memory: Callable[[], int]
    made: int
    started: float
    aside_seconds: Callable[[], float] = lambda: 0.0
    answers_to: int = 0


class Start(Protocol):
    """Starts a server: with a pool, relays, leases, and waiting until it is ready."""

    def __call__(
        self,
        prefix: str,
        *,
        relays: int = 1,
        made: int = 0,
        wait: bool = True,
        applied: bool = False,
    ) -> AbstractContextManager[Server]:
        """Give it, running; ``applied`` if Fairlane's leases are in its database."""
        ...


def servers(plan: Plan) -> Iterator[Start]:
    """Give Fairlane, and each Kea that can run here."""

    def start_fairlane(
        prefix: str,
        *,
        relays: int = 1,
        made: int = 0,
        wait: bool = True,
        applied: bool = False,
    ) -> AbstractContextManager[Server]:
        return _fairlane(plan.folder, prefix, relays, made, wait, applied)

    yield start_fairlane
    for leases in plan.peers:
        if why := kea_peer.missing(leases):
            print(f"  Kea {leases}: not measured: {why}")
            continue

        def start_kea(
            prefix: str,
            *,
            relays: int = 1,
            made: int = 0,
            wait: bool = True,
            applied: bool = False,
            leases: Leases = leases,
        ) -> AbstractContextManager[Server]:
            return _kea(leases, prefix, relays, made, wait)

        yield start_kea


def _network(prefix: str, relays: int) -> str:
    """Write a network file: an area with a pool for lines that have no service."""
    rows = "".join(
        f'[[relay]]\nname = "relay-{n}"\narea = "bench"\n'
        f'giaddr = "127.0.0.{n}"\nsources = ["127.0.0.1"]\n'
        for n in range(1, relays + 1)
    )
    return (
        f'[[area]]\nname = "bench"\n{rows}[[pool]]\nname = "pool"\narea = "bench"\n'
        f'walled_garden = true\nprefixes = ["{prefix}"]\nlease_seconds = 3600\n'
    )


@contextlib.contextmanager
def _fairlane(
    folder: Path, prefix: str, relays: int, made: int, wait: bool, applied: bool
) -> Iterator[Server]:
    daemon = FairlaneDaemon(
        folder,
        network=_network(prefix, relays),
        dhcp=_SETTINGS,
        environment={"DHCP_REPLY_TO_SOURCE": "1"},
    )
    try:
        if made:
            # The database is there, as at any start but the first.
            daemon.start()
            daemon.stop()
            made = _journal(daemon.folder, made)
            if applied:
                _apply(daemon.folder / "data")
        started = time.perf_counter()
        daemon.start(wait=wait)
        if wait:
            places = {"ipserver": _SERVER, "ledger": _LOAD, "radius": _LOAD}
            daemon.pin(places | {"control": _LOAD}, idle=frozenset({"ledger"}))
        yield Server(
            "Fairlane",
            daemon.dhcp_port,
            lambda: daemon.cpu_seconds("ipserver 0"),
            lambda: daemon.memory("ipserver 0"),
            made,
            started,
            lambda: daemon.cpu_seconds("ledger 0"),
        )
    finally:
        daemon.close()


@contextlib.contextmanager
def _kea(
    leases: Leases, prefix: str, relays: int, made: int, wait: bool
) -> Iterator[Server]:
    network = IPNetwork(prefix)
    first, last = network.first + 16, network.last - 5  # some that a router has
    made = min(made, last - first + 1)
    with (
        kea_peer.database(leases) as port,
        KeaPeer(
            leases,
            prefix=prefix,
            pool=(first, last),
            relays=relays,
            made=made,
            database_port=port,
            cpus=_SERVER,
            wait=wait,
        ) as peer,
    ):
        yield Server(
            f"Kea {leases}",
            peer.port,
            peer.cpu_seconds,
            peer.memory,
            made,
            peer.started,
            answers_to=peer.client_port,
        )


def _journal(folder: Path, count: int) -> int:
    """Journal leases as the address server does, without the packets; count them."""
    served = load_network(folder / "network.toml")
    now = time.time()
    allocation = Allocation(LeaseSettings(), random=random.random, now=now)
    allocation.change_network(served, now)
    writer = JournalWriter(folder / "data/journal/ipserver", file_bytes=64 << 20)
    relay = int.from_bytes(socket.inet_aton("127.0.0.1"))
    records: list[bytes] = []
    made = 0

    def write() -> None:
        writer.append(
            b"".join(records), records=len(records), received_at_ns=time.time_ns()
        )
        records.clear()

    while made < count:
        hardware = b"\1" + (0x02FE00000000 + made).to_bytes(6)
        circuit = b"ge-0/0/%d:%d" % (made % 48, made)
        agent = Agent(bytes((1, len(circuit))) + circuit, circuit)
        ask = Ask(
            Message.DISCOVER, "bench", relay, relay, agent, b"", hardware, 0, 0, False
        )
        offer = allocation.answer(ask, now)
        if not isinstance(offer, Offer):
            break  # all that there is
        chosen = replace(ask, message=Message.SELECTING, address=offer.lease.address)
        ack = allocation.answer(chosen, now)
        assert isinstance(ack, Ack)
        assert ack.record is not None
        records.append(ack.record)
        made += 1
        if len(records) == 5000:
            write()
    if records:
        write()
    writer.close()
    return made


def _apply(data: Path) -> None:
    """Bring the leases of the journal into the database, as the ledger role does."""
    reader = JournalReader(data / "journal/ipserver")
    with contextlib.closing(open_database("sqlite", data)) as database:
        ledger = LeaseLedger(database, Settings())
        while blocks := reader.read(ledger.positions.get("ipserver", 1), 5000):
            ledger.apply("ipserver", blocks)
    reader.close()


def first_offer(server: Server) -> float:
    """Send DISCOVERs until one is answered; give the seconds since the start."""
    header = struct.pack(
        "!BBBBIHH4s4s4s4s16s192s",
        *(1, 1, 6, 1, 7, 0, 0),
        *[bytes(4)] * 3,
        socket.inet_aton("127.0.0.1"),
        b"\2bench",
        b"",
    )
    packet = header + b"\x63\x82\x53\x63" + b"\x35\x01\x01\xff"
    deadline = time.perf_counter() + _FIRST_ANSWER_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", server.answers_to))
        sock.connect(("127.0.0.1", server.port))
        sock.settimeout(0.05)
        while time.perf_counter() < deadline:
            with contextlib.suppress(ConnectionRefusedError, TimeoutError):
                sock.send(packet)
                if sock.recv(2048)[:1] == b"\2":
                    return time.perf_counter() - server.started
    raise RuntimeError("no answer after the start")
