"""A private FreeRADIUS from Debian's package that authenticates out of PostgreSQL.

The users are in the package's own schema and found by the package's own queries: a
password in `radcheck`, a rate in `radreply`. Nothing is written for a request.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

from bench import freeradius_peer
from bench.freeradius_peer import Records, durable_postgresql, prepare_database

__all__ = ["SECRET", "FreeradiusAccess", "missing"]

SECRET = "testing123"
_PROGRAM = Path("/usr/sbin/freeradius")
_QUERIES = Path("/etc/freeradius/3.0/mods-config/sql/main/postgresql/queries.conf")
_USER = "freerad"
_START_SECONDS = 20


def missing() -> str:
    """Why this peer cannot run here; empty when it can."""
    return freeradius_peer.missing(Records.SQL)


class FreeradiusAccess:
    """One FreeRADIUS with its PostgreSQL; both end with the `with` block."""

    def __init__(self, subscribers: int, password: str) -> None:
        self._subscribers, self._password = subscribers, password
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self.address: tuple[str, int] = probe.getsockname()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Started, with its users in the database."""
        try:
            database = self._stack.enter_context(durable_postgresql())
            port = prepare_database(database)
            self._fill(port)
            self._start(port)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _fill(self, port: int) -> None:
        import psycopg

        url = f"postgresql://fairlane@127.0.0.1:{port}/radius"
        with psycopg.connect(url) as connection:
            last = (self._subscribers - 1,)
            connection.execute(
                "INSERT INTO radcheck (username, attribute, op, value)"
                " SELECT 'sub' || n || '@aurora.example', 'Cleartext-Password', ':=',"
                " %s::text FROM generate_series(0, %s) AS n",
                (self._password, *last),
            )
            connection.execute(
                "INSERT INTO radreply (username, attribute, op, value)"
                " SELECT 'sub' || n || '@aurora.example', 'Mikrotik-Rate-Limit', '=',"
                " '100000k/500000k' FROM generate_series(0, %s) AS n",
                last,
            )
            connection.commit()
            connection.autocommit = True
            connection.execute("ANALYZE")

    def _start(self, port: int) -> None:
        folder = Path(tempfile.mkdtemp(prefix="fairlane-freeradius-"))
        self._stack.callback(shutil.rmtree, folder)
        (folder / "radiusd.conf").write_text(self._configuration(folder, port))
        (folder / "dictionary").write_text("")
        if os.geteuid() == 0:
            for path in (folder, *folder.iterdir()):
                shutil.chown(path, _USER, _USER)
        log = folder / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [_PROGRAM, "-d", folder, "-f", "-l", "stdout"],
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        deadline = time.monotonic() + _START_SECONDS
        while "Ready to process requests" not in log.read_text(errors="replace"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                break
            if time.monotonic() > deadline:
                break
        else:
            return
        text = log.read_text(errors="replace")
        raise RuntimeError(f"FreeRADIUS did not start:\n{text[-4000:]}")

    def _configuration(self, folder: Path, port: int) -> str:
        as_user = f"user = {_USER}\n    group = {_USER}" if os.geteuid() == 0 else ""
        return f"""
name = peer
libdir = /usr/lib/freeradius
run_dir = {folder}
logdir = {folder}
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
thread pool {{
    start_servers = 5
    max_servers = 32
    min_spare_servers = 3
    max_spare_servers = 10
    max_requests_per_server = 0
}}
client loopback {{
    ipaddr = 127.0.0.1
    secret = "{SECRET}"
}}
modules {{
    expr {{ }}
    pap {{ }}
    sql {{
        driver = "rlm_sql_postgresql"
        dialect = "postgresql"
        server = "127.0.0.1"
        port = {port}
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
        read_clients = no
        read_groups = no
        pool {{
            start = 5
            min = 3
            max = 32
            spare = 10
            uses = 0
            lifetime = 0
        }}
        $INCLUDE {_QUERIES}
    }}
}}
server peer {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {self.address[1]}
        recv_buff = 16777216
    }}
    authorize {{
        sql
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
    }}
}}
"""
