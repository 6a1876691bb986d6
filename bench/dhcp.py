"""How fast Fairlane gives addresses, beside Kea in the same minute.

    python -m bench.dhcp [--quick] [--only NAME ...] [--peer NAME ...]

The load is ISC's perfdhcp on loopback, one relay at 127.0.0.1, one pool, leases of an
hour, no client twice. The server has processor 0, perfdhcp processor 1, where
Fairlane's ledger runs only in the time that perfdhcp leaves. Rows:

* `exchanges`: the highest of a row of rates at which no packet of a run is lost, and
  the server's CPU seconds for 1,000 leases. Rates that perfdhcp itself does not come to
  are not tried; what is lost in its own buffer is told.
  Fairlane has each lease on the disk (fdatasync) before the ACK; Kea with memfile has
  written it and not synced it, with PostgreSQL synced it. `ipserver` is the role that
  answers; what the ledger writes to SQL later is told beside it, what PostgreSQL uses
  for Kea is not counted.
* `capacity`: the same asked by `bench.dhcp_load`, which takes a tenth of perfdhcp's
  processor time for an exchange, so that it is the server that is full first.
* `renewals`: the same for renewals (perfdhcp -f) of leases made in the run, at four
  fifths of the exchanges' rate; CPU is told for 1,000 answers of whatever kind.
* `full`: CPU seconds for 1,000 exchanges of new clients with the pool empty and 99 %
  full, and for 1,000 DISCOVERs with it full, of a pool of 131,072 addresses.
* `avalanche`: 50,000 clients behind ten relays, all at once, until each has its lease.
* `restart`: seconds from the start of the process until the first OFFER with 1,000,000
  leases, and resident bytes a lease where they are in memory. Fairlane's are all in its
  journal, which its ledger applies at the same time; then, "applied", in its database.

Each server begins anew for each row; what each row took is said behind it. At the end
stands each figure of Fairlane's by each Kea's, so that more is better.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import dhcp_load, perfdhcp
from bench.accounting import sync_seconds
from bench.dhcp_servers import Plan, Server, first_offer, servers
from bench.kea_peer import Leases
from bench.perfdhcp import Run
from bench.rows import Report

_ROWS = ("exchanges", "capacity", "renewals", "full", "avalanche", "restart")
_RATES = (100, 250, *range(500, 16_001, 500))
_ASKED = 0.97
"""The part of a rate that perfdhcp has to come to."""
_WIDE = "10.0.0.0/8"
_NARROW, _NARROW_SIZE = "10.0.0.0/15", 131_072
_NARROW_LEFT = 1300
"""Addresses free in it where it is said to be 99 % full: for 1,200 exchanges."""


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
    for start in servers(plan):
        with start(_WIDE) as server:
            _highest(plan, report, server, "exchanges", "REQUEST-ACK", 0)


def renewals(plan: Plan, report: Report) -> None:
    """Renewals a second without loss, beside exchanges at a fifth of their rate."""
    for start in servers(plan):
        with start(_WIDE) as server:
            _highest(plan, report, server, "renewals", "REQUEST-ACK (renewal)", 4)


def _highest(
    plan: Plan, report: Report, server: Server, what: str, counted: str, part: int
) -> None:
    """Find the highest rate that perfdhcp asks and loses nothing of."""
    best: tuple[float, float, str] | None = None

    def without_loss(rate: int) -> bool:
        nonlocal best
        options = ("-f", str(rate * part // (part + 1))) if part else ()
        aside = server.aside_seconds()
        run, cpu = _load(server, rate, plan.seconds, *options)
        aside = server.aside_seconds() - aside
        found = run.exchanges.get(counted)
        done = found.received if found else 0
        served = max(run.answered if part else done, 1)
        remark = (
            f"at {rate:,}/s asked: {run.lost:,} of"
            f" {sum(e.sent for e in run.exchanges.values()):,} lost"
            f" ({run.overflowed:,} in perfdhcp's own buffer),"
            f" mean {run.exchanges['REQUEST-ACK'].mean_seconds * 1e3:.1f} ms,"
            f" {cpu / served * 1e3:.3f} CPU s for 1,000"
            + (f" and {aside / served * 1e3:.3f} to SQL" if aside else "")
            + f", perfdhcp {run.cpu_seconds / run.seconds:.0%} of a processor"
        )
        print(f"    {server.name}: {remark}", flush=True)
        if not run.lost and (best is None or done / plan.seconds > best[0]):
            best = done / plan.seconds, cpu / served * 1e3, remark
        begun = run.exchanges["DISCOVER-OFFER"].sent
        return not run.lost and begun >= _ASKED * rate * plan.seconds

    _step(without_loss)
    if best is None:
        report.add(f"{what} without loss, {server.name}", 0.0, "/s", "none")
        return
    each = "answers" if part else "leases"
    report.add(f"{what} without loss, {server.name}", best[0], "/s", best[2])
    report.add(f"CPU for 1,000 {each} of these, {server.name}", best[1], "s")


def _step(without_loss: Callable[[int], bool]) -> None:
    """Step through the rates from the middle, up without loss and down with it."""
    low, high = 0, len(_RATES) - 1
    while low <= high:
        middle = (low + high + 1) // 2
        if without_loss(_RATES[middle]):
            low = middle + 1
        else:
            high = middle - 1


def capacity(plan: Plan, report: Report) -> None:
    """Four-way exchanges a second without loss, by the generator that costs little."""
    for start in servers(plan):
        with start(_WIDE) as server:
            best: tuple[int, str] = 0, "none"

            def without_loss(rate: int, server: Server = server) -> bool:
                nonlocal best
                before, aside = server.cpu_seconds(), server.aside_seconds()
                run = dhcp_load.run(
                    server.port,
                    own_port=server.answers_to,
                    rate=rate,
                    seconds=plan.seconds,
                    cpus="1",
                )
                cpu, aside = (
                    server.cpu_seconds() - before,
                    server.aside_seconds() - aside,
                )
                remark = (
                    f"at {rate:,}/s asked: {run.lost:,} of"
                    f" {run.discovers + run.requests:,} lost, mean"
                    f" {run.mean_seconds * 1e3:.1f} ms,"
                    f" {cpu / max(run.acks, 1) * 1e3:.3f} CPU s for 1,000"
                    f" and {aside / max(run.acks, 1) * 1e3:.3f} to SQL, generator"
                    f" {run.cpu_seconds / run.seconds:.0%} of a processor,"
                    f" {run.late_seconds * 1e3:.0f} ms late at most"
                )
                print(f"    {server.name}: {remark}", flush=True)
                assert not run.twice, "two clients have one address"
                if not run.lost and run.acks / plan.seconds > best[0]:
                    best = round(run.acks / plan.seconds), remark
                return not run.lost

            _step(without_loss)
        report.add(f"capacity without loss, {server.name}", best[0], "/s", best[1])


def full(plan: Plan, report: Report) -> None:
    """What an exchange costs with the pool empty, nearly full and full."""
    for start in servers(plan):
        for part, made in (("empty", 0), ("99 % full", _NARROW_SIZE - _NARROW_LEFT)):
            with start(_NARROW, made=made) as server:
                run, cpu = _load(server, 400, 3)
            name = f"CPU for 1,000 exchanges, pool {part}, {server.name}"
            remark = f"{run.done} done, {run.lost} lost, {server.made:,} before"
            report.add(name, cpu / max(run.done, 1) * 1e3, "s", remark)
        with start(_NARROW, made=_NARROW_SIZE) as server:
            run, cpu = _load(server, 1000, 3, "-i")
        asked = run.exchanges["DISCOVER-OFFER"]
        name = f"CPU for 1,000 DISCOVERs, pool full, {server.name}"
        remark = f"{asked.received} offers, {server.made:,} before"
        report.add(name, cpu / asked.sent * 1e3, "s", remark)


def avalanche(plan: Plan, report: Report) -> None:
    """Everybody at once through ten relays, until all have their leases."""
    relays = plan.folder / "relays.txt"
    relays.write_text("".join(f"127.0.0.{n}\n" for n in range(1, 11)))
    try:
        for start in servers(plan):
            with start(_WIDE, relays=10) as server:
                before = server.cpu_seconds()
                run = perfdhcp.run(
                    server.port,
                    own_port=server.answers_to,
                    clients=plan.lines,
                    options=["--scenario", "avalanche", "-J", str(relays)],
                    cpus="1",
                )
                cpu = server.cpu_seconds() - before
            spent = cpu / max(run.done, 1) * 1e3
            remark = f"{run.done:,} leases, {spent:.3f} CPU s for 1,000"
            name = f"avalanche of {plan.lines:,} lines, {server.name}"
            report.add(name, run.seconds, "s", remark)
    finally:
        relays.unlink()


def restart(plan: Plan, report: Report) -> None:
    """The first answer with many leases, and what each costs."""
    for start in servers(plan):
        with start(_WIDE) as server:
            bare = server.memory()
        with start(_WIDE, made=plan.leases, wait=False) as server:
            seconds = first_offer(server)
            grown = server.memory() - bare
        name = f"first answer with {server.made:,} leases, {server.name}"
        report.add(name, seconds, "s")
        if server.name == "Fairlane":
            # What an operator's restart finds; above, the ledger has yet to apply them.
            with start(_WIDE, made=plan.leases, wait=False, applied=True) as server:
                seconds = first_offer(server)
            name = f"first answer with {server.made:,} leases applied, Fairlane"
            report.add(name, seconds, "s")
        if "postgresql" not in server.name:
            name = f"memory of a lease, {server.name}"
            report.add(name, grown / server.made, "B")


def ratios(report: Report) -> str:
    """Fairlane's figures by each Kea's, so that more is better."""
    found: dict[str, dict[str, float]] = {}
    for name, figure, unit, _ in report.rows:
        measure, _, server = name.rpartition(", ")
        # Of seconds and octets fewer are better.
        value = figure if unit == "/s" else 1 / figure if figure else 0.0
        found.setdefault(measure, {})[server] = value
    lines = ["Fairlane's by Kea's; more is better:"]
    for measure, values in found.items():
        ours = values.pop("Fairlane", 0.0)
        told = ", ".join(
            f"{ours / value:.2f} ({server})" if ours and value else f"- ({server})"
            for server, value in values.items()
        )
        if told:
            lines.append(f"  {measure}: {told}")
    return "\n".join(lines)


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
    add(
        "--peer",
        action="append",
        type=Leases,
        choices=tuple(Leases),
        help="beside these Keas (may be repeated; all)",
    )
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
        peers=tuple(chosen.peer or Leases),
    )
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} processors, fdatasync"
        f" {sync_seconds(plan.folder) * 1e3:.2f} ms in {plan.folder}"
    )
    measures = {
        "exchanges": exchanges,
        "capacity": capacity,
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
    print(ratios(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
