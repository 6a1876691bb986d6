"""The inventory's objects, whoever edits them: what there is, whose, how it changes.

Most kinds are objects of the network; sites, customers and devices, of which there are
many, are tables of their own. REST changes one object, a CSV file many; both write what
changes with the change log, under the network's lock, and hold it against the rules
between rows first (``services.inventory_rules``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    delete,
    false,
    func,
    insert,
    select,
)

from config.network import KINDS
from config.row import Body, Row
from config.values import Name
from services.actor import NETWORK, Actor
from services.provisioning import ObjectChange, Transaction, log_changes
from storage.provisioning_tables import customer, device, object_change, service_site
from storage.sites import put_sites
from storage.tables import network_object

_AT_ONCE: Final = 500

Key = tuple[str, str]
"""The tenant of a customer, whose names are its ISP's own ("" for all else); a name."""


class ServiceSite(Row, frozen=True, kw_only=True):
    """A place where service can be had; its node is where a line would come from."""

    name: Name
    area: str
    node: str | None = None
    address: str


class Customer(Row, frozen=True, kw_only=True):
    """Whom an ISP sells to, by the ISP's own name for him."""

    name: Name
    tenant: str
    full_name: str = ""
    contact: str = ""


class Device(Row, frozen=True, kw_only=True):
    """A device at a subscriber's."""

    name: Name
    tenant: str = NETWORK
    mac: str | None = None
    model: str = ""
    line: str | None = None
    customer: str | None = None


TABLES: Final[dict[str, tuple[type[Row], Table]]] = {
    "service_site": (ServiceSite, service_site),
    "customer": (Customer, customer),
    "device": (Device, device),
}
"""Kinds that are tables of their own; all others are objects of the network."""

ALL_KINDS: Final = (*KINDS, *TABLES)

OWNED_BY: Final[dict[str, str]] = {
    "isp": "name",
    "bsp": "name",
    "pool": "isp",
    "tariff": "isp",
    "offering": "isp",
    "service": "isp",
    "spending_limit": "isp",
    "product": "bsp",
    "meter": "bsp",
    "customer": "tenant",
    "device": "tenant",
}
"""The key of a body that says whose it is; what is not here is the network's."""


def structure(kind: str) -> type[Row]:
    """Give the columns of a kind as the type of its rows."""
    return TABLES[kind][0] if kind in TABLES else KINDS[kind]


def owner_of(kind: str, body: Mapping[str, Any]) -> str:
    """Say whose an object is: an ISP's, a BSP's, or the Network Provider's."""
    return str(body.get(OWNED_BY.get(kind, "")) or NETWORK)


def name_of(body: Mapping[str, Any]) -> str:
    """Say what an object is called: a relay without a name, by its giaddr."""
    return str(body.get("name") or body.get("giaddr") or "")


def key_of(kind: str, body: Mapping[str, Any]) -> Key:
    """Give what tells an object from all others of its kind."""
    return str(body.get("tenant", "")) if kind == "customer" else "", name_of(body)


def plain(kind: str, body: Body) -> Body:
    """Make a body what the network file would have: typed, without defaults."""
    row = msgspec.convert(body, structure(kind), strict=False)
    made: Body = msgspec.json.decode(msgspec.json.encode(row))
    return made


def bodies(connection: Connection, kind: str) -> Iterator[Body]:
    """Give every object of a kind, by name."""
    yield from (plain(kind, body) for body in _read(connection, kind))


def page(
    connection: Connection, kind: str, tenant: str | None, offset: int, limit: int
) -> list[Body]:
    """Give a part of a kind's objects by name, of one tenant or (None) of all."""
    wanted = [] if tenant is None else [_is_owned(kind, tenant)]
    found = _read(connection, kind, wanted, offset, limit)
    return [plain(kind, body) for body in found]


def find(
    connection: Connection, kind: str, name: str, tenant: str | None
) -> Body | None:
    """Give one object; None when it is not there, or another tenant's.

    A customer is one tenant's: without one there is none.
    """
    wanted = [_named(kind, name)]
    if tenant is not None:
        wanted.append(_is_owned(kind, tenant))
    elif kind == "customer":
        return None
    found = _read(connection, kind, wanted, limit=1)
    return next((plain(kind, one) for one in found), None)


def revision(connection: Connection, kind: str, name: str) -> int:
    """Give the number of an object's last change; 0 where the log has none."""
    table = object_change.c
    query = select(func.max(table.number))
    return connection.scalar(query.where(table.kind == kind, table.name == name)) or 0


def _read(
    connection: Connection,
    kind: str,
    wanted: Sequence[ColumnElement[bool]] = (),
    offset: int = 0,
    limit: int | None = None,
) -> Iterator[Body]:
    # All of a kind are streamed, because there are millions of some.
    options = {"yield_per": 5000} if limit is None else {}
    if kind in TABLES:
        table = TABLES[kind][1]
        columns = [table.c[name] for name in structure(kind).__struct_fields__]
        query = select(*columns).where(*wanted).order_by(*table.primary_key)
        rows = connection.execute(
            query.offset(offset).limit(limit), execution_options=options
        )
        yield from ({str(k): v for k, v in row._mapping.items()} for row in rows)
        return
    objects = network_object.c
    bodies_ = select(objects.body).where(objects.kind == kind, *wanted)
    yield from connection.scalars(
        bodies_.order_by(objects.name).offset(offset).limit(limit),
        execution_options=options,
    )


def _named(kind: str, name: str) -> ColumnElement[bool]:
    return _column(kind, "name") == name


def _column(kind: str, name: str) -> ColumnElement[str]:
    table = TABLES[kind][1] if kind in TABLES else network_object
    column: ColumnElement[str] = table.c[name]
    return column


def _is_owned(kind: str, tenant: str) -> ColumnElement[bool]:
    key = OWNED_BY.get(kind)
    if key is None:
        return false()  # the network's, who names no tenant
    if kind in TABLES:
        return _column(kind, "tenant") == tenant
    named: ColumnElement[str] = network_object.c.body[key].as_string()
    return named == tenant


def parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Cut what is asked for by name into statements of a sensible size."""
    for start in range(0, len(items), _AT_ONCE):
        yield items[start : start + _AT_ONCE]


def take(
    transaction: Transaction,
    actor: Actor,
    kind: str,
    changes: Sequence[ObjectChange],
    reason: str,
) -> None:
    """Write changes of one kind, with the change log of whose the objects are."""
    by_owner: dict[str, list[ObjectChange]] = {}
    for one in changes:
        owner = owner_of(kind, one.after or one.before or {})
        by_owner.setdefault(owner, []).append(one)
    for owner, theirs in by_owner.items():
        if kind in TABLES:
            _write(transaction.connection, kind, theirs)
            connection, now = transaction.connection, transaction.now
            log_changes(connection, actor, theirs, now, reason, owner)
        else:
            transaction.change(actor, theirs, reason, owner)


def _write(connection: Connection, kind: str, changes: Sequence[ObjectChange]) -> None:
    """Write changes of a table whose rows are one owner's."""
    table = TABLES[kind][1]
    for part in parts(changes):
        gone = delete(table).where(table.c.name.in_([one.name for one in part]))
        if kind == "customer":
            tenant = owner_of(kind, part[0].after or part[0].before or {})
            gone = gone.where(table.c.tenant == tenant)
        connection.execute(gone)
        made = [one.after for one in part if one.after is not None]
        if kind == "service_site":
            put_sites(connection, made)
        elif made:
            rows = [msgspec.convert(body, structure(kind)) for body in made]
            whole = [msgspec.structs.asdict(row) for row in rows]
            connection.execute(insert(table), whole)


def log_of(
    connection: Connection,
    *,
    kind: str | None = None,
    name: str | None = None,
    tenant: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Give the change log, the newest first; ``before`` a number, to read on."""
    table = object_change.c
    query = select(object_change)
    for column, value in (
        (table.kind, kind),
        (table.name, name),
        (table.tenant, tenant),
    ):
        if value is not None:
            query = query.where(column == value)
    if before is not None:
        query = query.where(table.number < before)
    rows = connection.execute(query.order_by(table.number.desc()).limit(limit))
    return [dict(row._mapping) for row in rows]


def managed(connection: Connection) -> set[Key]:
    """Give what orders, imports and consoles changed: the network file no longer
    decides over it, or a restart would undo it."""
    table = object_change.c
    query = select(table.kind, table.name).where(table.channel != "network_file")
    rows = connection.execute(query.distinct())
    return {(row.kind, row.name) for row in rows if row.kind in KINDS}
