"""A relay's socket and a daemon that serves it: DHCP as tests speak it.

The daemon answers to where a request came from, because the test has no port 67.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from dhcp_packets import (
    DISCOVER,
    REQUEST,
    Answer,
    agent,
    answer,
    ip,
    message,
    option,
)
from e2e.daemon_process import Daemon

NETWORK = """
[[area]]
name = "harbour"
[[relay]]
name = "relay-1"
area = "harbour"
giaddr = "127.0.0.1"
[[pool]]
name = "garden"
area = "harbour"
walled_garden = true
prefixes = ["10.0.0.0/16"]
lease_seconds = 3600
dns_servers = ["192.0.2.53"]
"""
SETTINGS = "line_per_second = 100000\nrelay_per_second = 1000000\n"
TO_SOURCE = {"DHCP_REPLY_TO_SOURCE": "1"}


@contextlib.contextmanager
def serving(folder: Path, network: str = NETWORK, **options: Any) -> Iterator[Daemon]:
    """Run a daemon that leases from ``network``."""
    options.setdefault("environment", TO_SOURCE)
    daemon = Daemon(folder, network=network, settings={"dhcp": SETTINGS}, **options)
    with daemon:
        yield daemon


class RelaySocket:
    """A relay at 127.0.0.1 with clients on lines that are told apart by number."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", port))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, packet: bytes) -> None:
        """Send once; nobody may be there."""
        with contextlib.suppress(ConnectionRefusedError):
            self.socket.send(packet)

    def hear(self, seconds: float) -> Answer | None:
        """Give the next reply, None after ``seconds``."""
        self.socket.settimeout(max(seconds, 0.001))
        try:
            return answer(self.socket.recv(4096))
        except (TimeoutError, BlockingIOError, ConnectionRefusedError):
            return None

    def ask(self, packet: bytes, *, tries: int = 20) -> Answer:
        """Send until the reply with the same xid comes."""
        xid = int.from_bytes(packet[4:8])
        for _ in range(tries):
            self.send(packet)
            deadline = time.monotonic() + 1
            while (left := deadline - time.monotonic()) > 0:
                reply = self.hear(left)
                if reply is not None and reply.xid == xid:
                    return reply
        msg = f"no reply in {tries} tries"
        raise AssertionError(msg)

    def discover(self, line: int) -> bytes:
        """Make the DISCOVER of a line's client."""
        return self._message(DISCOVER, line, option(55, b"\1\3\6"))

    def request(self, line: int, address: str) -> bytes:
        """Make the REQUEST that takes an offer."""
        chosen = option(54, ip("127.0.0.1")) + option(50, ip(address))
        return self._message(REQUEST, line, chosen)

    def rebind(self, line: int, address: str) -> bytes:
        """Make the REQUEST of a client in REBINDING."""
        return self._message(REQUEST, line, b"", ciaddr=address)

    def _message(self, kind: int, line: int, options: bytes, **fields: Any) -> bytes:
        return message(
            kind,
            options + option(82, agent(b"line-%d" % line)),
            xid=0xAA000000 + line * 4 + kind % 4,
            hardware=b"\2" + line.to_bytes(5),
            **fields,
        )
