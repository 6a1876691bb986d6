"""The rules between the rows of a network file.

They are held against the parsed document, not the Structs: a file with a mistake in one
row has no Structs yet, and the mistakes between its other rows are to be told with it.
So every step here passes over what is not of the type it needs; ``config.checker`` has
told that already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from netaddr import IPAddress, IPNetwork

from config.access_checks import find_access_conflicts
from config.address_checks import find_address_conflicts
from config.line_checks import find_mistaken_lines
from config.meter_checks import find_meter_conflicts
from config.network import KINDS
from config.offer_checks import find_offer_conflicts
from config.over_allocation_checks import find_promises
from config.problems import Finding, KeyPath, nearest, rows_of
from config.settlement_checks import find_settlement_conflicts
from config.tariff_checks import find_tariff_conflicts
from config.values import prefix_of

_REFERENCES = {
    "nas": ("area",),
    "relay": ("area",),
    "pool": ("area", "isp"),
    "reserve": ("area",),
    "site": ("area",),
    "node": ("area",),
    "line": ("area", "node"),
    "offering": ("isp",),
    "tariff": ("isp",),
    "service": ("isp", "line", "offering", "pool"),
}
"""Which keys of a table name a row of the table that is called like the key."""

_UNIQUE = {"isp": ("realms",), "service": ("user_names",)}
"""Lists whose items lead to one row of their table, and so may stand only once."""

_SECRETS = ("secret", "secrets", "secret_file")


class _Block(NamedTuple):
    version: int
    first: int
    last: int
    text: str
    path: KeyPath
    owner: str


def find_conflicts(document: Mapping[str, Any]) -> list[Finding]:
    """Find every rule between rows that a network document breaks."""
    return [
        *_twice(document),
        *_dangling(document),
        *_secrets(document),
        *_same_prefix(document),
        *_relays(document),
        *_overlaps(document),
        *find_address_conflicts(document),
        *find_promises(document),
        *find_mistaken_lines(document),
        *_foreign_offerings(document),
        *find_tariff_conflicts(document),
        *find_offer_conflicts(document),
        *find_access_conflicts(document),
        *find_settlement_conflicts(document),
        *find_meter_conflicts(document),
    ]


def _strings(row: Mapping[str, Any], key: str) -> Iterator[tuple[int, str]]:
    items = row.get(key)
    if isinstance(items, list):
        for place, item in enumerate(items):
            if isinstance(item, str):
                yield place, item


def _called(kind: str, place: int, row: Mapping[str, Any]) -> str:
    name = row.get("name")
    return f"{kind} {name!r}" if isinstance(name, str) else f"{kind}[{place}]"


def _names(document: Mapping[str, Any], kind: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, row in rows_of(document, kind):
        if isinstance(row.get("name"), str):
            found.setdefault(row["name"], place)
    return found


def _twice(document: Mapping[str, Any]) -> Iterator[Finding]:
    for kind in KINDS:
        first = _names(document, kind)
        for place, row in rows_of(document, kind):
            name = row.get("name")
            if isinstance(name, str) and first[name] != place:
                message = f"{name!r} is the name of {kind}[{first[name]}] already"
                yield Finding((kind, place, "name"), message)
    for kind, keys in _UNIQUE.items():
        for key in keys:
            owners: dict[str, str] = {}
            for place, row in rows_of(document, kind):
                own = _called(kind, place, row)
                for position, item in _strings(row, key):
                    owner = owners.setdefault(item.casefold(), own)
                    if owner != own:
                        message = f"{item!r} belongs to {owner} already"
                        yield Finding((kind, place, key, position), message)


def _dangling(document: Mapping[str, Any]) -> Iterator[Finding]:
    known = {kind: _names(document, kind) for kind in ("area", "isp", "line", "node")}
    known |= {kind: _names(document, kind) for kind in ("offering", "pool")}
    told: dict[tuple[str, str], str] = {}
    for kind, keys in _REFERENCES.items():
        for place, row in rows_of(document, kind):
            for key in keys:
                name = row.get(key)
                if not isinstance(name, str) or name in known[key]:
                    continue
                if kind == "nas" and not name:
                    continue  # a NAS may serve several areas
                if (key, name) not in told:
                    told[key, name] = nearest(name, known[key])
                message = f"there is no {key} called {name!r}"
                yield Finding((kind, place, key), message, told[key, name])


def _secrets(document: Mapping[str, Any]) -> Iterator[Finding]:
    for place, row in rows_of(document, "nas"):
        given = [key for key in _SECRETS if key in row]
        if not given:
            message = "needs one of secret, secrets or secret_file"
            yield Finding(("nas", place), message)
        elif len(given) > 1:
            message = f"{' and '.join(given)} exclude each other: give one"
            yield Finding(("nas", place, given[1]), message)
        if row.get("secrets") == []:
            yield Finding(("nas", place, "secrets"), "must not be empty")


def _prefix(text: object) -> IPNetwork | None:
    if not isinstance(text, str):
        return None
    try:
        return prefix_of(text)
    except ValueError:
        return None


def _same_prefix(document: Mapping[str, Any]) -> Iterator[Finding]:
    owners: dict[IPNetwork, str] = {}
    for place, row in rows_of(document, "nas"):
        prefix = _prefix(row.get("address"))
        if prefix is None:
            continue
        own = _called("nas", place, row)
        if prefix in owners:
            message = f"{prefix} is the address of {owners[prefix]} already"
            yield Finding(("nas", place, "address"), message)
        owners.setdefault(prefix, own)


def _relays(document: Mapping[str, Any]) -> Iterator[Finding]:
    owners: dict[IPAddress, int] = {}
    for place, row in rows_of(document, "relay"):
        prefix = _prefix(row.get("giaddr"))
        if prefix is None:
            continue
        owner = owners.setdefault(prefix.ip, place)
        if owner != place:
            message = f"{prefix.ip} is the address of relay[{owner}] already"
            yield Finding(("relay", place, "giaddr"), message)


def _blocks(document: Mapping[str, Any]) -> Iterator[_Block]:
    for kind in ("pool", "reserve"):
        for place, row in rows_of(document, kind):
            own = _called(kind, place, row)
            for position, text in _strings(row, "prefixes"):
                prefix = _prefix(text)
                if prefix is not None:
                    path = (kind, place, "prefixes", position)
                    span = (prefix.version, prefix.first, prefix.last)
                    yield _Block(*span, text, path, own)


def _overlaps(document: Mapping[str, Any]) -> Iterator[Finding]:
    widest: _Block | None = None
    # Prefixes nest or are apart: in this order the last wide one covers what overlaps.
    for block in sorted(_blocks(document), key=lambda b: (b.version, b.first, -b.last)):
        apart = widest is None or (widest.version, widest.last) < block[:2]
        if widest is None or apart:
            widest = block
        else:
            message = f"{block.text} overlaps {widest.text} of {widest.owner}"
            yield Finding(block.path, message)


def _foreign_offerings(document: Mapping[str, Any]) -> Iterator[Finding]:
    sellers = {
        row["name"]: row.get("isp")
        for _, row in rows_of(document, "offering")
        if isinstance(row.get("name"), str)
    }
    for place, row in rows_of(document, "service"):
        offering, isp = row.get("offering"), row.get("isp")
        if not isinstance(offering, str) or not isinstance(isp, str):
            continue
        seller = sellers.get(offering, isp)
        if seller != isp:
            message = f"{offering!r} is an offering of {seller!r}, not of {isp!r}"
            yield Finding(("service", place, "offering"), message)
