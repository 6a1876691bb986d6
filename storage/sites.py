"""Service addresses, by name and by what was written: a million of them, by index.

A search never walks: it takes equal lines, then those that share postcode and number,
then those whose street sounds alike, and of each only so many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, Connection, bindparam, delete, insert, select

from provisioning.addresses import Address, is_clear, normalise, rank
from storage.among import among
from storage.at_once import Rows
from storage.provisioning_tables import service_site

_FOUND: Final = 200
"""Sites of one key that are looked at: more share it only where keys say nothing."""


class Site(NamedTuple):
    """One place where service can be had."""

    name: str
    area: str
    node: str | None
    address: str
    normal: str


_COLUMNS: Final = tuple(service_site.c[name] for name in Site._fields)
_BY_NAME: Final = Rows(select(*_COLUMNS).where(among(service_site.c.name)))


def _by(column: Column[Any]) -> Rows:
    query = select(column.label("key"), *_COLUMNS)
    return Rows(query.where(among(column)).limit(bindparam("most")))


_BY_NORMAL: Final = _by(service_site.c.normal)
_BY_POSTCODE: Final = _by(service_site.c.postcode_key)
_BY_STREET: Final = _by(service_site.c.street_key)


def sites_named(connection: Connection, names: Iterable[str]) -> dict[str, Site]:
    """Find sites by name; who is not there is not in the answer."""
    wanted = sorted(set(names))
    rows = _BY_NAME.read(connection, {"keys": wanted}) if wanted else ()
    return {row[0]: Site(*row) for row in rows}


def sites_like(
    connection: Connection, addresses: Sequence[Address]
) -> dict[Address, list[Site]]:
    """Find, for each address, the sites that it may mean."""
    found = _grouped(connection, _BY_NORMAL, {a: a.normal for a in addresses})
    left = [address for address in addresses if not found.get(address)]
    if not left:
        return found
    keys = {a: a.postcode_key for a in left if a.number}
    found |= _grouped(connection, _BY_POSTCODE, keys)
    # A street may be long, and say nothing that the postcode has not said.
    unclear = [a for a in keys if not is_clear(rank(a, _known(found.get(a, ()))))]
    keys = {a: a.street_key for a in unclear}
    for address, sites in _grouped(connection, _BY_STREET, keys).items():
        known = {site.name for site in found.get(address, [])}
        more = [site for site in sites if site.name not in known]
        found.setdefault(address, []).extend(more)
    for address in left:
        if not address.number and address.street_key.strip():
            found[address] = _street(connection, address.street_key)
    return found


def _known(sites: Iterable[Site]) -> Iterable[tuple[str, str, str]]:
    return ((site.name, site.address, site.normal) for site in sites)


def _grouped(
    connection: Connection, query: Rows, keys: Mapping[Address, str]
) -> dict[Address, list[Site]]:
    wanted = sorted({key for key in keys.values() if key.strip()})
    by_key: defaultdict[str, list[Site]] = defaultdict(list)
    if wanted:
        bound = {"keys": wanted, "most": _FOUND * len(wanted)}
        for key, *row in query.read(connection, bound):
            by_key[key].append(Site(*row))
    return {address: by_key[key] for address, key in keys.items() if key in by_key}


def _street(connection: Connection, key: str) -> list[Site]:
    """Give the sites of a street whose number was not written."""
    column = service_site.c.street_key
    first, last = f"{key.strip()} ", f"{key.strip()}!"  # "!" follows the blank
    query = select(*_COLUMNS).where(column >= first, column < last)
    rows = connection.execute(query.order_by(service_site.c.name).limit(_FOUND))
    return [Site(*row) for row in rows]


def site_row(body: Mapping[str, Any]) -> dict[str, Any]:
    """Make the row of a site of its name, area, node and address."""
    address = normalise(body["address"])
    return {
        "name": body["name"],
        "area": body["area"],
        "node": body.get("node"),
        "address": body["address"],
        "normal": address.normal,
        "postcode_key": address.postcode_key,
        "street_key": address.street_key,
    }


def put_sites(connection: Connection, bodies: Sequence[Mapping[str, Any]]) -> None:
    """Write sites, in place of those of the same names."""
    if bodies:
        names = [{"gone": body["name"]} for body in bodies]
        gone = service_site.c.name == bindparam("gone")
        connection.execute(delete(service_site).where(gone), names)
        connection.execute(insert(service_site), [site_row(body) for body in bodies])
