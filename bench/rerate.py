"""Usage rated again in a dry run: records a second.

    python -m bench.rerate [--records 1000000] [--data DIR]

Sessions of two ISPs with a tiered retail tariff with an allowance and a wholesale
tariff by volume; the usage is in the database, and nothing of it was booked, so that
every record makes a difference. Another process fills the database, which is not in
the time and not in the peak memory.
"""

# ruff: noqa: S608  what is put into statements is our own tables' and columns' names
from __future__ import annotations

import argparse
import gc
import resource
import shutil
import tempfile
import time
from multiprocessing import Process
from pathlib import Path
from typing import Any

from sqlalchemy import text

from config.network import Network
from config.offers import Offering, Service
from config.parties import Isp
from config.tariffs import Allowance, Rate, Tariff, Tier, Version
from daemon.role import GC_THRESHOLDS
from rating.months import span_of
from services.rerated_usage import own_service
from services.rerating import dry_run
from storage.database import Database, migrate, open_database
from storage.sessions import insert_sessions, insert_usage
from storage.tables import SESSION_COLUMNS, USAGE_COLUMNS, USAGE_RUN, usage

_MONTH = "2026-11"
_SERVICES = 10_000
_ISPS = ("aurora", "borealis")
_BY_SESSION = next(i for i in usage.indexes if i.name == "usage_by_session_id")
_KEPT = ", ".join(USAGE_COLUMNS[4:])
# What the sessions used once, again and later: a row so costs a tenth of one from here.
_AGAIN = text(
    f"INSERT INTO usage (id, session_id, started_at, ended_at, {_KEPT})"
    " SELECT id + :behind, session_id, started_at + :later, ended_at + :later,"
    f" {_KEPT} FROM usage WHERE id <= {_SERVICES} AND id <= :last"
)
_RUNS = text(
    "INSERT INTO usage_run (run, latest_end)"
    " SELECT id / :run, max(ended_at) FROM usage WHERE true GROUP BY id / :run"
    " ON CONFLICT (run) DO UPDATE SET latest_end = excluded.latest_end"
)


def _network() -> Network:
    home = Version(
        valid_from="2026-01-01",
        rate=(
            Rate(
                name="volume",
                measure="sum",
                price="0.10",
                per="1 GB",
                tiers=(Tier(above="500 GB", price="0.05"),),
            ),
        ),
        allowance=(Allowance(name="included", quantity="10 GB", rates=("volume",)),),
    )
    wholesale = Version(
        valid_from="2026-01-01",
        rate=(Rate(name="transit", measure="sum", price="0.01", per="1 GB"),),
    )
    common: dict[str, Any] = {"currency": "EUR", "zone": "Europe/Oslo"}
    return Network(
        isp=tuple(Isp(name=name, wholesale="wholesale") for name in _ISPS),
        tariff=(
            *(Tariff(name=i, isp=i, version=(home,), **common) for i in _ISPS),
            Tariff(name="wholesale", version=(wholesale,), **common),
        ),
        offering=tuple(
            Offering(name=i, isp=i, down_kbps=1, up_kbps=1, tariff=i) for i in _ISPS
        ),
        service=tuple(
            Service(
                name=f"service-{n}",
                isp=_ISPS[n % 2],
                line=f"line-{n}",
                user_names=(f"sub{n}@example",),
                offering=_ISPS[n % 2],
            )
            for n in range(_SERVICES)
        ),
    )


def fill(database: Database, records: int) -> None:
    """Write the usage of a month, as the ledger would have, into an empty database."""
    migrate(database)
    at = span_of("Europe/Oslo", _MONTH).starts_at
    zero = dict.fromkeys(
        ("seconds", "input_octets", "output_octets", "input_packets", "output_packets"),
        0,
    )
    rows = []
    for number in range(1, _SERVICES + 1):
        values: dict[str, Any] = dict.fromkeys(SESSION_COLUMNS) | zero
        values |= {"id": number, "nas": "bng1", "nas_identity": "bng1"}
        values |= {
            "acct_session_id": f"S-{number}",
            "state": "open",
            "points": b"",
            "tenant": "network",
        }
        values |= {"user_name": f"sub{number - 1}@example", "started_at": at}
        values |= {"service": f"service-{number - 1}"}
        values |= {"started_derived": "reported", "last_seen_at": at}
        rows.append(tuple((values | {"last_arrival_at": at}).values()))
    figures = (600, 12_345_678, 123_456_789, 10_000, 100_000)
    first = [
        (n, n, at, at + 600, *figures, "reported", 1, "aurora")
        for n in range(1, min(_SERVICES, records) + 1)
    ]
    with database.write.begin() as connection:
        # An index of sessions in turn grows at every page; it is made after the rows.
        _BY_SESSION.drop(connection)
        insert_sessions(connection, rows)
        insert_usage(connection, first)
        for behind in range(_SERVICES, records, _SERVICES):
            of_all = {"behind": behind, "later": behind // _SERVICES * 600 % 2_500_000}
            connection.execute(_AGAIN, of_all | {"last": records - behind})
    with database.write.begin() as connection:
        connection.execute(_RUNS, {"run": USAGE_RUN})
        _BY_SESSION.create(connection)


def _fill_in(folder: Path, records: int) -> None:
    database = open_database("sqlite", folder)
    fill(database, records)
    database.close()


def main() -> None:
    """Print the figures for SQLite."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--records", type=int, default=1_000_000)
    options.add_argument("--data", metavar="DIR", help="where the SQLite file goes")
    given = options.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fairlane-bench-", dir=given.data))
    try:
        filling = Process(target=_fill_in, args=(folder, given.records))
        filling.start()
        filling.join()
        database = open_database("sqlite", folder)
        network = _network()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)
        wall, cpu = time.perf_counter(), time.process_time()
        result = dry_run(database, network, own_service, _MONTH)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"{result.usages:,} usage records rated again, retail and wholesale")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"  {result.usages / wall:,.0f}/s; {cpu / result.usages * 1e6:.1f} us CPU;"
            f" peak memory {peak:,.0f} MiB"
        )
        for difference in result.differences():
            print(f"  {difference}")
        database.close()
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
