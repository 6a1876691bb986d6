"""A real daemon for the tests that need one: the operator's command in its own folder.

What the tests know of it they know as an operator, a NAS or a database client does.
Nothing waits blindly: readiness comes over NOTIFY_SOCKET, all else is polled for with a
deadline.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from free_ports import free_port
from prometheus_client.parser import text_string_to_metric_families
from radius_packets import SECRET
from sqlalchemy import select

from daemon.control_socket import ask as ask_control
from daemon.dependents import ending_with_parent
from radius.packet import is_response_authentic
from radius.records import RecordReader
from storage.database import open_database
from storage.journal import JournalReader
from storage.tables import session as session_table
from storage.tables import usage as usage_table

ROOT = Path(__file__).parent.parent.parent
START_SECONDS = 180.0

NAS = f"""
[[nas]]
name = "bng1"
address = "127.0.0.1/32"
secret = "{SECRET.decode()}"
[[nas]]
name = "bng6"
address = "::1/128"
secret = "{SECRET.decode()}"
"""


def wait_until(
    true: Callable[[], object], seconds: float = 20.0, every: float = 0.05
) -> None:
    """Poll until ``true()`` is, or fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        pause.wait(every)


class Daemon:
    """One daemon in ``folder``; start, stop and kill it at will.

    ``listen`` are the addresses for both RADIUS ports; ``settings`` is TOML by table.
    ``prefix`` is a command that runs it, for fault injection.
    """

    def __init__(
        self,
        folder: Path,
        *,
        network: str = NAS,
        listen: tuple[str, ...] = ("127.0.0.1",),
        database: str = "sqlite",
        data_dir: Path | None = None,
        settings: dict[str, str] | None = None,
        prefix: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        single: bool = False,
    ) -> None:
        self.folder = folder
        self.data_dir = data_dir or folder / "data"
        self.configuration = folder / "fairlane.toml"
        self.network = folder / "network.toml"
        self.log = folder / "log"
        self.database = database
        self.listen = listen
        self.accounting_port = free_port()
        self.authentication_port = free_port()
        self.dhcp_port = free_port()
        self.http_port = free_port()
        self.prefix = prefix
        self.single = ("--single",) if single else ()
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None
        self._reader: Any = None
        self._notified: socket.socket | None = None
        self.network.write_text(network)
        self.configure(settings or {})

    def configure(self, settings: dict[str, str]) -> None:
        """Write the configuration; ``settings`` adds lines to its tables."""
        tables = {"radius": "", "journal": "", "accounting": "", "log": "", "dhcp": ""}
        tables |= settings
        hosts = [f"[{a}]" if ":" in a else a for a in self.listen]
        accounting = [f"{host}:{self.accounting_port}" for host in hosts]
        authentication = [f"{host}:{self.authentication_port}" for host in hosts]
        self.configuration.write_text(
            f'data_dir = "{self.data_dir}"\ndatabase = "{self.database}"\n'
            f'network = "{self.network}"\n'
            f'[http]\nlisten = "127.0.0.1:{self.http_port}"\n'
            f"[radius]\naccounting_listen = {accounting}\n"
            f"authentication_listen = {authentication}\n"
            + tables.pop("radius")
            + f'\n[dhcp]\nlisten = ["127.0.0.1:{self.dhcp_port}"]\n'
            + tables.pop("dhcp")
            + "".join(f"\n[{name}]\n{text}\n" for name, text in tables.items() if text)
        )

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
        """Start it; with ``wait``, return when it has said READY=1."""
        assert self.process is None
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notified.bind(b"\0fairlane-test-" + os.urandom(8).hex().encode())
        address = self._notified.getsockname()[1:].decode()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                ending_with_parent(
                    [
                        *self.prefix,
                        *(sys.executable, "-m", "daemon.cli"),
                        *("run", "-c", str(self.configuration), *self.single),
                    ],
                    signal.SIGKILL,
                ),
                cwd=ROOT,
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    **self.environment,
                    "NOTIFY_SOCKET": "@" + address,
                },
                start_new_session=True,
            )
        if wait:
            self.wait_for_notice("READY=1")

    def wait_for_notice(self, wanted: str, seconds: float = START_SECONDS) -> None:
        """Wait until it has told its service manager so."""
        assert self.process is not None
        assert self._notified is not None
        deadline = time.monotonic() + seconds
        self._notified.settimeout(0.2)
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if wanted in self._notified.recv(4096).decode().split("\n"):
                    return
            if self.process.poll() is not None:
                break
        msg = f"no {wanted}: {self.log.read_text(errors='replace')[-4000:]}"
        raise AssertionError(msg)

    def run(self, *words: str) -> str:
        """Run another command with this configuration and give its output."""
        done = subprocess.run(
            [sys.executable, "-m", "daemon.cli", *words, "-c", self.configuration],
            cwd=ROOT,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def stop(self, seconds: float = 10.0) -> int:
        """Send SIGTERM, wait for the end, and give the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(seconds)
        finally:
            self.kill()
        return code

    def kill(self) -> None:
        """Send SIGKILL to the supervisor and every role in one moment."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self._forget()

    def kill_supervisor(self) -> None:
        """Send SIGKILL to the supervisor alone: the roles end by themselves."""
        assert self.process is not None
        self.process.kill()
        self._forget()

    def _forget(self) -> None:
        if self.process is not None:
            self.process.wait()
            self.process = None
        if self._notified is not None:
            self._notified.close()
            self._notified = None

    def close(self) -> None:
        """End it in any case."""
        self.kill()
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # --- what it says of itself ----------------------------------------------

    def status(self) -> dict[str, Any]:
        """Give what ``fairlane status --json`` prints."""
        answer = next(ask_control(self.data_dir, {"command": "status"}))
        assert isinstance(answer, dict)
        return answer

    def pids(self) -> dict[str, int]:
        """Give the process of each role: radius-0, ledger, control; 0 for none."""
        return {role["role"]: role["pid"] for role in self.status()["roles"]}

    def get(self, path: str) -> tuple[int, str]:
        """GET over HTTP: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def readiness(self) -> int:
        """Give the status of /readyz, 0 while nobody answers."""
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get("/readyz")[0]
        return 0

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric over its labels but those that are given."""
        _, text = self.get("/metrics")
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def resident_bytes(self, role: str) -> int:
        """Give the resident memory of a role."""
        status = Path(f"/proc/{self.pids()[role]}/status").read_text()
        line = next(x for x in status.splitlines() if x.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024

    # --- what it has ---------------------------------------------------------

    def _rows(self, table: Any) -> list[dict[str, Any]]:
        if self._reader is None:
            self._reader = open_database(self.database, self.data_dir)
        with self._reader.read.connect() as connection:
            found = connection.execute(select(table).order_by(table.c.id))
            return [dict(row._mapping) for row in found]

    def sessions(self) -> list[dict[str, Any]]:
        """Read every session."""
        return self._rows(session_table)

    def usage(self) -> list[dict[str, Any]]:
        """Read every usage record."""
        return self._rows(usage_table)

    def journal(self) -> list[bytes]:
        """Read the packets of every receiver's journal."""
        packets: list[bytes] = []
        take_apart = RecordReader().read
        for folder in sorted((self.data_dir / "journal").glob("radius-*")):
            reader = JournalReader(folder)
            for block in reader.read(1, 1 << 40):
                packets += [packet for _, packet in take_apart(block.octets)]
            reader.close()
        return packets

    def applied(self) -> bool:
        """Say whether the database has all that the journals have."""
        for folder in sorted((self.data_dir / "journal").iterdir()):
            reader = JournalReader(folder)
            position = self._positions().get(folder.name, 1)
            behind = reader.backlog(position).records
            reader.close()
            if behind:
                return False
        return True

    def _positions(self) -> dict[str, int]:
        from storage.sessions import read_positions

        if self._reader is None:
            self._reader = open_database(self.database, self.data_dir)
        with self._reader.read.connect() as connection:
            return dict(read_positions(connection))


class NasSocket:
    """A NAS's socket towards one port: sends, hears, and sends again."""

    def __init__(
        self, port: int, address: str = "127.0.0.1", source: str | None = None
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address = address, port
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        if source is not None:
            self.socket.bind((source, 0))
        self.heard_from: Any = None
        self.tries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def send(self, packet: bytes) -> None:
        """Send once, waiting for nothing."""
        self.socket.sendto(packet, self.address)

    def hear(self, seconds: float) -> bytes | None:
        """Give the next answer, or None after ``seconds``."""
        self.socket.settimeout(seconds)
        try:
            answer, self.heard_from = self.socket.recvfrom(8192)
        except (TimeoutError, BlockingIOError):
            return None
        return answer

    def ask(
        self,
        packet: bytes,
        secret: bytes = SECRET,
        *,
        seconds: float = 1.0,
        tries: int = 10,
    ) -> bytes:
        """Send until the right answer comes, the same octets each time."""
        for self.tries in range(1, tries + 1):
            self.send(packet)
            deadline = time.monotonic() + seconds
            while (left := deadline - time.monotonic()) > 0:
                answer = self.hear(left)
                if answer and is_response_authentic(answer, packet, secret):
                    return answer
        msg = f"no answer in {tries} tries"
        raise AssertionError(msg)


@contextlib.contextmanager
def running(folder: Path, **options: Any) -> Iterator[Daemon]:
    """Run a daemon for a moment."""
    daemon = Daemon(folder, **options)
    with daemon:
        yield daemon
