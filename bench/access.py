"""Access-Requests a second: Fairlane, and FreeRADIUS with PostgreSQL, in one run.

    python -m bench.access [--seconds 10] [--subscribers 20000] [--only fairlane]

PAP with a Message-Authenticator, from many source ports, a closed loop with a window;
each request has its own authenticator, so that no answer comes from a cache. Fairlane
is one receiver whose services were applied to its SQL database; FreeRADIUS 3.2 looks
the user up in PostgreSQL with the package's own queries. One answer in sixteen is
verified. Only Access-Accepts count.
"""

from __future__ import annotations

import argparse
import contextlib
import hmac
import os
import select
import socket
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.fairlane_daemon import SECRET as FAIRLANE_SECRET
from bench.fairlane_daemon import FairlaneDaemon
from bench.freeradius_access import SECRET as FREERADIUS_SECRET
from bench.freeradius_access import FreeradiusAccess, missing
from radius.packet import Code, attribute, is_response_authentic
from radius.passwords import hide_password

_PASSWORD = "a password of the bench"
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class AccessResult:
    """What one run saw."""

    accepted: int
    seconds: float
    retransmissions: int
    others: int
    """Answers that were no Access-Accept, or did not verify."""
    p50_seconds: float
    p99_seconds: float

    def line(self) -> str:
        """One line for people."""
        return (
            f"{self.accepted / self.seconds:,.0f} accepts/s  "
            f"p50 {self.p50_seconds * 1e3:.2f} ms  p99 {self.p99_seconds * 1e3:.2f} ms"
            f"  accepted {self.accepted:,}  again {self.retransmissions:,}"
            f"  others {self.others:,}"
        )


def requests(subscribers: int, count: int, secret: bytes) -> list[bytes]:
    """Make signed PAP requests of the subscribers in turn; identifiers go round."""
    made = []
    for number in range(count):
        authenticator = os.urandom(16)
        user = f"sub{number % subscribers}@aurora.example".encode()
        hidden = hide_password(_PASSWORD.encode(), secret, authenticator)
        body = attribute(1, user) + attribute(2, hidden) + attribute(87, b"ge-0/0/1:7")
        length = (38 + len(body)).to_bytes(2)
        head = bytes((Code.ACCESS_REQUEST, number & 255)) + length + authenticator
        blank = b"\x50\x12" + bytes(16)
        signature = hmac.digest(secret, head + blank + body, "md5")
        made.append(head + b"\x50\x12" + signature + body)
    return made


class _Source:
    """One source port with what it has outstanding, by identifier."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(target)
        self.socket.setblocking(False)
        self.waiting: dict[int, tuple[bytes, float]] = {}


def load(
    target: tuple[str, int],
    made: list[bytes],
    secret: bytes,
    *,
    seconds: float,
    sources: int = 32,
    window: int = 8,
) -> AccessResult:
    """Send until the time or the requests are used up, and count what is accepted."""
    ports = [_Source(target) for _ in range(sources)]
    poll = select.epoll()
    by_descriptor = {port.socket.fileno(): port for port in ports}
    for descriptor in by_descriptor:
        poll.register(descriptor, select.EPOLLIN)
    feed = iter(made)
    latencies: list[float] = []
    accepted = again = others = answers = 0
    started = time.perf_counter()
    deadline = started + seconds

    def fill(port: _Source, now: float) -> None:
        while len(port.waiting) < window and now < deadline:
            packet = next(feed, None)
            if packet is None:
                return
            port.waiting[packet[1]] = packet, now
            port.socket.send(packet)

    for port in ports:
        fill(port, started)
    next_sweep = started + _RETRY_SECONDS
    while any(port.waiting for port in ports):
        for descriptor, _ in poll.poll(0.05):
            port = by_descriptor[descriptor]
            now = time.perf_counter()
            while True:
                try:
                    answer = port.socket.recv(4096)
                except BlockingIOError:
                    break
                request, sent_at = port.waiting.pop(answer[1], (b"", 0.0))
                if not request:
                    continue  # the answer to a retransmission
                answers += 1
                good = answer[0] == Code.ACCESS_ACCEPT
                if good and not answers & 15:
                    good = is_response_authentic(answer, request, secret)
                accepted += good
                others += not good
                latencies.append(now - sent_at)
            fill(port, now)
        now = time.perf_counter()
        if now >= next_sweep:
            next_sweep = now + _RETRY_SECONDS / 4
            for port in ports:
                for packet, sent_at in port.waiting.values():
                    if now - sent_at >= _RETRY_SECONDS:
                        again += 1
                        port.socket.send(packet)
        if now > deadline + 5:
            break
    took = min(time.perf_counter(), deadline) - started
    for port in ports:
        port.socket.close()
    latencies.sort()
    at = len(latencies) - 1
    return AccessResult(
        accepted, took, again, others, latencies[at // 2], latencies[at * 99 // 100]
    )


def network(subscribers: int, limit: int) -> str:
    """The services of the subscribers; with a limit, each session is counted."""
    lines = [
        '[[area]]\nname = "harbour"\n[[isp]]\nname = "aurora"\n'
        '[[pool]]\nname = "p"\narea = "harbour"\nisp = "aurora"\n'
        'prefixes = ["100.64.0.0/10"]\n[[offering]]\nname = "o"\nisp = "aurora"\n'
        "down_kbps = 500000\nup_kbps = 100000\n"
        + (f"simultaneous_use = {limit}\n" if limit else "")
    ]
    lines += [
        f'[[line]]\nname = "l{n}"\narea = "harbour"\ncircuit_id = "c{n}"\n'
        f'[[service]]\nname = "s{n}"\nisp = "aurora"\nline = "l{n}"\noffering = "o"\n'
        f'user_names = ["sub{n}@aurora.example"]\npassword = "{_PASSWORD}"\n'
        for n in range(subscribers)
    ]
    return "".join(lines)


@contextlib.contextmanager
def _fairlane(subscribers: int, limit: int) -> Iterator[tuple[str, int]]:
    daemon = FairlaneDaemon(network=network(subscribers, limit))
    with daemon:
        yield daemon.authentication


@contextlib.contextmanager
def _freeradius(subscribers: int) -> Iterator[tuple[str, int]]:
    with FreeradiusAccess(subscribers, _PASSWORD) as peer:
        yield peer.address


def main() -> int:
    """Measure each and print a line and the ratio."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.access",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--subscribers", type=int, default=20_000)
    parser.add_argument("--rate-bound", type=int, default=30_000)
    parser.add_argument(
        "--only",
        action="append",
        choices=["fairlane", "limited", "freeradius"],
        help="may be given again",
    )
    chosen = parser.parse_args()
    rates: dict[str, float] = {}
    for name in chosen.only or ["fairlane", "limited", "freeradius"]:
        secret = FREERADIUS_SECRET if name == "freeradius" else FAIRLANE_SECRET
        if name == "freeradius" and (why := missing()):
            print(f"freeradius not measured: {why}")
            continue
        count = int(chosen.seconds * chosen.rate_bound)
        made = requests(chosen.subscribers, count, secret.encode())
        served = (
            _freeradius(chosen.subscribers)
            if name == "freeradius"
            else _fairlane(chosen.subscribers, 1_000 if name == "limited" else 0)
        )
        with served as target:
            load(target, made[:5000], secret.encode(), seconds=3.0)
            result = load(target, made[5000:], secret.encode(), seconds=chosen.seconds)
        rates[name] = result.accepted / result.seconds
        print(f"{name:10} {result.line()}", flush=True)
    if {"fairlane", "freeradius"} <= rates.keys():
        ratio = rates["fairlane"] / rates["freeradius"]
        print(f"Fairlane answers {ratio:.1f} times as many")
    return 0


if __name__ == "__main__":
    sys.exit(main())
