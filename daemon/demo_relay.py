"""The demo's DHCP relay: it speaks for devices on lines, through the real socket.

It is a relay agent (RFC 3046) on a loopback address that the network knows. It has no
port 67, so it says that it listens where it sends from (RFC 8357).
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from daemon import clock, sockets
from daemon.demo_telling import StoryError, say
from daemon.preparation import Plan
from ipserver.dhcp import (
    BOOTP_OCTETS,
    COOKIE,
    HEADER_OCTETS,
    MessageType,
    Option,
    SubOption,
)

_ANSWER_SECONDS = 1.0
_ATTEMPTS = 4
_REPLY_OCTETS_MAX = 4096
_HEADER = struct.Struct("!BBBBIHH4s4s4s4s16s64s128s")
_NOWHERE = "0.0.0.0"  # noqa: S104 - an address in a packet, not one to listen on


class Reply(NamedTuple):
    """What the server said, after how many milliseconds."""

    kind: MessageType
    address: str
    options: dict[int, bytes]
    milliseconds: float

    @property
    def seconds(self) -> int:
        """Seconds of the lease; 0 where none is told."""
        return int.from_bytes(self.options.get(Option.LEASE_TIME, b""))


@dataclass(slots=True)
class Device:
    """A client on a line; times are of the monotonic clock, 0 without a lease."""

    line: str
    hardware: bytes
    address: str = ""
    server: bytes = b""
    renew_at: float = 0.0
    ends_at: float = 0.0

    def holds(self, reply: Reply) -> None:
        """Take the lease that was acknowledged (RFC 2131 section 4.4.5)."""
        now = clock.monotonic()
        t1 = int.from_bytes(reply.options.get(Option.T1, b""))
        self.address = reply.address
        self.server = reply.options.get(Option.SERVER_IDENTIFIER, b"")
        self.renew_at, self.ends_at = now + t1, now + reply.seconds

    def drops(self) -> None:
        """Have no address any more."""
        self.address, self.renew_at, self.ends_at = "", 0.0, 0.0


class Relay:
    """One relay; ``giaddr`` is its address, in the network and on loopback."""

    def __init__(self, plan: Plan, giaddr: str) -> None:
        self.giaddr = giaddr
        self._server = _dhcp_address(plan)
        self._circuits = {
            line.name: line.circuit_id or ""
            for line in (plan.network.line if plan.network else ())
        }
        self._socket: socket.socket | None = None

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Hold the socket that the relay speaks through."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as self._socket:
            self._socket.bind((self.giaddr, 0))
            self._socket.connect((self._server.host, self._server.port))
            yield

    def circuit(self, line: str) -> str:
        """Give the circuit id of a line; raises StoryError when there is no line."""
        if line not in self._circuits:
            raise StoryError(f"the network has no line {line}")
        return self._circuits[line]

    def lease(self, device: Device, *, aloud: bool = False) -> Reply:
        """Bring a device up: DISCOVER, OFFER, REQUEST, ACK; give the OFFER."""
        _told(aloud, f"-> DHCPDISCOVER, option 82 circuit {self.circuit(device.line)}")
        offer = self.exchange(device, MessageType.DISCOVER)
        if offer.kind is not MessageType.OFFER:
            raise StoryError(f"a DISCOVER is answered by {offer.kind.name}")
        _told(
            aloud,
            f"<- DHCPOFFER of {offer.address}, after {offer.milliseconds:.1f} ms",
            f"-> DHCPREQUEST of {offer.address}",
        )
        server = offer.options.get(Option.SERVER_IDENTIFIER, b"")
        chosen = _option(Option.SERVER_IDENTIFIER, server) + _option(
            Option.REQUESTED_ADDRESS, ipaddress.ip_address(offer.address).packed
        )
        ack = self.exchange(device, MessageType.REQUEST, chosen)
        if ack.kind is not MessageType.ACK:
            raise StoryError(f"the offered {offer.address} is answered by {ack.kind}")
        device.holds(ack)
        _told(
            aloud,
            f"<- DHCPACK for {ack.seconds} s, after {ack.milliseconds:.1f} ms: the"
            " lease is on disk.",
        )
        return offer

    def renew(self, device: Device) -> Reply:
        """Ask for more of what a device has; it has nothing after a DHCPNAK."""
        reply = self.exchange(device, MessageType.REQUEST, ciaddr=device.address)
        if reply.kind is MessageType.ACK:
            device.holds(reply)
        else:
            device.drops()
        return reply

    def release(self, device: Device) -> None:
        """Give an address up (RFC 2131 section 4.4.6); nobody answers that."""
        server = device.server or socket.inet_aton(self._server.host)
        options = _option(Option.SERVER_IDENTIFIER, server)
        xid = secrets.randbits(32)
        self._send(
            self._message(device, MessageType.RELEASE, options, xid, device.address)
        )
        device.drops()

    def exchange(
        self,
        device: Device,
        kind: MessageType,
        options: bytes = b"",
        ciaddr: str = _NOWHERE,
    ) -> Reply:
        """Send a message until the reply to it comes."""
        xid = secrets.randbits(32)
        message = self._message(device, kind, options, xid, ciaddr)
        began = clock.monotonic()
        for _ in range(_ATTEMPTS):
            self._send(message)
            octets = self._hear(xid)
            if octets is not None:
                return _read(octets, (clock.monotonic() - began) * 1000)
        raise StoryError(f"no answer to {_ATTEMPTS} {kind.name}s of line {device.line}")

    def _send(self, message: bytes) -> None:
        assert self._socket is not None
        try:
            self._socket.send(message)
        except ConnectionRefusedError as error:
            raise StoryError("nobody listens there") from error

    def _hear(self, xid: int) -> bytes | None:
        assert self._socket is not None
        until = clock.monotonic() + _ANSWER_SECONDS
        while (left := until - clock.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                octets = self._socket.recv(_REPLY_OCTETS_MAX)
            except TimeoutError:
                return None
            except ConnectionRefusedError as error:
                raise StoryError("nobody listens there") from error
            if octets[4:8] == xid.to_bytes(4) and len(octets) > HEADER_OCTETS:
                return octets
        return None

    def _message(
        self, device: Device, kind: MessageType, options: bytes, xid: int, ciaddr: str
    ) -> bytes:
        """Build a client's message as the relay passes it on (RFC 2131 section 2)."""
        header = _HEADER.pack(
            *(1, 1, len(device.hardware), 1, xid, 0, 0),
            *(socket.inet_aton(ciaddr), bytes(4), bytes(4)),
            *(socket.inet_aton(self.giaddr), device.hardware, b"", b""),
        )
        agent = _option(SubOption.CIRCUIT_ID, self.circuit(device.line).encode())
        agent += _option(SubOption.RELAY_PORT, b"")
        message = (
            header
            + COOKIE
            + _option(Option.MESSAGE_TYPE, bytes((kind,)))
            + options
            + _option(Option.PARAMETER_REQUEST_LIST, _WANTED)
            + _option(Option.AGENT_INFORMATION, agent)
            + bytes((Option.END,))
        )
        return message.ljust(BOOTP_OCTETS, b"\0")


_WANTED = bytes((Option.SUBNET_MASK, Option.ROUTER, Option.DNS_SERVER))


def _option(code: int, content: bytes) -> bytes:
    return bytes((code, len(content))) + content


def _read(octets: bytes, milliseconds: float) -> Reply:
    """Take a reply apart; none of ours is overloaded, and each option stands once."""
    options, place = {}, HEADER_OCTETS
    while place < len(octets) and octets[place] != Option.END:
        if octets[place] == Option.PAD:
            place += 1
            continue
        start = place + 2
        place = start + octets[place + 1]
        options[octets[start - 2]] = octets[start:place]
    kind = MessageType(int.from_bytes(options[Option.MESSAGE_TYPE]))
    return Reply(kind, socket.inet_ntoa(octets[16:20]), options, milliseconds)


def _dhcp_address(plan: Plan) -> sockets.Endpoint:
    for text in plan.settings.dhcp.listen:
        where = sockets.endpoint("dhcp", text)
        if ipaddress.ip_address(where.host).is_loopback:
            return where
    raise StoryError("the configuration has no DHCP address on loopback")


def _told(aloud: bool, *lines: str) -> None:
    if aloud:
        say(*("   " + line for line in lines))
