"""Four-way exchanges with a DHCP server at a rate, by a generator that costs little.

    python -m bench.dhcp_load --port P [--own-port P] [--rate N] [--seconds S]

ISC's perfdhcp takes more of a processor for an exchange than what it measures, so on
two processors it is the first to be full. This asks for the same, a lease for a client
that was never seen, through a relay at 127.0.0.1, and takes a tenth of that: packets
that are due together are handed to the kernel together (UDP_SEGMENT), and replies that
came together are taken together (UDP_GRO). The server gets each as a datagram.

The loop is open: a DISCOVER is sent when it is due, whatever the server does, within
two milliseconds; a REQUEST follows its OFFER at once. An answer counts if it comes
within a second, as perfdhcp has it. No address may be given twice. It prints what was
sent, answered and lost as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

__all__ = ["Exchanges", "Load", "run"]

_UDP_SEGMENT, _UDP_GRO = 103, 104
"""Options of Linux's UDP that Python has no names for."""
_SEGMENTS = 64
"""The kernel's most datagrams a call."""
_RCVBUFFORCE = 33
_BUFFER_OCTETS = 8 << 20
_TICK_SECONDS = 0.002
_LATE_SECONDS = 1.0

_HEAD = b"\1\1\6\1%b" + bytes(16) + b"\x7f\0\0\1%b" + bytes(202) + b"\x63\x82\x53\x63"
"""A relayed BOOTREQUEST of Ethernet, to be given its xid and its hardware address."""
_WANTED = bytes((55, 5, 1, 3, 6, 28, 51))
"""Parameter Request List: mask, router, DNS, broadcast address, lease time."""
_DISCOVER = _HEAD + b"\x35\1\1" + _WANTED + b"\xff"
_REQUEST = _HEAD + b"\x35\1\3\x36\4%b\x32\4%b" + _WANTED + b"\xff"
_OFFER, _ACK = 2, 5
_OPTIONS_AT, _XID, _YIADDR = 240, slice(4, 8), slice(16, 20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanges:
    """What one run saw. ``lost`` are requests of either kind without an answer within a
    second, ``late_seconds`` is the latest that a DISCOVER was sent after it was due,
    ``cpu_seconds`` the generator's own; times are in seconds.
    """

    seconds: float
    discovers: int
    offers: int
    requests: int
    acks: int
    lost: int
    refused: int
    twice: int
    mean_seconds: float
    late_seconds: float
    cpu_seconds: float


class Load:
    """The clients of one run, by the number that each has as its xid."""

    def __init__(self, port: int, own_port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        option = _RCVBUFFORCE if os.geteuid() == 0 else socket.SO_RCVBUF
        self._socket.setsockopt(socket.SOL_SOCKET, option, _BUFFER_OCTETS)
        self._socket.setsockopt(socket.SOL_UDP, _UDP_GRO, 1)
        self._socket.bind(("127.0.0.1", own_port))
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)
        self._hardware = b"\x02" + random.randbytes(2)
        self._first = random.getrandbits(31)
        self._asked: list[float] = []
        self._requested: dict[int, float] = {}
        self._offered = bytearray()
        self._leased: set[bytes] = set()
        self._server = b""
        self._waited = self._late = 0.0
        self._offers = self._acks = self._overdue = self._refused = self._twice = 0

    def run(self, rate: float, seconds: float) -> Exchanges:
        """Begin exchanges at a rate; give what became of them."""
        poll, total = select.poll(), round(rate * seconds)
        poll.register(self._socket, select.POLLIN)
        self._offered = bytearray(total)
        began, used = time.perf_counter(), time.process_time()
        end = began + seconds + _LATE_SECONDS
        while (now := time.perf_counter()) < end and self._acks < total:
            begun = len(self._asked)
            due = min(round((now - began) * rate), total)
            if due > begun:
                self._late = max(self._late, now - began - begun / rate)
                self._asked += [now] * (due - begun)
                self._send([_DISCOVER % self._client(n) for n in range(begun, due)])
            if poll.poll(_TICK_SECONDS * 1e3):
                self._take()
        took, used = time.perf_counter() - began, time.process_time() - used
        self._socket.close()
        asked = len(self._asked) + len(self._requested) + self._acks
        return Exchanges(
            seconds=took,
            discovers=len(self._asked),
            offers=self._offers,
            requests=len(self._requested) + self._acks,
            acks=self._acks,
            lost=asked - self._offers - self._acks + self._overdue,
            refused=self._refused,
            twice=self._twice,
            mean_seconds=self._waited / max(self._acks, 1),
            late_seconds=self._late,
            cpu_seconds=used,
        )

    def _client(self, number: int) -> tuple[bytes, bytes]:
        """Give a client's xid and its hardware address."""
        return (self._first + number).to_bytes(4), self._hardware + number.to_bytes(3)

    def _send(self, packets: list[bytes]) -> None:
        """Send packets of one size."""
        size = struct.pack("H", len(packets[0]))
        control = [(socket.SOL_UDP, _UDP_SEGMENT, size)]
        for first in range(0, len(packets), _SEGMENTS):
            some = packets[first : first + _SEGMENTS]
            self._socket.sendmsg([b"".join(some)], control if len(some) > 1 else [])

    def _take(self) -> None:
        """Take what has come, and ask for what was offered."""
        requests: list[bytes] = []
        while True:
            try:
                octets, control, _, _ = self._socket.recvmsg(65_535, 64)
            except BlockingIOError:
                break
            size = len(octets)
            for _, _, told in control:
                size = int.from_bytes(told[:2], sys.byteorder)
            now = time.perf_counter()
            for at in range(0, len(octets), size):
                self._take_one(octets[at : at + size], now, requests)
        if requests:
            self._send(requests)

    def _take_one(self, reply: bytes, now: float, requests: list[bytes]) -> None:
        number = int.from_bytes(reply[_XID]) - self._first
        if not 0 <= number < len(self._asked):
            return
        kind = _option(reply, 53)[0]
        if kind == _OFFER and not self._offered[number]:
            self._offered[number] = 1
            self._offers += 1
            self._overdue += now - self._asked[number] > _LATE_SECONDS
            self._requested[number] = now
            self._server = self._server or _option(reply, 54)
            taken = (*self._client(number), self._server, reply[_YIADDR])
            requests.append(_REQUEST % taken)
        elif kind == _ACK and (since := self._requested.pop(number, None)) is not None:
            self._acks += 1
            self._waited += now - since
            self._overdue += now - since > _LATE_SECONDS
            address = reply[_YIADDR]
            self._twice += address in self._leased
            self._leased.add(address)
        elif kind not in (_OFFER, _ACK):
            self._refused += 1


def _option(reply: bytes, code: int) -> bytes:
    """Give what a reply has of an option."""
    at = _OPTIONS_AT
    while reply[at] != code:
        at += 2 + reply[at + 1]
    return reply[at + 2 : at + 2 + reply[at + 1]]


def run(port: int, *, own_port: int, rate: int, seconds: float, cpus: str) -> Exchanges:
    """Run the load in a process of its own on processors as taskset takes them."""
    arguments: Sequence[str] = (
        *("--port", str(port), "--own-port", str(own_port)),
        *("--rate", str(rate), "--seconds", str(seconds)),
    )
    done = subprocess.run(
        ["taskset", "-c", cpus, sys.executable, "-m", "bench.dhcp_load", *arguments],
        stdout=subprocess.PIPE,
        check=True,
    )
    return Exchanges(**json.loads(done.stdout))


def main() -> int:
    """Run one load and print what became of it."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.dhcp_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, required=True, help="the server's, on loopback")
    add("--own-port", type=int, default=0, help="where answers go (any)")
    add("--rate", type=int, default=1000, help="exchanges begun a second (%(default)s)")
    add("--seconds", type=float, default=5.0, help="of load (%(default)s)")
    chosen = parser.parse_args()
    load = Load(chosen.port, chosen.own_port)
    print(json.dumps(asdict(load.run(chosen.rate, chosen.seconds))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
