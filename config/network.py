"""The network as it is declared: who is in it, what it owns, what it sells.

These Structs are the network file's tables, the bodies of the change feed and what REST
edits, all the same. Everything is a value: reading files is ``config.loader``'s work,
and rules between rows are ``config.network_checks``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from config.values import Address, Block, Name, Prefix, Text, prefix_of

MINIMUM_SECRET_CHARACTERS = 12
"""Shorter shared secrets are found offline from one captured packet."""

Body = dict[str, Any]
"""One object as built-in values; what equals its default is left out."""

_SECRET_KEYS = frozenset({"secret", "secrets", "password"})
_REDACTED = "***"

Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Kbps = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Addresses = Annotated[int, Meta(ge=1, le=65_536)]


class Row(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """One object of the network; its repr never shows a secret."""

    def __repr__(self) -> str:
        body = redacted(msgspec.to_builtins(self))
        inside = ", ".join(f"{key}={value!r}" for key, value in body.items())
        return f"{type(self).__name__}({inside})"


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


class Isp(Row, frozen=True, kw_only=True):
    """An Internet service provider that sells access over the lines."""

    name: Name
    realms: tuple[Text, ...] = ()
    """The realms of its user names (RFC 7542)."""


class Pool(Row, frozen=True, kw_only=True):
    """Addresses for the subscribers of one ISP, or of none, in an area."""

    name: Name
    area: str
    isp: str | None = None
    prefixes: Annotated[tuple[Block, ...], Meta(min_length=1)]
    guaranteed: Count = 0
    """Addresses that the ISP can always have."""
    burst: Count = 0
    """Addresses it may have beyond the guaranteed ones, while there are some."""
    lending: Count = 0
    """Addresses it lends to others at most."""
    walled_garden: bool = False
    """For lines that have no service, and the only pool they get."""


class Line(Row, frozen=True, kw_only=True):
    """A physical line, known by what the relay or NAS says of it."""

    name: Name
    area: str
    circuit_id: Text | None = None
    """Agent Circuit ID (RFC 3046 section 3.1, RFC 4679 section 3.3.1)."""
    remote_id: Text | None = None
    """Agent Remote ID (RFC 3046 section 3.2, RFC 4679 section 3.3.2)."""


class Offering(Row, frozen=True, kw_only=True):
    """What an ISP sells."""

    name: Name
    isp: str
    down_kbps: Kbps
    up_kbps: Kbps
    addresses: Addresses = 1


class Service(Row, frozen=True, kw_only=True):
    """One offering on one line; what is not None here overrides the offering."""

    name: Name
    isp: str
    line: str
    offering: str
    user_names: tuple[Text, ...] = ()
    password: Text | None = None
    down_kbps: Kbps | None = None
    up_kbps: Kbps | None = None
    addresses: Addresses | None = None


class Reserve(Row, frozen=True, kw_only=True):
    """Addresses that the Network Provider keeps, to grant when a pool runs out."""

    name: Name
    area: str | None = None
    prefixes: Annotated[tuple[Block, ...], Meta(min_length=1)]


class Bsp(Row, frozen=True, kw_only=True):
    """A broadband service provider: films, games, backup."""

    name: Name


class Site(Row, frozen=True, kw_only=True):
    """A place where the network's equipment stands."""

    name: Name
    area: str | None = None
    address: str = ""
    """Postal address, for people."""


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole network; each field is a table of the network file."""

    area: tuple[Area, ...] = ()
    nas: tuple[Nas, ...] = ()
    relay: tuple[Relay, ...] = ()
    isp: tuple[Isp, ...] = ()
    pool: tuple[Pool, ...] = ()
    line: tuple[Line, ...] = ()
    offering: tuple[Offering, ...] = ()
    service: tuple[Service, ...] = ()
    reserve: tuple[Reserve, ...] = ()
    bsp: tuple[Bsp, ...] = ()
    site: tuple[Site, ...] = ()


KINDS: dict[str, type[Row]] = {
    "area": Area,
    "isp": Isp,
    "bsp": Bsp,
    "site": Site,
    "nas": Nas,
    "relay": Relay,
    "pool": Pool,
    "reserve": Reserve,
    "line": Line,
    "offering": Offering,
    "service": Service,
}
"""Every kind of object, each after the kinds that it refers to."""


def bodies(network: Network) -> dict[tuple[str, str], Body]:
    """Give every object's body by kind and name; a relay is named or its giaddr."""
    found = {}
    for kind in KINDS:
        for row in getattr(network, kind):
            name = row.name if row.name is not None else row.giaddr
            found[kind, name] = msgspec.to_builtins(row)
    return found


def redacted(body: Mapping[str, Any]) -> Body:
    """Copy a body with its secrets blotted out."""
    return {
        key: _REDACTED if key in _SECRET_KEYS else value for key, value in body.items()
    }


@dataclass(frozen=True, slots=True)
class Change:
    """One step from one network to another; printing it shows no secret."""

    kind: str
    name: str
    action: Literal["add", "modify", "delete"]
    before: Body | None = field(repr=False)
    after: Body | None = field(repr=False)

    def __str__(self) -> str:
        sign = {"add": "+", "modify": "~", "delete": "-"}[self.action]
        before, after = redacted(self.before or {}), redacted(self.after or {})
        if self.action == "modify":
            details = [
                f"{key}: {before.get(key)!r} -> {after.get(key)!r}"
                for key in sorted(before.keys() | after.keys())
                if (self.before or {}).get(key) != (self.after or {}).get(key)
            ]
        else:
            shown = after or before
            details = [f"{key}={shown[key]!r}" for key in shown if key != "name"]
        return f"{sign} {self.kind} {self.name}  {', '.join(details)}".rstrip()


def diff(
    old: Mapping[tuple[str, str], Body], new: Network | Mapping[tuple[str, str], Body]
) -> list[Change]:
    """List the changes that turn the old network into the new one.

    What others refer to is added before them and deleted after them; within a kind the
    order is by name, so that two runs print the same.
    """
    wanted = bodies(new) if isinstance(new, Network) else new
    order = {kind: place for place, kind in enumerate(KINDS)}

    def place(key: tuple[str, str]) -> tuple[int, str]:
        return order.get(key[0], len(order)), key[1]

    changes = []
    for kind, name in sorted(wanted, key=place):
        before, after = old.get((kind, name)), wanted[kind, name]
        if before is None:
            changes.append(Change(kind, name, "add", None, after))
        elif before != after:
            changes.append(Change(kind, name, "modify", before, after))
    gone = sorted(old.keys() - wanted.keys(), key=place, reverse=True)
    changes += [Change(*key, "delete", old[key], None) for key in gone]
    return changes


@dataclass(frozen=True, slots=True)
class Caution:
    """Something that works and should not stay: ``str`` is a line for people."""

    kind: str
    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: {self.message}"


def warnings(network: Network) -> list[Caution]:
    """Find what is allowed and unwise."""
    return [
        Caution("nas", nas.name, message)
        for nas in network.nas
        for message in _unwise(nas)
    ]


def _unwise(nas: Nas) -> Iterator[str]:
    secrets = nas.keys()
    if b"testing123" in secrets:
        yield "its secret is the one every RADIUS manual prints; choose another"
    elif any(len(secret) < MINIMUM_SECRET_CHARACTERS for secret in secrets):
        yield f"a secret is shorter than {MINIMUM_SECRET_CHARACTERS} characters"
    if prefix_of(nas.address).prefixlen == 0:
        yield f"{nas.address} lets any address in the world be this NAS"
