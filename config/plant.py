"""What the Network Provider owns: areas, sites, lines, and the equipment that asks."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.dhcp_options import DhcpOptions
from config.row import Count, Kbps, Row
from config.values import Address, Ipv4, Name, Prefix, Text

LineKeyPart = Literal["relay", "circuit_id", "remote_id", "subscriber_id"]
LineKey = Annotated[tuple[LineKeyPart, ...], Meta(min_length=1, max_length=4)]
Wrapper = Literal["none", "type_length"]

Profile = Literal[
    "generic", "cisco", "juniper", "mikrotik", "nokia", "huawei", "redback"
]
SignaturePolicy = Literal["require", "limit-proxy-state", "learn", "no"]


class Area(DhcpOptions, frozen=True, kw_only=True):
    """A part of the network that shares its pools and its relays."""

    name: Name
    line_key: LineKey = ("relay", "circuit_id", "remote_id")
    """What of a DHCP packet tells one line from another (RFC 3046 section 3, RFC 3993).

    Without "relay" the same circuit id is the same line behind every relay.
    """
    line_fallback: tuple[Literal["client_id", "hardware"], ...] = (
        "client_id",
        "hardware",
    )
    """What stands for a line that the relay says nothing of, the first that is sent."""
    circuit_id_wrapper: Wrapper = "none"
    """"type_length" takes away two octets, type and length, that some relays put before
    the circuit id and the remote id; they are opaque otherwise."""
    authoritative: bool = True
    """Whether a client that asks for an address nobody recorded is refused (DHCPNAK)
    instead of left alone, because no other server is there (RFC 2131 section 4.3.2)."""
    vpn: Text | None = None
    """The VPN identifier that relays select it by (RFC 6607 section 3.5)."""
    ipv6_only_seconds: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0
    """Seconds for which a client that can do without IPv4 does (RFC 8925); 0 for no."""
    rapid_commit: bool = False
    """Whether a client that asks for it gets its lease by two packets instead of four
    (RFC 4039)."""


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
    line_key: LineKey | None = None
    """What tells its lines from one another, where it differs from its area's."""
    circuit_id_wrapper: Wrapper | None = None
    """What it puts around ids, where that differs from its area's."""
    sources: tuple[Ipv4, ...] = ()
    """Addresses that its packets come from, where that is not giaddr alone."""


Technology = Literal["fttp", "fttc", "dsl", "cable", "fixed_wireless", "ethernet"]
"""What a line is made of."""


class Node(Row, frozen=True, kw_only=True):
    """An access node: the ports that lines end on, and how fast they can be."""

    name: Name
    area: str
    technology: Technology = "fttp"
    ports: Count
    """Lines that it can have, those there are included."""
    down_kbps: Kbps = 1_000_000
    up_kbps: Kbps = 1_000_000


class Line(Row, frozen=True, kw_only=True):
    """A physical line, known by what the relay or NAS says of it.

    Ids are compared octet for octet, in UTF-8; one that is not text is written as 0x
    and its octets in hexadecimal.
    """

    name: Name
    area: str
    relay: Name | None = None
    """Name of its relay: a circuit id is only unique behind one (RFC 3046 section
    3.1). Without it, the line may be behind any relay of its area."""
    circuit_id: Text | None = None
    """Agent Circuit ID (RFC 3046 section 3.1, RFC 4679 section 3.3.1)."""
    remote_id: Text | None = None
    """Agent Remote ID (RFC 3046 section 3.2, RFC 4679 section 3.3.2)."""
    node: str | None = None
    """The access node that it ends on; its technology and rates hold for the line."""
    site: Text | None = None
    """The service address at its other end, by its name in the inventory."""
    down_kbps: Kbps | None = None
    """Less than the node's, where the line is too long for that."""
    up_kbps: Kbps | None = None
    state: Literal["in_service", "planned", "faulty", "retired"] = "in_service"
    subscriber_id: Text | None = None
    """Subscriber-ID (RFC 3993)."""


class Site(Row, frozen=True, kw_only=True):
    """A place where the network's equipment stands."""

    name: Name
    area: str | None = None
    address: str = ""
    """Postal address, for people."""
