"""A private Fairlane for the benchmarks: configured, started, watched and ended.

It is the same command that operators run, `fairlane run -c FILE`, with one receiver
on a free loopback port, SQLite unless told, and data in its own folder. What they
know of it they know as an operator does: from /readyz, from /metrics, from /proc and by
reading its database.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

from daemon.dependents import ending_with_parent
from storage.database import open_database

__all__ = ["SECRET", "FairlaneDaemon", "Totals"]

SECRET = "bench secret of some length"
_ROOT = Path(__file__).parent.parent
_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_POLL_SECONDS = 0.2

Totals = tuple[int, int, int]
"""Seconds, input octets and output octets, summed over all sessions."""


class FairlaneDaemon:
    """One Fairlane in a folder below `parent`; `start` and `stop` at will.

    `network` is added to the network file; with None there is no such file, and what is
    in its database is the network. `dhcp` are settings; with any, DHCP is
    served at `dhcp_port`. `environment` is added to the daemon's.
    """

    def __init__(
        self,
        parent: Path | None = None,
        *,
        network: str | None = "",
        dhcp: str = "",
        database: str = "sqlite",
        environment: dict[str, str] | None = None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fairlane-bench-", dir=parent))
        self.address = "127.0.0.1", _free_port(socket.SOCK_DGRAM)
        self.authentication = "127.0.0.1", _free_port(socket.SOCK_DGRAM)
        self.dhcp_port = _free_port(socket.SOCK_DGRAM)
        self._database = database
        self._environment = environment or {}
        self.http_port = _free_port(socket.SOCK_STREAM)
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = self.folder / "fairlane.toml"
        self._settings.write_text(
            f"""data_dir = "{self.folder}/data"
database = "{database}"
network = "{self.folder / "network.toml" if network is not None else ""}"
[radius]
authentication_listen = ["127.0.0.1:{self.authentication[1]}"]
accounting_listen = ["127.0.0.1:{self.address[1]}"]
workers = 1
[dhcp]
listen = {[f"127.0.0.1:{self.dhcp_port}"] if dhcp else []}
{dhcp}
[http]
listen = "127.0.0.1:{self.http_port}"
"""
        )
        (self.folder / "network.toml").write_text(
            f"""[[nas]]
name = "bng1"
address = "127.0.0.1/32"
secret = "{SECRET}"
"""
            + (network or "")
        )
        (self.folder / "data").mkdir()

    def __enter__(self) -> Self:
        """Started and ready."""
        try:
            self.start()
        except BaseException:
            # Whoever failed to enter never leaves.
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, *, wait: bool = True) -> None:
        """Start it; with `wait`, return when /readyz says so."""
        assert self._process is None
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ending_with_parent(
                    [
                        *(sys.executable, "-m", "daemon.cli"),
                        *("run", "-c", str(self._settings)),
                    ],
                    signal.SIGKILL,
                ),
                cwd=_ROOT,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,
            )
        if wait:
            self._wait_until_ready()

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL to the supervisor and all of its roles at once."""
        assert self._process is not None
        for process in [self._process.pid, *self.roles().values()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """Stop it and remove its folder."""
        self.stop()
        shutil.rmtree(self.folder)

    def command(self, *words: str) -> str:
        """Run another command of `fairlane` with its configuration; what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli", *words, "-c", str(self._settings)],
            cwd=_ROOT,
            capture_output=True,
            check=True,
            text=True,
        )
        return done.stdout

    def roles(self) -> dict[str, int]:
        """The process of each role: `radius 0`, `ledger 0`, `control 0`."""
        assert self._process is not None
        supervisor = Path(f"/proc/{self._process.pid}/task")
        found: dict[str, int] = {}
        for children in supervisor.glob("*/children"):
            for child in map(int, children.read_text().split()):
                words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
                if "daemon.role" in words:
                    at = words.index("daemon.role")
                    found[" ".join(words[at + 1 : at + 3])] = child
        return found

    def pin(self, cpus: dict[str, set[int]], *, idle: frozenset[str]) -> None:
        """Bind each role to processors, by the first word of its name.

        Roles in `idle` get only the time that nothing else on these wants.
        """
        for role, process in self.roles().items():
            kind = role.split()[0]
            for task in Path(f"/proc/{process}/task").iterdir():
                if kind in cpus:
                    os.sched_setaffinity(int(task.name), cpus[kind])
                if kind in idle:
                    os.sched_setscheduler(
                        int(task.name), os.SCHED_IDLE, os.sched_param(0)
                    )

    def memory(self, role: str) -> int:
        """Resident bytes (VmRSS) of a role and what it started."""
        return sum(
            int(line.split()[1]) * 1024
            for process in self._processes(role)
            for line in Path(f"/proc/{process}/status").read_text().splitlines()
            if line.startswith("VmRSS:")
        )

    def cpu_seconds(self, role: str) -> float:
        """Processor time that a role has used, in user and kernel, and what it
        started."""
        used = 0
        for process in self._processes(role):
            stat = Path(f"/proc/{process}/stat").read_text()
            words = stat.rpartition(")")[2].split()
            used += int(words[11]) + int(words[12])
        return used / os.sysconf("SC_CLK_TCK")

    def _processes(self, role: str) -> list[int]:
        own = self.roles()[role]
        started = Path(f"/proc/{own}/task").glob("*/children")
        return [
            own,
            *(int(child) for path in started for child in path.read_text().split()),
        ]

    def metric(self, name: str) -> float:
        """A metric of all roles, summed over its labels; 0 when it is not there yet."""
        _, text = self._get("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        )

    def lag(self) -> int:
        """Records that are journaled and not yet in the database."""
        return int(self.metric("fairlane_journal_lag_records"))

    def applied(self) -> int:
        """Accounting reports that the ledger has applied since the daemon's start."""
        return int(self.metric("fairlane_accounting_reports_total"))

    def wait_until_applied(self, reports: int, *, seconds: float = 600.0) -> float:
        """Wait until so many reports are applied and nothing lags; returns when.

        The time is of `time.perf_counter`.
        """
        deadline = time.perf_counter() + seconds
        while True:
            applied, lag = self.applied(), self.lag()
            now = time.perf_counter()
            if applied >= reports and not lag:
                return now
            if now > deadline:
                raise RuntimeError(f"{applied} of {reports} applied, {lag} lag")
            self._pause()

    def totals(self, table: str) -> tuple[int, Totals]:
        """Rows of the table `session` or `usage`, and their sums, from the database."""
        database = open_database(self._database, self.folder / "data")
        with contextlib.closing(database), database.read.connect() as connection:
            rows, *sums = connection.exec_driver_sql(
                "SELECT count(*), coalesce(sum(seconds), 0),"  # noqa: S608
                " coalesce(sum(input_octets), 0), coalesce(sum(output_octets), 0)"
                f" FROM {table}"
            ).one()
        return rows, (int(sums[0]), int(sums[1]), int(sums[2]))

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        assert self._process is not None
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self._get("/readyz")[0] == 200:
                    return
            self._pause()
        text = (self.folder / "log").read_text(errors="replace")
        raise RuntimeError(f"Fairlane is not ready:\n{text[-4000:]}")

    def _pause(self) -> None:
        """Between two looks; returns early when the daemon ends."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_POLL_SECONDS)
            raise RuntimeError(
                "Fairlane ended:\n"
                + (self.folder / "log").read_text(errors="replace")[-4000:]
            )

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
