"""How fast Fairlane gives addresses, beside Kea in the same minute.

    python -m bench.dhcp [--quick] [--only NAME ...]

The load is ISC's perfdhcp on loopback, one relay at 127.0.0.1, one pool, leases of an
hour, no client twice. The server has processor 0, perfdhcp processor 1, where
Fairlane's ledger runs only in the time that perfdhcp leaves. Rows:

* `exchanges`: the highest of a row of rates at which no packet of a run is lost, and
  the server's CPU seconds for 1,000 leases there. Fairlane has each lease on the disk
  (fdatasync) before the ACK; Kea with memfile has written it and not synced it, with
  PostgreSQL synced it. `ipserver` is the role that answers; what the ledger writes to
  SQL later is told beside it.
* `renewals`: the same for renewals (perfdhcp -f) of leases made in the run, at four
  fifths of the exchanges' rate; CPU is told for 1,000 answers of whatever kind.
* `full`: CPU seconds for 1,000 exchanges of new clients with the pool empty and 99 %
  full, and for 1,000 DISCOVERs with it full.
* `avalanche`: 50,000 clients behind ten relays, all at once, until each has its lease.
* `restart`: seconds from the start of the process until the first OFFER with 1,000,000
  leases in the journal, and resident bytes a lease.

Each server begins anew for each row; what each row took is said behind it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from bench import kea_peer, perfdhcp
from bench.accounting import Report, sync_seconds
from bench.fairlane_daemon import FairlaneDaemon
from bench.kea_peer import KeaPeer, Leases
from bench.perfdhcp import Run
from config.loader import load_network
from config.schema import LeaseSettings
from ipserver.allocation import Allocation
from ipserver.answer import Ack, Offer
from ipserver.ask import Agent, Ask, Message
from storage.journal import JournalWriter

_ROWS = ("exchanges", "renewals", "full", "avalanche", "restart")
_RATES = tuple(range(500, 16_001, 500))
_WIDE, _WIDE_POOL = "10.0.0.0/8", "10.0.0.16 - 10.255.255.250"
_NARROW, _NARROW_POOL = "10.0.0.0/16", "10.0.0.16 - 10.0.255.250"
_NARROW_SIZE = 65_536 - 3
_SERVER, _LOAD = {0}, {1}
_FIRST_ANSWER_SECONDS = 120.0
_SETTINGS = "line_per_second = 1000\nrelay_per_second = 1000000\n"


@dataclass(frozen=True, slots=True)
class Server:
    """A server under test: its port, and the processor time it has used."""

    name: str
    port: int
    cpu_seconds: Callable[[], float]
    aside_seconds: Callable[[], float] = lambda: 0.0
    answers_to: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure, and for how long."""

    seconds: float
    leases: int
    lines: int
    folder: Path


def network(prefix: str, relays: int = 1) -> str:
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
def fairlane(plan: Plan, prefix: str, relays: int = 1) -> Iterator[Server]:
    """Run a Fairlane, its roles in their places."""
    with FairlaneDaemon(
        plan.folder,
        network=network(prefix, relays),
        dhcp=_SETTINGS,
        environment={"DHCP_REPLY_TO_SOURCE": "1"},
    ) as daemon:
        places = {"ipserver": _SERVER, "ledger": _LOAD, "radius": _LOAD}
        daemon.pin(places | {"control": _LOAD}, idle=frozenset({"ledger"}))
        yield Server(
            "Fairlane",
            daemon.dhcp_port,
            lambda: daemon.cpu_seconds("ipserver 0"),
            lambda: daemon.cpu_seconds("ledger 0"),
        )


@contextlib.contextmanager
def kea(leases: Leases, prefix: str, pool: str) -> Iterator[Server]:
    """Run a Kea on the server's processor."""
    with (
        kea_peer.database(leases) as port,
        KeaPeer(
            leases, prefix=prefix, pool=pool, database_port=port, cpus=_SERVER
        ) as peer,
    ):
        yield Server(
            f"Kea {leases}",
            peer.port,
            peer.cpu_seconds,
            answers_to=peer.client_port,
        )


def _servers(plan: Plan, prefix: str, pool: str) -> Iterator[Callable[[], object]]:
    yield lambda: fairlane(plan, prefix)
    for leases in Leases:
        if why := kea_peer.missing(leases):
            print(f"  Kea {leases}: not measured: {why}")
        else:
            yield lambda leases=leases: kea(leases, prefix, pool)


def _load(
    server: Server, rate: int, seconds: float, *options: str
) -> tuple[Run, float]:
    """Run perfdhcp; give what it saw and the server's processor time meanwhile."""
    before = server.cpu_seconds()
    run = perfdhcp.run(
        server.port,
        clients=50_000_000,
        own_port=server.answers_to,
        rate=rate,
        seconds=seconds,
        options=["-b", f"mac=02:{random.randbytes(5).hex(':')}", *options],
        cpus="1",
    )
    return run, server.cpu_seconds() - before


def exchanges(plan: Plan, report: Report) -> None:
    """Four-way exchanges a second without loss."""
    for make in _servers(plan, _WIDE, _WIDE_POOL):
        with make() as server:  # type: ignore[attr-defined]
            _highest(plan, report, server, "exchanges", "REQUEST-ACK", 0)


def renewals(plan: Plan, report: Report) -> None:
    """Renewals a second without loss, beside exchanges at a fifth of their rate."""
    for make in _servers(plan, _WIDE, _WIDE_POOL):
        with make() as server:  # type: ignore[attr-defined]
            _highest(plan, report, server, "renewals", "REQUEST-ACK (renewal)", 4)


def _highest(
    plan: Plan, report: Report, server: Server, what: str, counted: str, part: int
) -> None:
    """Step through the rates from the middle, up without loss and down with it."""
    best: tuple[float, str] | None = None
    low, high = 0, len(_RATES) - 1
    while low <= high:
        middle = (low + high + 1) // 2
        rate = _RATES[middle]
        options = ("-f", str(rate * part // (part + 1))) if part else ()
        aside = server.aside_seconds()
        run, cpu = _load(server, rate, plan.seconds, *options)
        aside = server.aside_seconds() - aside
        found = run.exchanges.get(counted)
        done = found.received if found else 0
        served, of = (run.answered, " answers") if part else (done, "")
        remark = (
            f"at {rate:,}/s asked: {run.lost:,} of"
            f" {sum(e.sent for e in run.exchanges.values()):,} lost,"
            f" mean {run.exchanges['REQUEST-ACK'].mean_seconds * 1e3:.1f} ms,"
            f" {cpu / max(served, 1) * 1e3:.3f} CPU s for 1,000{of}"
            + (f" and {aside / max(served, 1) * 1e3:.3f} to SQL" if aside else "")
            + f", perfdhcp {run.cpu_seconds / run.seconds:.0%} of a processor"
        )
        print(f"    {server.name}: {remark}", flush=True)
        if run.lost:
            high = middle - 1
        else:
            best, low = (done / plan.seconds, remark), middle + 1
    name = f"{server.name}, {what} without loss"
    report.add(name, *((best[0], "/s", best[1]) if best else (0.0, "/s", "none")))


def full(plan: Plan, report: Report) -> None:
    """What an exchange costs with the pool empty, nearly full and full."""
    for make in _servers(plan, _NARROW, _NARROW_POOL):
        with make() as server:  # type: ignore[attr-defined]
            rate = 800 if "postgresql" in server.name else 4000
            filling = _NARROW_SIZE * 98 // 100
            if "postgresql" in server.name:
                print("    Kea postgresql: filling takes a minute; not measured")
                continue
            run, cpu = _load(server, rate, 1)
            name = f"{server.name}, CPU for 1,000"
            report.add(f"{name} exchanges, empty", cpu / run.done * 1e3, "s")
            run, _ = _load(server, rate, (filling - run.done) / rate)
            run, cpu = _load(server, 500, 1)
            remark = f"{run.lost} lost"
            report.add(f"{name} exchanges, 99 %", cpu / run.done * 1e3, "s", remark)
            _load(server, 4000, 1)  # takes the rest
            run, cpu = _load(server, 2000, 2, "-i")
            sent = run.exchanges["DISCOVER-OFFER"].sent
            remark = f"{run.exchanges['DISCOVER-OFFER'].received} offers"
            report.add(f"{name} DISCOVERs, full", cpu / sent * 1e3, "s", remark)


def avalanche(plan: Plan, report: Report) -> None:
    """Everybody at once through ten relays, until all have their leases."""
    relays = plan.folder / "relays.txt"
    relays.write_text("".join(f"127.0.0.{n}\n" for n in range(1, 11)))
    try:
        with fairlane(plan, _WIDE, relays=10) as server:
            before = server.cpu_seconds()
            run = perfdhcp.run(
                server.port,
                clients=plan.lines,
                options=["--scenario", "avalanche", "-J", str(relays)],
                cpus="1",
            )
            cpu = server.cpu_seconds() - before
        report.add(
            f"Fairlane, avalanche of {plan.lines:,} lines",
            run.seconds,
            "s",
            f"{run.done:,} leases, {cpu / max(run.done, 1) * 1e3:.3f} CPU s for 1,000",
        )
    finally:
        relays.unlink()


def restart(plan: Plan, report: Report) -> None:
    """The first answer with many leases in the journal, and what each costs."""
    daemon = FairlaneDaemon(
        plan.folder,
        network=network(_WIDE),
        dhcp=_SETTINGS,
        environment={"DHCP_REPLY_TO_SOURCE": "1"},
    )
    try:
        daemon.start()
        bare = daemon.memory("ipserver 0")
        daemon.stop()
        made = _journal(daemon.folder, plan.leases)
        print(f"    {made:,} leases journaled", flush=True)
        started = time.perf_counter()
        daemon.start(wait=False)
        _first_offer(daemon.dhcp_port)
        report.add(
            f"Fairlane, first answer with {made:,} leases",
            time.perf_counter() - started,
            "s",
        )
        grown = daemon.memory("ipserver 0") - bare
        report.add("Fairlane, memory of a lease", grown / made, "B")
    finally:
        daemon.close()


def _journal(folder: Path, count: int) -> int:
    """Journal leases as the address server does, without the packets."""
    served = load_network(folder / "network.toml")
    now = time.time()
    allocation = Allocation(LeaseSettings(), random=random.random, now=now)
    allocation.change_network(served, now)
    writer = JournalWriter(folder / "data/journal/ipserver", file_bytes=64 << 20)
    relay = int.from_bytes(socket.inet_aton("127.0.0.1"))
    records: list[bytes] = []
    for number in range(count):
        hardware = b"\1" + (0x020000000000 + number).to_bytes(6)
        circuit = b"ge-0/0/%d:%d" % (number % 48, number)
        agent = Agent(bytes((1, len(circuit))) + circuit, circuit)
        ask = Ask(
            Message.DISCOVER, "bench", relay, relay, agent, b"", hardware, 0, 0, False
        )
        offer = allocation.answer(ask, now)
        assert isinstance(offer, Offer)
        chosen = replace(ask, message=Message.SELECTING, address=offer.lease.address)
        ack = allocation.answer(chosen, now)
        assert isinstance(ack, Ack)
        assert ack.record is not None
        records.append(ack.record)
        if len(records) == 5000 or number == count - 1:
            writer.append(
                b"".join(records), records=len(records), received_at_ns=time.time_ns()
            )
            records.clear()
    writer.close()
    return count


def _first_offer(port: int) -> None:
    """Send DISCOVERs until one is answered."""
    header = struct.pack(
        "!BBBBIHH4s4s4s4s16s192s",
        1,
        1,
        6,
        1,
        7,
        0,
        0,
        *[bytes(4)] * 3,
        socket.inet_aton("127.0.0.1"),
        b"\2bench",
        b"",
    )
    packet = header + b"\x63\x82\x53\x63" + b"\x35\x01\x01\xff"
    deadline = time.perf_counter() + _FIRST_ANSWER_SECONDS
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        sock.settimeout(0.05)
        while time.perf_counter() < deadline:
            with contextlib.suppress(ConnectionRefusedError, TimeoutError):
                sock.send(packet)
                if sock.recv(2048)[:1] == b"\2":
                    return
    raise RuntimeError("no answer after the restart")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.dhcp",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--quick", action="store_true", help="2 s a run, 100,000 leases to restart with"
    )
    add("--only", action="append", choices=_ROWS, help="these rows (may be repeated)")
    add("--seconds", type=float, help="seconds of load a run (5)")
    add("--leases", type=int, help="leases of the restart (1,000,000)")
    add(
        "--lines", type=int, default=50_000, help="lines of the avalanche (%(default)s)"
    )
    add("--folder", type=Path, default=Path(tempfile.gettempdir()), help="for the data")
    return parser


def main() -> int:
    """Measure the rows and print the table."""
    chosen = _arguments().parse_args()
    plan = Plan(
        seconds=chosen.seconds or (2.0 if chosen.quick else 5.0),
        leases=chosen.leases or (100_000 if chosen.quick else 1_000_000),
        lines=chosen.lines,
        folder=chosen.folder,
    )
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} processors, fdatasync"
        f" {sync_seconds(plan.folder) * 1e3:.2f} ms in {plan.folder}"
    )
    measures = {
        "exchanges": exchanges,
        "renewals": renewals,
        "full": full,
        "avalanche": avalanche,
        "restart": restart,
    }
    report = Report()
    for name in chosen.only or _ROWS:
        print(name, flush=True)
        began = time.perf_counter()
        measures[name](plan, report)
        print(f"    {name} took {time.perf_counter() - began:.0f} s", flush=True)
    print(report.table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
