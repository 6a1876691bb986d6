"""Service addresses, by name and by what was written: a million of them, by index.

Nothing here walks: sites are taken by a key of ``provisioning.addresses``, and of each
only so many.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import Column, Connection, bindparam, delete, insert, select

from provisioning.addresses import normalise
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


_BY: Final = {
    "normal": _by(service_site.c.normal),
    "postcode_key": _by(service_site.c.postcode_key),
    "street_key": _by(service_site.c.street_key),
}


def sites_named(connection: Connection, names: Iterable[str]) -> dict[str, Site]:
    """Find sites by name; who is not there is not in the answer."""
    wanted = sorted(set(names))
    rows = _BY_NAME.read(connection, {"keys": wanted}) if wanted else ()
    return {row[0]: Site(*row) for row in rows}


def sites_by(
    connection: Connection,
    what: Literal["normal", "postcode_key", "street_key"],
    keys: Iterable[str],
) -> dict[str, list[Site]]:
    """Find the sites that have one of the keys of an address, by key."""
    wanted = sorted({key for key in keys if key.strip()})
    found: dict[str, list[Site]] = {}
    if wanted:
        bound = {"keys": wanted, "most": _FOUND * len(wanted)}
        for key, *row in _BY[what].read(connection, bound):
            found.setdefault(key, []).append(Site(*row))
    return found


def sites_of_street(connection: Connection, key: str) -> list[Site]:
    """Give the sites of a street whose number was not written."""
    if not key.strip():
        return []
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
