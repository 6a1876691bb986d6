"""ISC's perfdhcp, run once and read: what was sent, answered and lost.

It stands for a relay: it sends from one address and one port, with its own address as
giaddr, or with one of a list of them. Servers under test are told to answer to where a
request came from (Kea has KEA_TEST_SEND_RESPONSES_TO_SOURCE, Fairlane
DHCP_REPLY_TO_SOURCE).

It receives in a thread of its own, as it does by itself where there are processors. Its
socket buffer of 277 replies or so overflows when a server answers a commit's requests
together, as relays' do not that share the load; so it is given a wider one. What still
overflows the kernel counts for each socket, so it is told apart from what the server
owes.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Exchange", "Run", "free_port", "run"]

_PERFDHCP = shutil.which("perfdhcp", path="/usr/sbin:/usr/bin") or "perfdhcp"
_EXCHANGE = re.compile(
    r"\*\*\*Statistics for: ([A-Z-]+(?: \(renewal\))?)\*\*\*\n(.*?)(?=\n\*\*\*|\Z)",
    re.DOTALL,
)
_DRAIN_MICROSECONDS = 1_000_000
_LOOK_SECONDS = 0.2
"""Less than it drains at the end, so that the last look sees all."""
_LONGEST_SECONDS = 300.0
_BUFFER_OCTETS = 8 << 20
_OPEN_SECONDS = 0.002
_SO_RCVBUFFORCE = 33
_INODE, _DROPS = 9, 12
"""Columns of /proc/net/udp."""
_PIDFD_GETFD = 438
"""The number of the system call, on every machine; Python has no name for it."""

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One half of a four-way exchange, or a renewal; times in seconds."""

    sent: int
    received: int
    not_unique: int
    mean_seconds: float

    @property
    def lost(self) -> int:
        """Requests without an answer within a second."""
        return self.sent - self.received


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run saw; ``cpu_seconds`` is the generator's own, ``overflowed`` are the
    replies that its socket had no room for."""

    seconds: float
    overflowed: int
    cpu_seconds: float
    exchanges: dict[str, Exchange]
    output: str

    @property
    def done(self) -> int:
        """Four-way exchanges that ended with an ACK."""
        return self.exchanges["REQUEST-ACK"].received

    @property
    def answered(self) -> int:
        """Replies of any kind."""
        return sum(exchange.received for exchange in self.exchanges.values())

    @property
    def lost(self) -> int:
        """Requests of any kind without an answer."""
        return sum(exchange.lost for exchange in self.exchanges.values())


def run(
    port: int,
    *,
    clients: int,
    own_port: int = 0,
    rate: int = 0,
    seconds: float = 0.0,
    options: Sequence[str] = (),
    cpus: str = "",
) -> Run:
    """Run perfdhcp against a server on a loopback port.

    ``clients`` are told apart by hardware address. ``rate`` exchanges a second are
    begun for ``seconds``; without them, ``options`` say what to do. ``own_port`` is
    where answers go, any when 0. ``cpus`` are processors as taskset takes them.
    """
    own = own_port or free_port()
    command = [*(("taskset", "-c", cpus) if cpus else ()), _PERFDHCP, "-4"]
    command += ["-g", "multi", "-R", str(clients), "-W", str(_DRAIN_MICROSECONDS)]
    if rate:
        command += ["-r", str(rate), "-p", str(round(seconds))]
    command += ["-L", str(own), "-N", str(port), *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    # 3 says that some exchanges were not completed, which is what is measured.
    process = subprocess.Popen(
        [*command, "-l", "127.0.0.1", "127.0.0.1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _widen(process, own)
    overflowed = 0
    while True:
        try:
            output, errors = process.communicate(timeout=_LOOK_SECONDS)
            break
        except subprocess.TimeoutExpired:
            overflowed = max(overflowed, _drops(own))
            if time.perf_counter() - started > _LONGEST_SECONDS:
                process.kill()
    took = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    exchanges = {
        name: Exchange(
            sent=_number(body, "sent packets"),
            received=_number(body, "received packets"),
            not_unique=_number(body, "non unique addresses"),
            mean_seconds=_milliseconds(body) / 1e3,
        )
        for name, body in _EXCHANGE.findall(output)
    }
    if not exchanges:
        raise RuntimeError(f"perfdhcp: {output[-2000:]}{errors[-2000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(
        seconds=took,
        overflowed=overflowed,
        cpu_seconds=cpu,
        exchanges=exchanges,
        output=output,
    )


def _widen(process: subprocess.Popen[str], port: int) -> None:
    """Make the receive buffer of the generator's socket wider, once it is open.

    Its own process may take a copy of a child's descriptor; past the kernel's
    ``rmem_max`` only root may go.
    """
    while not (rows := _sockets(port)) and process.poll() is None:
        time.sleep(_OPEN_SECONDS)
    names = {f"socket:[{row[_INODE]}]" for row in rows}
    pidfd = os.pidfd_open(process.pid)
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        if str(entry.readlink()) not in names:
            continue
        copy = _libc.syscall(_PIDFD_GETFD, pidfd, int(entry.name), 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), "perfdhcp's socket cannot be reached")
        option = _SO_RCVBUFFORCE if os.geteuid() == 0 else socket.SO_RCVBUF
        with socket.socket(fileno=copy) as its:
            its.setsockopt(socket.SOL_SOCKET, option, _BUFFER_OCTETS)
    os.close(pidfd)


def _drops(port: int) -> int:
    """Give what the kernel dropped at the sockets of a local port: they were full."""
    return sum(int(row[_DROPS]) for row in _sockets(port))


def _sockets(port: int) -> list[list[str]]:
    """Give the kernel's rows of the UDP sockets that are bound to a local port."""
    rows = [row.split() for row in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return [row for row in rows if row[1].endswith(f":{port:04X}")]


def free_port() -> int:
    """Find a UDP port that nothing uses now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _number(body: str, name: str) -> int:
    found = re.search(rf"^{name}: (\d+)", body, re.MULTILINE)
    return int(found[1]) if found else 0


def _milliseconds(body: str) -> float:
    found = re.search(r"^avg delay: ([\d.]+) ms", body, re.MULTILINE)
    return float(found[1]) if found else 0.0
