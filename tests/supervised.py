"""A daemon of our own for tests: the real supervisor, with small or real roles.

The small roles answer every datagram with who they are, so that a test sees which
generation of roles served it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from free_ports import free_port

from daemon.control_socket import NotRunning, ask
from daemon.dependents import ending_with_parent
from daemon.role import RoleContext

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 30.0
SMALL_ROLES = {
    "radius": "supervised:echo",
    "ipserver": "supervised:idle",
    "ledger": "supervised:idle",
    "control": "supervised:idle",
}


async def echo(role: RoleContext) -> None:
    """Answer each datagram with our process, the settings and what was asked.

    "die" ends the process, "hang" stops its loop, "trace" tells a trace event.
    """
    await role.ready()
    role.beat_status.update(healthy=True, detail={"journal": "writable"})
    loop = asyncio.get_running_loop()
    mark = role.settings.radius.duplicate_seconds

    def readable(sock: socket.socket) -> None:
        while True:
            try:
                octets, peer = sock.recvfrom(4096)
            except BlockingIOError:
                return
            if octets == b"die":
                os._exit(3)
            if octets == b"hang":
                os.kill(os.getpid(), signal.SIGSTOP)
            if octets == b"trace":
                role.emit_trace({"nas": "bng1", "user": "ann", "decision": "told"})
            sock.sendto(f"{os.getpid()} {mark} ".encode() + octets, peer)

    for sock in role.sockets["accounting"]:
        loop.add_reader(sock, readable, sock)
    await role.stopping.wait()
    for sock in role.sockets["accounting"]:
        readable(sock)
        loop.remove_reader(sock)


async def slow_to_prepare(role: RoleContext) -> None:
    """Answer as ``echo`` does, but take two seconds to prepare after a reload."""
    if role.settings.radius.duplicate_seconds != 15:
        await asyncio.sleep(2)
    await echo(role)


async def idle(role: RoleContext) -> None:
    """Be well and do nothing."""
    await role.ready()
    role.beat_status.update(healthy=True, detail={})
    await role.stopping.wait()


async def unwell(role: RoleContext) -> None:
    """Serve, and say that the store cannot be written."""
    await role.ready()
    role.beat_status.update(healthy=False, detail={"journal": "disk full"})
    await role.stopping.wait()


async def stubborn(role: RoleContext) -> None:
    """Never drain."""
    await role.ready()
    role.beat_status.update(healthy=True, detail={})
    await asyncio.Event().wait()


@dataclass
class Daemon:
    """A running ``fairlane run``."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    configuration: Path
    accounting: tuple[str, int]
    http: tuple[str, int]
    log: Path

    def status(self) -> dict[str, Any]:
        """Ask the control socket; {} while nobody answers."""
        try:
            return next(ask(self.data_dir, {"command": "status"}), {})
        except (NotRunning, OSError):
            return {}

    def role(self, label: str) -> dict[str, Any]:
        """One role's part of the status."""
        roles = self.status().get("roles", [])
        return next((role for role in roles if role["role"] == label), {})

    def wait(self, what: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until ``what`` gives something true, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = what()
            if found:
                return found
            if self.process.poll() is not None:
                raise AssertionError(f"the daemon ended:\n{self.log.read_text()}")
            time.sleep(0.05)
        raise AssertionError(f"not within {seconds} s:\n{self.log.read_text()}")

    def wait_ready(self) -> dict[str, Any]:
        """Wait until the daemon is ready and return its status."""
        self.wait(lambda: self.status().get("ready"))
        return self.status()

    def send(self, sock: socket.socket, text: str) -> None:
        """Send one datagram to the accounting socket."""
        sock.sendto(text.encode(), self.accounting)

    def ask(self, text: str) -> list[str]:
        """Send one datagram and return the words of the answer."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(PATIENCE_SECONDS)
            self.send(sock, text)
            return sock.recv(4096).decode().split()

    def configure(self, settings: str) -> None:
        """Write a new configuration and ask for it with SIGHUP."""
        self.configuration.write_text(settings)
        self.process.send_signal(signal.SIGHUP)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)


def settings_text(
    data_dir: Path, accounting: int, http: int, *, mark: int = 15, workers: int = 1
) -> str:
    """Write a configuration; ``mark`` is what the small roles answer with."""
    return f"""
data_dir = "{data_dir}"
[radius]
authentication_listen = []
accounting_listen = ["127.0.0.1:{accounting}"]
duplicate_seconds = {mark}
workers = {workers}
[dhcp]
listen = []
[http]
listen = "127.0.0.1:{http}"
"""


@contextmanager
def running(
    folder: Path,
    *options: str,
    targets: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    workers: int = 1,
    extra: str = "",
) -> Iterator[Daemon]:
    """Run a daemon in ``folder``; with ``targets`` in the place of the real roles."""
    accounting, http = free_port(), free_port()
    configuration = folder / "fairlane.toml"
    data_dir = folder / "data"
    text = settings_text(data_dir, accounting, http, workers=workers) + extra
    configuration.write_text(text)
    log = folder / "log"
    environ = {**os.environ, **(environment or {})}
    environ["PYTHONPATH"] = f"{ROOT}:{Path(__file__).parent}"
    environ["TEST_TARGETS"] = json.dumps(targets or {})
    with log.open("ab") as output:
        process = subprocess.Popen(
            ending_with_parent(
                [
                    *(sys.executable, "-W", "error::ResourceWarning"),
                    *("-m", "supervised", "run", "-c", str(configuration)),
                    *options,
                ],
                signal.SIGKILL,
            ),
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environ,
            cwd=folder,
        )
    daemon = Daemon(
        process=process,
        data_dir=data_dir,
        configuration=configuration,
        accounting=("127.0.0.1", accounting),
        http=("127.0.0.1", http),
        log=log,
    )
    try:
        yield daemon
    finally:
        for role in daemon.status().get("roles", []):
            if role["pid"] not in (0, process.pid):
                os.kill(role["pid"], signal.SIGCONT)
        if process.poll() is None:
            process.kill()
        process.wait(PATIENCE_SECONDS)


if __name__ == "__main__":
    from daemon import role as role_module
    from daemon.cli import main

    role_module.ROLES.update(json.loads(os.environ["TEST_TARGETS"]))
    main()
