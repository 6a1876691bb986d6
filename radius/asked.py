"""What the parts of access hand to one another: a request, a claim, an ISP's answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from radius.nas import NasClient
from radius.outcomes import Drop


class WayOut(Protocol):
    """The socket that a request came to, as far as answers need it."""

    def send(self, replies: list[tuple[bytes, bytes, bytes]]) -> int:
        """Send replies; give how many left."""


class Asked:
    """One Access-Request: its octets, who sent it, and where the answer goes.

    ``secret`` is the one that it was signed with, the newest if it is not signed.
    """

    __slots__ = (
        "address",
        "client",
        "endpoint",
        "is_signed",
        "key",
        "local",
        "packet",
        "proxy_states",
        "secret",
    )

    def __init__(
        self,
        endpoint: WayOut,
        packet: bytes,
        proxy_states: bytes,
        client: NasClient,
        secret: bytes,
        *,
        is_signed: bool,
        address: bytes,
        local: bytes,
    ) -> None:
        self.endpoint = endpoint
        self.packet = packet
        self.proxy_states = proxy_states
        self.client = client
        self.secret = secret
        self.is_signed = is_signed
        self.address = address
        self.local = local
        # Sender, identifier and Request Authenticator (RFC 5080 section 2.2.2).
        self.key = address + packet[1:2] + packet[4:20]


class Claim(NamedTuple):
    """One more session of a service of which there may be ``limit``.

    ``token`` is in its Class; ``place`` is the port and device at the NAS, empty when
    unknown: who comes again from the same place takes his own place over.
    """

    service: str
    limit: int
    token: bytes
    nas: str
    place: str
    user_name: str


class HomeAnswer(NamedTuple):
    """What an ISP's server answered, its secrets hidden for our NAS now."""

    code: int
    attributes: bytes


class Wholesale(Protocol):
    """Asks an ISP's own servers."""

    def ask(
        self,
        isp: str,
        asked: Asked,
        done: Callable[[HomeAnswer | Drop | None], None],
    ) -> None:
        """Ask; ``done`` hears the answer, None when none came, or why for silence."""
