"""The inventory as a change would leave it, held against the rules between its rows.

A network has lines and services by the million, and everything else by the hundred. So
the few kinds are read whole, and of the many only what a change has to do with: by
name, by line, by user name, by what tells lines apart. All are read where a change is
of something that all may rely on, or is of many objects at once.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection, select

from config import restrictions
from config.network import KINDS
from config.network_checks import find_conflicts
from config.offers import Service
from config.plant import Line
from config.problems import Finding
from config.row import Body
from config.secret_files import SECRET_FILES
from config.tariff_checks import frozen
from provisioning.inventory import Inventory
from services.inventory import TABLES, Key, name_of, owner_of, parts
from services.provisioning import ObjectChange, Transaction
from storage import network
from storage.provisioning_tables import customer

MANY: Final = ("line", "service", "spending_limit", restrictions.KIND)
"""The kinds of which there may be as many as subscribers."""

AT_ONCE: Final = 200
"""Changes of which each is looked at by itself; more are cheaper held against all."""

_RELIED_ON: Final = {"isp": ("contracts",), "offering": ("isp",), "relay": ("area",)}
"""What lines and services rely on of other kinds, beyond that they are there."""

_APART: Final = ("area", "relay", "circuit_id", "remote_id", "subscriber_id")
"""What tells lines from one another (``config.line_checks``)."""

Objects = dict[tuple[str, str], Body]


def conflicts(
    transaction: Transaction, changes: Sequence[ObjectChange]
) -> list[tuple[ObjectChange | None, Finding]]:
    """Hold the inventory as it would be against the rules between its rows.

    Each finding comes with the change that it is about, None when it is about an object
    that nobody changes; its path begins inside the object then.
    """
    if changes and changes[0].kind in TABLES:
        return list(_unknown(transaction, changes))
    before = concerned(transaction, changes)
    objects = dict(before)
    for change in changes:
        if change.after is None:
            objects.pop((change.kind, change.name), None)
        else:
            objects[change.kind, change.name] = dict(change.after)
    document: dict[str, list[Body]] = {kind: [] for kind in KINDS}
    for (kind, _), body in objects.items():
        document[kind].append(body)
    about = {(change.kind, change.name): change for change in changes}
    found = list(_secret_files(changes))
    for finding in find_conflicts(document):
        if finding.stays:
            continue
        of, place = str(finding.path[0]), int(finding.path[1])
        changed = about.get((of, name_of(document[of][place])))
        path = finding.path[2:] if changed else finding.path
        found.append((changed, replace(finding, path=path)))
    in_force = frozen(before, objects, transaction.now)
    return [*found, *((None, Finding((), message)) for message in in_force)]


def concerned(transaction: Transaction, changes: Sequence[ObjectChange]) -> Objects:
    """Read what the changes can break a rule with, or by."""
    connection = transaction.connection
    if len(changes) > AT_ONCE or any(_concerns_all(one) for one in changes):
        found = network.read_network(connection)
        return {k: body for k, body in found.items() if k[0] != restrictions.KIND}
    found = network.read_network(connection, without=MANY)
    limits, services, lines = set[str](), set[str](), set[str]()
    for change in changes:
        if change.kind == "spending_limit":
            limits.add(change.name)
            services |= _said(change, "service")
        elif change.kind == "service":
            services |= _near_service(transaction.inventory, change)
            lines |= _said(change, "line")
            if change.after is None:
                of = change.name
                limits |= network.names_with(
                    connection, "spending_limit", "service", of
                )
        elif change.kind == "line":
            lines |= _near_line(transaction.inventory, change)
            services |= {s.name for s in transaction.inventory.services_on(change.name)}
    for name in tuple(services):
        row = transaction.inventory.service.get(name)
        services |= {row.replaces} if row and row.replaces else set()
    for name in services:
        row = transaction.inventory.service.get(name)
        lines |= {row.line} if row else set()
    for kind, names in (
        ("spending_limit", limits),
        ("service", services),
        ("line", lines),
    ):
        bodies = network.objects_named(connection, kind, names)
        found |= {(kind, name): body for name, body in bodies.items()}
    return found


def _concerns_all(change: ObjectChange) -> bool:
    """Tell whether a change is of what any line, service or limit may rely on."""
    if change.kind in MANY or change.before is None:
        return False
    keys = _RELIED_ON.get(change.kind, ())
    after = change.after
    return after is None or any(change.before.get(k) != after.get(k) for k in keys)


def _said(change: ObjectChange, *keys: str) -> set[str]:
    bodies = [body for body in (change.before, change.after) if body]
    return {str(body[key]) for body in bodies for key in keys if body.get(key)}


def _near_service(inventory: Inventory, change: ObjectChange) -> set[str]:
    """Name the services that one shares a line or a user name with, or replaces."""
    near = {change.name, *_said(change, "replaces")}
    for line in _said(change, "line"):
        near |= {one.name for one in inventory.services_on(line)}
    users = (change.after or {}).get("user_names", ())
    owners: Iterable[Service | None] = map(inventory.service_of_user, users)
    return near | {owner.name for owner in owners if owner is not None}


def _near_line(inventory: Inventory, change: ObjectChange) -> set[str]:
    """Name the line and those that nothing would tell it from."""
    before, after = change.before or {}, change.after or {}
    if all(before.get(key) == after.get(key) for key in _APART):
        return {change.name}
    told = tuple(after.get(key) for key in _APART)
    return {change.name} | {
        name for name, line in inventory.line.items() if _apart(line) == told
    }


def _apart(line: Line) -> tuple[str | None, ...]:
    return (
        line.area,
        line.relay,
        line.circuit_id,
        line.remote_id,
        line.subscriber_id,
    )


def _secret_files(
    changes: Sequence[ObjectChange],
) -> Iterator[tuple[ObjectChange | None, Finding]]:
    """Find files of secrets: they lie beside a network file, and are read with it."""
    for one in changes:
        key, _ = SECRET_FILES.get(one.kind, ("", 0))
        if one.after and key in one.after:
            message = "is for the network file: give the secret itself"
            yield one, Finding((key,), message)


def _unknown(
    transaction: Transaction, changes: Sequence[ObjectChange]
) -> Iterator[tuple[ObjectChange | None, Finding]]:
    """Find what rows of the tables name that is not there."""
    inventory, connection = transaction.inventory, transaction.connection
    places: dict[str, Container[str]] = {
        "area": inventory.area,
        "node": inventory.node,
        "line": inventory.line,
    }
    named = {
        (owner_of("device", one.after), str(one.after["customer"]))
        for one in changes
        if one.kind == "device" and one.after and one.after.get("customer")
    }
    customers = _customers(connection, named)
    for one in changes:
        if one.after is None:
            continue
        for key, known in places.items():
            name = str(one.after.get(key, ""))
            if name and name not in known:
                yield one, Finding((key,), f"there is no {key} called {name!r}")
        name = str(one.after.get("customer", ""))
        if name and (owner_of("device", one.after), name) not in customers:
            yield one, Finding(("customer",), f"there is no customer called {name!r}")
        if one.kind == "customer" and one.after["tenant"] not in inventory.isp:
            message = f"there is no ISP called {one.after['tenant']!r}"
            yield one, Finding(("tenant",), message)


def _customers(connection: Connection, wanted: Iterable[Key]) -> set[Key]:
    found: set[Key] = set()
    for part in parts(sorted({name for _, name in wanted})):
        query = select(customer.c.tenant, customer.c.name)
        rows = connection.execute(query.where(customer.c.name.in_(part)))
        found |= {(row.tenant, row.name) for row in rows}
    return found
