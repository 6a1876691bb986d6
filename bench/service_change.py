"""How soon an ordered change of a service is effective, in RADIUS and in DHCP.

    python -m bench.service_change [--changes 30] [--subscribers 1000]
                                   [--postgresql URL]

Through a running daemon: an ISP's program orders another offering for a service over
REST. From the moment that it posts the order, a NAS asks for access until the
Access-Accept has the new rate, and a relay sends the DISCOVER of the line's second
device until there is an OFFER: the old offering has one address, the new one two. One
change after the other, each on another line, each at a moment of its own between two
looks of those that follow the network. Both are asked every 5 ms.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import random
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any, TypeVar

from bench.access import network, requests
from bench.fairlane_daemon import SECRET, FairlaneDaemon
from radius.packet import Code

_ORDERS = "/tmf-api/serviceOrdering/v4/serviceOrder"
_ASK_SECONDS = 0.005
_GIVE_UP_SECONDS = 30.0
_POLL_SECONDS = 0.5
_DISCOVER, _OFFER, _REQUEST, _ACK = 1, 2, 3, 5
_MORE = """
[[relay]]
name = "relay"
area = "harbour"
giaddr = "127.0.0.1"
[[offering]]
name = "more"
isp = "aurora"
down_kbps = 250000
up_kbps = 100000
addresses = 2
excess = "deny"
"""
_NEW_RATE = struct.pack("!I", 250_000_000)  # WISPr-Bandwidth-Max-Down, bit/s
_DHCP = "line_per_second = 1000\nrelay_per_second = 1000000\n"


class _Rest:
    """An ISP's program with its token."""

    def __init__(self, daemon: FairlaneDaemon) -> None:
        said = ("--role", "isp_system", "--isp", "aurora", "--json")
        made = json.loads(daemon.command("access", "add", "bench", *said))
        pair = f"{made['client_id']}:{made['client_secret']}".encode()
        self._port = daemon.http_port
        basic = "Basic " + base64.b64encode(pair).decode()
        form = "application/x-www-form-urlencoded"
        answer = self._post(
            "/oauth/token", b"grant_type=client_credentials", basic, form
        )
        self._bearer = f"Bearer {answer['access_token']}"

    def order(self, number: int) -> None:
        """Order the other offering for a service."""
        item = {
            "id": "1",
            "action": "modify",
            "service": {
                "id": f"s{number}",
                "serviceSpecification": {"name": "more"},
            },
        }
        body = {"externalId": f"C-{number}", "serviceOrderItem": [item]}
        octets = json.dumps(body).encode()
        self._post(_ORDERS, octets, self._bearer, "application/json")

    def _post(self, path: str, body: bytes, credential: str, kind: str) -> Any:
        headers = {"Authorization": credential, "Content-Type": kind}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        with closing(connection):
            connection.request("POST", path, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status not in (200, 201):
                raise SystemExit(f"{path} answers {response.status}: {answer}")
            return answer


class _Relay:
    """A relay in front of lines, whose clients are told apart by their last octet."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.setblocking(False)

    def offered(self, line: int, device: int) -> bytes | None:
        """Send a DISCOVER, and give the address of an offer that has come for it."""
        self._send(_DISCOVER, line, device, b"")
        return self._heard(line, device, _OFFER)

    def lease(self, line: int, device: int) -> None:
        """Get a lease."""
        address = _until(lambda: self.offered(line, device))
        chosen = b"\x36\x04\x7f\x00\x00\x01\x32\x04" + address

        def acknowledged() -> bytes | None:
            self._send(_REQUEST, line, device, chosen)
            return self._heard(line, device, _ACK)

        _until(acknowledged)

    def _send(self, kind: int, line: int, device: int, options: bytes) -> None:
        xid = line << 8 | device
        hardware = b"\x02\x00" + xid.to_bytes(4)
        header = struct.pack(
            "!BBBBIHH4s4s4s4s16s192s",
            *(1, 1, 6, 1, xid, 7, 0),
            *[bytes(4)] * 3,
            *(socket.inet_aton("127.0.0.1"), hardware, b""),
        )
        circuit = f"c{line}".encode()
        agent = bytes((82, len(circuit) + 2, 1, len(circuit))) + circuit
        message = b"\x63\x82\x53\x63\x35\x01" + bytes((kind,)) + options + agent
        with suppress(ConnectionRefusedError):
            self._socket.send(header + message + b"\xff")

    def _heard(self, line: int, device: int, kind: int) -> bytes | None:
        """Look through what has come; the address that is the client's, if any is."""
        found = None
        with suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                reply = self._socket.recv(2048)
                xid, is_kind = int.from_bytes(reply[4:8]), reply[240:243]
                if xid == line << 8 | device and is_kind == bytes((53, 1, kind)):
                    found = reply[16:20]
        return found


class _Nas:
    """A NAS that asks for access and looks for the new rate in the answers."""

    def __init__(self, daemon: FairlaneDaemon, subscribers: int) -> None:
        self._requests = requests(subscribers, subscribers, SECRET.encode())
        self._server = daemon.authentication

    def has_new_rate(self, number: int) -> bool | None:
        """Ask for access; True when it is given with the new rate, else None.

        Each time from a port of its own: from the same one it would be a
        retransmission, which gets the answer that the first had.
        """
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as port:
            port.connect(self._server)
            port.settimeout(1.0)
            port.send(self._requests[number])
            answer = port.recv(4096)
        return (answer[0] == Code.ACCESS_ACCEPT and _NEW_RATE in answer) or None


_Found = TypeVar("_Found")


def _until(true: Callable[[], _Found | None]) -> _Found:
    """Ask until there is something."""
    deadline = time.perf_counter() + _GIVE_UP_SECONDS
    while time.perf_counter() < deadline:
        found = true()
        if found is not None:
            return found
        time.sleep(_ASK_SECONDS)
    raise SystemExit(f"not effective after {_GIVE_UP_SECONDS:.0f} s")


def _change(rest: _Rest, relay: _Relay, nas: _Nas, line: int) -> dict[str, float]:
    """Change one service; seconds until ordered, and effective in RADIUS and DHCP."""
    relay.lease(line, 1)
    if relay.offered(line, 2) is not None or nas.has_new_rate(line):
        raise SystemExit("the old offering has what the new one is to bring")
    began = time.perf_counter()
    rest.order(line)
    seen = {"ordered": time.perf_counter() - began}

    def both() -> bool | None:
        if "RADIUS" not in seen and nas.has_new_rate(line):
            seen["RADIUS"] = time.perf_counter() - began
        if "DHCP" not in seen and relay.offered(line, 2) is not None:
            seen["DHCP"] = time.perf_counter() - began
        return len(seen) == 3 or None

    _until(both)
    return seen


def main() -> int:
    """Change service after service, and print how soon each was effective."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.service_change",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--changes", type=int, default=30)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--postgresql", default="sqlite")
    chosen = parser.parse_args()
    lines = network(chosen.subscribers, 0).replace(
        'name = "o"\n', 'name = "o"\nexcess = "deny"\n'
    )
    chance = random.Random(1)
    with FairlaneDaemon(
        network=lines + _MORE,
        dhcp=_DHCP,
        database=chosen.postgresql,
        environment={"DHCP_REPLY_TO_SOURCE": "1"},
    ) as daemon:
        rest, relay = _Rest(daemon), _Relay(daemon.dhcp_port)
        nas = _Nas(daemon, chosen.subscribers)
        seen = []
        for line in range(chosen.changes):
            time.sleep(chance.random() * _POLL_SECONDS)
            seen.append(_change(rest, relay, nas, line))
    for name in ("ordered", "RADIUS", "DHCP"):
        column = sorted(one[name] for one in seen)
        within = sum(seconds <= 1.0 for seconds in column)
        print(
            f"{name:8} p50 {column[len(column) // 2]:.2f} s  longest {column[-1]:.2f} s"
            f"  after the order was sent; {within} of {len(column)} within a second"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
