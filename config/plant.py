"""What the Network Provider owns: areas, sites, lines, and the equipment that asks."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.row import Row
from config.values import Address, Name, Prefix, Text

Profile = Literal[
    "generic", "cisco", "juniper", "mikrotik", "nokia", "huawei", "redback"
]
SignaturePolicy = Literal["require", "limit-proxy-state", "learn", "no"]


class Area(Row, frozen=True, kw_only=True):
    """A part of the network that shares its pools and its relays."""

    name: Name


class Nas(Row, frozen=True, kw_only=True):
    """A network access server (BNG), known by the source address of its packets.

    A loaded one has its secrets in ``secrets``, wherever they were written.
    """

    name: Name
    area: str = ""
    address: Prefix
    """CIDR prefix of the sources, IPv4 or IPv6; a bare address stands for itself."""
    secret: Text | None = None
    secrets: Annotated[tuple[Text, ...], Meta(max_length=2)] = ()
    """The new secret, then the old one while it is being replaced."""
    secret_file: Annotated[str, Meta(min_length=1)] | None = None
    """A file of one or two lines, a secret each, relative to the network file."""
    gigawords: Literal["auto", "never", "always"] = "auto"
    """Whether it sends Acct-*-Gigawords (RFC 2869 section 5.1)."""
    max_rate_mbps: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Mbit/s that no session exceeds; a faster counter is not believed."""
    coa_port: Annotated[int, Meta(ge=1, le=65_535)] = 3799
    """UDP port for CoA and Disconnect requests (RFC 5176 section 2.1)."""
    profile: Profile = "generic"
    """Whose attributes its replies and CoA requests are written in."""
    message_authenticator: SignaturePolicy = "require"
    """Whether its Access-Requests must be signed (CVE-2024-3596): ``require`` each;
    ``limit-proxy-state`` those with a Proxy-State; ``learn`` likewise, until the first
    signed one, and from then on for ever all; ``no`` takes all."""
    line_authorisation: bool = False
    """Whether a User-Name that is the circuit or MAC address of its own request is
    authorised by that alone; a Call-Check (RFC 2865 section 5.6) always is."""
    walled_garden: bool = False
    """Whether unknown and suspended subscribers get the area's walled garden instead of
    a reject."""
    walled_garden_filter: Text | None = None
    """Filter-Id (RFC 2865 section 5.11) that walls them in."""

    def keys(self) -> tuple[bytes, ...]:
        """Give the secrets as octets, the newest first; empty when none is known."""
        written = (self.secret,) if self.secret is not None else self.secrets
        return tuple(secret.encode() for secret in written)


class Relay(Row, frozen=True, kw_only=True):
    """A DHCP relay agent that is trusted to say which line a client is on."""

    name: Name | None = None
    area: str
    giaddr: Address
    """Its address as the packet shows it (RFC 2131 section 4.1), IPv4 or IPv6."""


class Line(Row, frozen=True, kw_only=True):
    """A physical line, known by what the relay or NAS says of it."""

    name: Name
    area: str
    circuit_id: Text | None = None
    """Agent Circuit ID (RFC 3046 section 3.1, RFC 4679 section 3.3.1)."""
    remote_id: Text | None = None
    """Agent Remote ID (RFC 3046 section 3.2, RFC 4679 section 3.3.2)."""


class Site(Row, frozen=True, kw_only=True):
    """A place where the network's equipment stands."""

    name: Name
    area: str | None = None
    address: str = ""
    """Postal address, for people."""
