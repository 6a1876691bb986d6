"""The demo's NAS: builds and signs RADIUS packets, sends them, checks the answers.

It speaks from a loopback address that the demo's network knows, as any NAS would.
"""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from config.plant import Nas
from daemon import clock, sockets
from daemon.demo_telling import StoryError
from daemon.preparation import Plan
from radius.accounting import Status
from radius.packet import (
    Code,
    accounting_request,
    attribute,
    is_response_authentic,
    message_authenticator,
)
from radius.passwords import hide_password

ANSWER_SECONDS: Final = 2.0
ATTEMPTS: Final = 3
WRAP: Final = 1 << 32
"""Octets after which a counter of 32 bits begins anew."""

_RESPONSE_OCTETS_MAX = 4096
_HEADER = struct.Struct("!BBH16s")
_BLANK = b"\x50\x12" + bytes(16)
_SIGNATURE_PLACE = 22


@dataclass(frozen=True, slots=True)
class Session:
    """A subscriber's session as the NAS knows it; ``began`` is in epoch seconds."""

    session_id: str
    user: str
    circuit: str
    address: str
    began: int
    token: bytes = b""
    """The Class of its Access-Accept (RFC 2865 section 5.25), which reports repeat."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One report: ``at`` is seconds into the session, octets are what was really used
    until then, which a NAS without Gigawords shows without all above 32 bits."""

    status: Status
    at: int
    up_octets: int = 0
    down_octets: int = 0


class Bng:
    """One NAS, with a socket to each of the server's two ports."""

    def __init__(self, plan: Plan) -> None:
        radius = plan.settings.radius
        self.accounting = _loopback("accounting", radius.accounting_listen)
        self.authentication = _loopback("authentication", radius.authentication_listen)
        self.nas = _nas_of(plan, self.accounting.host)
        self._secret = self.nas.keys()[0]
        self._identifier = 0
        self._sockets: dict[str, socket.socket] = {}

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Hold the sockets that the requests leave from."""
        wanted = (self.accounting, self.authentication)
        try:
            for where in wanted:
                family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
                sock = socket.socket(family, socket.SOCK_DGRAM)
                self._sockets[where.kind] = sock
                sock.settimeout(ANSWER_SECONDS)
                sock.connect((where.host, where.port))
            yield
        finally:
            while self._sockets:
                self._sockets.popitem()[1].close()

    def login(self, user: str, password: str, circuit: str) -> bytes:
        """Build a signed Access-Request by PAP (RFC 2865 section 5.2, RFC 3579)."""
        authenticator = secrets.token_bytes(16)
        hidden = hide_password(password.encode(), self._secret, authenticator)
        tail = b"".join(
            attribute(kind, value)
            for kind, value in (
                (1, user.encode()),
                (2, hidden),
                (32, self.nas.name.encode()),
                (6, _number(2)),  # Framed
                (7, _number(1)),  # PPP
                (26, _circuit(circuit)),
            )
        )
        length = _HEADER.size + len(_BLANK) + len(tail)
        head = _HEADER.pack(Code.ACCESS_REQUEST, self._next(), length, authenticator)
        place = _SIGNATURE_PLACE
        signature = message_authenticator(
            head + _BLANK + tail, place, self._secret, authenticator
        )
        return head + _BLANK[:2] + signature + tail

    def report(self, session: Session, chapter: Chapter) -> bytes:
        """Build the report of a chapter (RFC 2866), with a new identifier."""
        encoded = [
            (40, _number(chapter.status)),
            (44, session.session_id.encode()),
            (1, session.user.encode()),
            (32, self.nas.name.encode()),
            (8, ipaddress.ip_address(session.address).packed),
            (26, _circuit(session.circuit)),
            (55, _number(session.began + chapter.at)),
        ]
        if session.token:
            encoded.append((25, session.token))
        if chapter.status != Status.START:
            encoded += [
                (46, _number(chapter.at)),
                (42, _number(chapter.up_octets % WRAP)),
                (43, _number(chapter.down_octets % WRAP)),
            ]
        if chapter.status == Status.STOP:
            encoded.append((49, _number(1)))  # User-Request
        attributes = b"".join(attribute(kind, value) for kind, value in encoded)
        return accounting_request(self._next(), attributes, self._secret)

    def ask(self, request: bytes) -> tuple[bytes, float]:
        """Send a request until it is answered; give the answer and its milliseconds."""
        access = request[0] == Code.ACCESS_REQUEST
        where = self.authentication if access else self.accounting
        sock = self._sockets[where.kind]
        for _ in range(ATTEMPTS):
            sent = clock.monotonic()
            try:
                sock.send(request)
                answer = sock.recv(_RESPONSE_OCTETS_MAX)
            except TimeoutError:
                continue
            except ConnectionRefusedError as error:
                raise StoryError("nobody listens there") from error
            if not is_response_authentic(answer, request, self._secret):
                raise StoryError("the answer's signature is wrong")
            return answer, (clock.monotonic() - sent) * 1000
        raise StoryError(f"no answer to {ATTEMPTS} requests")

    def _next(self) -> int:
        self._identifier = (self._identifier + 1) % 256
        return self._identifier


def _number(value: int) -> bytes:
    return struct.pack("!I", value)


def _circuit(circuit: str) -> bytes:
    """Agent-Circuit-Id, RFC 4679 section 3.3.1."""
    return _number(3561) + attribute(1, circuit.encode())


def _loopback(kind: str, listen: list[str]) -> sockets.Endpoint:
    for text in listen:
        where = sockets.endpoint(kind, text)
        if ipaddress.ip_address(where.host).is_loopback:
            return where
    raise StoryError(f"the configuration has no {kind} address on loopback")


def _nas_of(plan: Plan, host: str) -> Nas:
    address = ipaddress.ip_address(host)
    for nas in plan.network.nas if plan.network else ():
        if address in ipaddress.ip_network(nas.address) and nas.keys():
            return nas
    raise StoryError(f"the network has no NAS at {host}")
