"""The network as it is declared: who is in it, what it owns, what it sells.

The Structs of ``config.plant``, ``config.parties``, ``config.addresses``,
``config.offers``, ``config.tariffs`` and ``config.over_allocation`` are the network
file's tables, the bodies of the change feed and what REST edits, all the same.
Everything is a value: reading files is ``config.loader``'s work, and rules between rows
are ``config.network_checks``'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec
from msgspec import Struct

from config import restrictions
from config.addresses import Pool, Reserve
from config.offers import Offering, Service
from config.over_allocation import OverAllocation
from config.parties import Bsp, Isp
from config.plant import Area, Line, Nas, Node, Relay, Site
from config.row import Body, Row, redacted
from config.settlement import Meter, Product, SpendingLimit, Tax
from config.tariffs import Tariff
from config.values import prefix_of

MINIMUM_SECRET_CHARACTERS = 12
"""Shorter shared secrets are found offline from one captured packet."""


class Network(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole network; each field is a table of the network file."""

    area: tuple[Area, ...] = ()
    nas: tuple[Nas, ...] = ()
    relay: tuple[Relay, ...] = ()
    isp: tuple[Isp, ...] = ()
    pool: tuple[Pool, ...] = ()
    node: tuple[Node, ...] = ()
    line: tuple[Line, ...] = ()
    offering: tuple[Offering, ...] = ()
    service: tuple[Service, ...] = ()
    reserve: tuple[Reserve, ...] = ()
    bsp: tuple[Bsp, ...] = ()
    tax: tuple[Tax, ...] = ()
    product: tuple[Product, ...] = ()
    meter: tuple[Meter, ...] = ()
    spending_limit: tuple[SpendingLimit, ...] = ()
    site: tuple[Site, ...] = ()
    tariff: tuple[Tariff, ...] = ()
    over_allocation: tuple[OverAllocation, ...] = ()


KINDS: dict[str, type[Row]] = {
    "area": Area,
    "isp": Isp,
    "tariff": Tariff,
    "bsp": Bsp,
    "site": Site,
    "nas": Nas,
    "relay": Relay,
    "pool": Pool,
    "reserve": Reserve,
    "node": Node,
    "line": Line,
    "offering": Offering,
    "service": Service,
    "over_allocation": OverAllocation,
    "tax": Tax,
    "product": Product,
    "meter": Meter,
    "spending_limit": SpendingLimit,
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


def network_of(objects: Mapping[tuple[str, str], Mapping[str, object]]) -> Network:
    """Make the network of its objects' bodies by kind and name; kinds that this version
    does not know are left out."""
    tables: dict[str, list[Mapping[str, object]]] = {kind: [] for kind in KINDS}
    for (kind, _), body in objects.items():
        if kind in tables:
            tables[kind].append(body)
    return msgspec.convert(tables, Network)


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

    Restrictions are no file's and are left alone. What others refer to is added before
    them and deleted after them; within a kind the order is by name, so that two runs
    print the same.
    """
    wanted = bodies(new) if isinstance(new, Network) else new
    old = {key: body for key, body in old.items() if key[0] != restrictions.KIND}
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
    """Find what is allowed and unwise, or only where it is in force already."""
    found = [
        Caution("nas", nas.name, message)
        for nas in network.nas
        for message in _unwise(nas)
    ]
    return found + [
        Caution("tariff", tariff.name, _LASTS.format(version.valid_from, window.name))
        for tariff in network.tariff
        for version in tariff.version
        for window in version.window
        if window.start == window.end
    ]


_LASTS: Final = (
    "version of {}, window {!r}: ends when it begins, which is taken for 24 hours; a"
    " version of a later day can say 00:00 to 24:00"
)


def _unwise(nas: Nas) -> Iterator[str]:
    secrets = nas.keys()
    if b"testing123" in secrets:
        yield "its secret is the one every RADIUS manual prints; choose another"
    elif any(len(secret) < MINIMUM_SECRET_CHARACTERS for secret in secrets):
        yield f"a secret is shorter than {MINIMUM_SECRET_CHARACTERS} characters"
    if nas.message_authenticator != "require":
        yield (
            f"message_authenticator is {nas.message_authenticator!r}: its rejects can "
            "be forged into accepts (CVE-2024-3596)"
        )
    if prefix_of(nas.address).prefixlen == 0:
        yield f"{nas.address} lets any address in the world be this NAS"
