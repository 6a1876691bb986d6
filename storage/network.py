"""The network as it was last applied, and the numbered feed of its changes.

Objects and the changes that made them are written in one transaction, and numbers
become visible in their order: who has followed the feed up to a number has missed
nothing below it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy
from sqlalchemy import Connection, and_, bindparam, delete, func, or_, select

from storage import at_once
from storage.at_once import Rows
from storage.tables import change, network_object

_NAMES_AT_ONCE = 500

Action = Literal["add", "modify", "delete"]


class Change(NamedTuple):
    """One object of the network that is to be, or was, added, modified or deleted.

    `kind` is its table in the network file, `body` its new content in JSON's types;
    None when it is deleted.
    """

    action: Action
    kind: str
    name: str
    body: Mapping[str, Any] | None


class NumberedChange(NamedTuple):
    """A change in the feed: its number, and when it was made in epoch seconds."""

    number: int
    at: int
    change: Change


def lock_network(connection: Connection) -> None:
    """Let nobody else change the network until this transaction ends.

    Take it before reading what a difference is made from. On SQLite a writing
    transaction has the lock already.
    """
    if connection.dialect.name == "postgresql":
        # Numbers are drawn before their transactions commit; one at a time, they
        # cannot be seen out of order.
        connection.execute(
            sqlalchemy.text("LOCK TABLE change IN SHARE ROW EXCLUSIVE MODE")
        )


def exists(connection: Connection) -> bool:
    """Tell whether there is a table for the network: the database was migrated once."""
    return sqlalchemy.inspect(connection).has_table(network_object.name)


_REMOVE: Final = delete(network_object).where(
    network_object.c.kind == bindparam("of"), network_object.c.name == bindparam("gone")
)
_LATEST: Final = Rows(select(func.max(change.c.number)))


def apply(connection: Connection, changes: Iterable[Change], now: int) -> int:
    """Write objects and their changes at `now` (epoch seconds); the latest number."""
    lock_network(connection)
    made = list(changes)
    last = {(one.kind, one.name): one for one in made}
    gone = [{"of": one.kind, "gone": one.name} for one in made if one.action != "add"]
    if gone:
        connection.execute(_REMOVE, gone)
    there = [
        {"kind": kind, "name": name, "body": dict(one.body)}
        for (kind, name), one in last.items()
        if one.body is not None
    ]
    at_once.insert(connection, network_object, there)
    told = [
        {
            "at": now,
            "kind": one.kind,
            "name": one.name,
            "action": one.action,
            "body": None if one.body is None else dict(one.body),
        }
        for one in made
    ]
    at_once.insert(connection, change, told)
    return latest_change(connection)


def read_network(
    connection: Connection, *, without: Sequence[str] = ()
) -> dict[tuple[str, str], dict[str, Any]]:
    """Every object's body by kind and name, but for those of some kinds."""
    objects = network_object.c
    query = select(objects.kind, objects.name, objects.body)
    if without:
        query = query.where(objects.kind.not_in(without))
    rows = connection.execute(query.order_by(objects.kind, objects.name))
    return {(row.kind, row.name): row.body for row in rows}


def objects_of(
    connection: Connection, kind: str, name: str | None = None
) -> dict[str, dict[str, Any]]:
    """The bodies of one kind's objects by name, or of the one of a name."""
    objects = network_object.c
    query = select(objects.name, objects.body).where(objects.kind == kind)
    if name is not None:
        query = query.where(objects.name == name)
    return {row.name: row.body for row in connection.execute(query)}


def objects_named(
    connection: Connection, kind: str, names: Collection[str]
) -> dict[str, dict[str, Any]]:
    """The bodies of those of these objects that are there."""
    found: dict[str, dict[str, Any]] = {}
    wanted, objects = sorted(names), network_object.c
    for first in range(0, len(wanted), _NAMES_AT_ONCE):
        query = select(objects.name, objects.body).where(
            objects.kind == kind,
            objects.name.in_(wanted[first : first + _NAMES_AT_ONCE]),
        )
        found |= {row.name: row.body for row in connection.execute(query)}
    return found


def names_with(connection: Connection, kind: str, key: str, value: str) -> set[str]:
    """The names of a kind's objects that say this; it looks at all of the kind."""
    objects = network_object.c
    said = objects.body[key].as_string() == value
    return set(
        connection.scalars(select(objects.name).where(objects.kind == kind, said))
    )


def latest_change(connection: Connection) -> int:
    """The highest number in the feed; 0 before the first change."""
    return _LATEST.read(connection, {})[0][0] or 0


def changes_since(
    connection: Connection, number: int, limit: int
) -> list[NumberedChange]:
    """The first `limit` changes after a number, in order."""
    query = select(change).where(change.c.number > number)
    rows = connection.execute(query.order_by(change.c.number).limit(limit))
    return [
        NumberedChange(
            row.number, row.at, Change(row.action, row.kind, row.name, row.body)
        )
        for row in rows
    ]


def last_bodies(
    connection: Connection, kind: str, names: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    """Give the last body that objects had, deleted or not."""
    found: dict[str, Mapping[str, Any]] = {}
    for first in range(0, len(names), _NAMES_AT_ONCE):
        columns = change.c
        query = select(columns.name, columns.body).where(
            columns.kind == kind,
            columns.name.in_(names[first : first + _NAMES_AT_ONCE]),
            columns.action != "delete",
        )
        for row in connection.execute(query.order_by(columns.number)):
            found[row.name] = row.body
    return found


States = list[tuple[int, Mapping[str, Any] | None]]
"""What an object was, from when (epoch seconds) on, in order; None is not there."""


_OWN: Final = change.alias("own")
_AGAIN: Final = (
    select(_OWN.c.number)
    .where(
        _OWN.c.kind == change.c.kind,
        _OWN.c.name == change.c.name,
        _OWN.c.number < change.c.number,
    )
    .correlate(change)
    .exists()
)
_MODIFIED: Final = or_(
    change.c.action == "modify", and_(change.c.action == "add", _AGAIN)
)
"""A change by which an object is not as it was: added again, it may be another."""


def bodies_of_modified(
    connection: Connection, kind: str, since: int
) -> Iterator[tuple[str, list[tuple[int, Mapping[str, Any]]]]]:
    """Give the objects of a kind that were modified since a time (epoch seconds): each
    with the bodies that it ever had, from when on, in order."""
    columns = change.c
    modified = (
        select(columns.name)
        .where(columns.kind == kind, columns.at >= since, _MODIFIED)
        .correlate(None)
    )
    query = select(columns.name, columns.at, columns.body).where(
        columns.kind == kind, columns.name.in_(modified), columns.action != "delete"
    )
    rows = connection.execute(query.order_by(columns.name, columns.number))
    for name, some in groupby(rows, lambda row: row.name):
        yield name, [(row.at, row.body) for row in some]


def modified_behind(connection: Connection, kind: str, number: int) -> dict[str, int]:
    """Give the names of a kind's objects that were modified behind a change's number,
    each with the latest time; for all of the feed it reads all of it."""
    columns = change.c
    query = select(columns.name, func.max(columns.at)).where(
        columns.number > number, columns.kind == kind, _MODIFIED
    )
    rows = connection.execute(query.group_by(columns.name))
    return {row[0]: row[1] for row in rows}


def touched_since(
    connection: Connection, kind: str, since: int, actions: Sequence[Action]
) -> dict[str, int]:
    """Give the objects of a kind that any of these was done to since a time (epoch
    seconds), each with when last."""
    columns = change.c
    query = select(columns.name, func.max(columns.at)).where(
        columns.kind == kind,
        columns.action.in_(actions),
        columns.at >= since,
    )
    rows = connection.execute(query.group_by(columns.name))
    return {row[0]: row[1] for row in rows}


def states_of(
    connection: Connection, kind: str, names: Sequence[str]
) -> dict[str, States]:
    """Give all that objects of a kind ever were, by name."""
    found: dict[str, States] = {}
    columns = change.c
    for first in range(0, len(names), _NAMES_AT_ONCE):
        some = names[first : first + _NAMES_AT_ONCE]
        query = select(columns.name, columns.at, columns.body).where(
            columns.kind == kind, columns.name.in_(some)
        )
        for name, at, body in connection.execute(query.order_by(columns.number)):
            found.setdefault(name, []).append((at, body))
    return found


def has_object(connection: Connection, kind: str, name: str) -> bool:
    """Tell whether the network has an object of this kind and name."""
    objects = network_object.c
    query = select(objects.name).where(objects.kind == kind, objects.name == name)
    return connection.execute(query).first() is not None
