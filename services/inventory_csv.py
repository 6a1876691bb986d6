"""The inventory as CSV, in and out: what comes in is shown as a difference first.

A file has one kind of object; its first line names the columns. Lists are written with
semicolons, tables inside a cell as JSON, what is not set as nothing. Secrets go out
blotted and come in only when they are written anew. A file is taken whole or not at
all, and every mistake in it is told with its line.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Connection, Table, delete, insert, select

from config.network import KINDS, Change
from config.network_checks import find_conflicts
from config.problems import dotted
from config.row import Body, Row, redacted
from config.values import Name
from services.actor import Actor
from services.provisioning import ObjectChange, Transaction, log_changes
from storage import network
from storage.provisioning_tables import customer, device, object_change, service_site
from storage.sites import put_sites

ROWS: Final = 2_000_000
_BLOTTED: Final = "***"
_AT_ONCE: Final = 5000


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
    tenant: str = "network"
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

IMPORTED: Final = ("area", "isp", "bsp", "node", "pool", "line", "offering", "service")
ALL_KINDS: Final = (*IMPORTED, *TABLES)


class Mistake(NamedTuple):
    """What is wrong in a line of a file; lines count from 1, the heading's."""

    line: int
    message: str


class FileRow(NamedTuple):
    """One object of a file and the line that it stands in."""

    line: int
    body: Body


def columns(kind: str) -> list[str]:
    """Name a kind's columns."""
    return [field.encode_name for field in msgspec.structs.fields(_structure(kind))]


def _structure(kind: str) -> type[Row]:
    return TABLES[kind][0] if kind in TABLES else KINDS[kind]


def export(connection: Connection, kind: str, tenant: str | None) -> Iterator[str]:
    """Write a kind's objects as lines of CSV, of one tenant or (None) of all."""
    names = columns(kind)
    yield _line(names)
    for body in _bodies(connection, kind):
        owner = body.get("isp") or body.get("tenant")
        if tenant is None or owner == tenant:
            yield _line([_cell(redacted(body).get(name)) for name in names])


def _bodies(connection: Connection, kind: str) -> Iterator[Body]:
    if kind in TABLES:
        table = TABLES[kind][1]
        query = select(*(table.c[n] for n in columns(kind))).order_by(table.c.name)
        rows = connection.execute(query, execution_options={"yield_per": _AT_ONCE})
        yield from ({str(k): v for k, v in row._mapping.items()} for row in rows)
        return
    objects = network.read_network(connection)
    yield from (body for (of, _), body in objects.items() if of == kind)


def _cell(value: Any) -> str:
    if value is None or value in ("", []):
        return ""
    if isinstance(value, list | tuple):
        if all(isinstance(one, str) for one in value):
            return ";".join(value)
        return msgspec.json.encode(value).decode()
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Sink:
    def __init__(self) -> None:
        self.written = ""

    def write(self, text: str) -> None:
        self.written = text


def _line(cells: Sequence[str]) -> str:
    sink = _Sink()
    csv.writer(sink, lineterminator="").writerow(cells)
    return sink.written


def read(kind: str, lines: Iterable[str]) -> tuple[list[FileRow], list[Mistake]]:
    """Read a file into what it says of each object; every mistake is told."""
    reader = csv.reader(lines)
    heading = next(reader, [])
    known = columns(kind)
    strange = [name for name in heading if name not in known]
    if strange or "name" not in heading or len(set(heading)) != len(heading):
        told = f"columns are {', '.join(known)}, each once and name among them"
        return [], [
            Mistake(1, f"{told}; not {', '.join(strange)}" if strange else told)
        ]
    lists = _lists(kind)
    rows: list[FileRow] = []
    mistakes: list[Mistake] = []
    seen: dict[str, int] = {}
    for cells in reader:
        line = reader.line_num
        if not cells:
            continue
        if len(cells) != len(heading) or len(rows) >= ROWS:
            wrong = f"{len(cells)} cells under {len(heading)} columns"
            mistakes.append(Mistake(line, wrong if len(rows) < ROWS else "too many"))
            continue
        try:
            body = _body(dict(zip(heading, cells, strict=True)), lists)
        except msgspec.DecodeError as error:
            mistakes.append(Mistake(line, str(error)))
            continue
        name = str(body.get("name", ""))
        if seen.setdefault(name, line) != line:
            first = seen[name]
            mistakes.append(Mistake(line, f"{name!r} is in line {first} already"))
        rows.append(FileRow(line, body))
    return rows, mistakes


def _lists(kind: str) -> frozenset[str]:
    fields = msgspec.json.schema(_structure(kind))["$defs"]
    properties = fields[_structure(kind).__name__]["properties"]
    return frozenset(n for n, p in properties.items() if p.get("type") == "array")


def _body(cells: Mapping[str, str], lists: frozenset[str]) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, text in cells.items():
        if text == "":
            continue
        if name in lists:
            many = text.startswith("[")
            body[name] = msgspec.json.decode(text) if many else text.split(";")
        else:
            body[name] = text
    return body


def difference(
    transaction: Transaction, kind: str, rows: Sequence[FileRow], *, complete: bool
) -> tuple[list[ObjectChange], list[Mistake]]:
    """List what a file changes, and what is no such object.

    What a file of fewer columns does not say is left as it is; a complete file takes
    away the objects that it does not have.
    """
    stored = {body["name"]: body for body in _bodies(transaction.connection, kind)}
    if kind in TABLES:
        stored = {name: _plain(kind, body) for name, body in stored.items()}
    found, mistakes = [], []
    for row in rows:
        name = row.body.get("name", "")
        before = stored.pop(name, None)
        old = before or {}
        said = {k: old.get(k) if v == _BLOTTED else v for k, v in row.body.items()}
        try:
            after = _plain(kind, old | said)
        except msgspec.ValidationError as error:
            mistakes.append(Mistake(row.line, str(error)))
            continue
        if before != after:
            found.append(ObjectChange(kind, name, before, after))
    if complete:
        found += [ObjectChange(kind, name, old, None) for name, old in stored.items()]
    return found, mistakes


def _plain(kind: str, body: Body) -> Body:
    """Make a body what the network file would have: typed, without defaults."""
    row = msgspec.convert(body, _structure(kind), strict=False)
    made: Body = msgspec.json.decode(msgspec.json.encode(row))
    return made


def mistakes_between(
    transaction: Transaction, changes: Sequence[ObjectChange], rows: Sequence[FileRow]
) -> list[Mistake]:
    """Hold the network as it would be against the rules between its rows."""
    if not changes or changes[0].kind in TABLES:
        return []
    places = {row.body["name"]: row.line for row in rows}
    objects = network.read_network(transaction.connection)
    for change in changes:
        if change.after is None:
            objects.pop((change.kind, change.name), None)
        else:
            objects[change.kind, change.name] = dict(change.after)
    document: dict[str, list[Body]] = {kind: [] for kind in KINDS}
    for (kind, _), body in objects.items():
        document[kind].append(body)
    kinds = {change.kind for change in changes}
    found = []
    for finding in find_conflicts(document):
        of, place = str(finding.path[0]), int(finding.path[1])
        body = document[of][place] if of in kinds else {}
        line = places.get(body.get("name", ""), 0)
        found.append(Mistake(line, f"{dotted(finding.path)}: {finding.message}"))
    return found


def take(
    transaction: Transaction, actor: Actor, kind: str, changes: Sequence[ObjectChange]
) -> None:
    """Write what a file changes, with the change log."""
    if kind not in TABLES:
        transaction.change(actor, changes, "CSV import")
        return
    table = TABLES[kind][1]
    connection = transaction.connection
    made = [change.after for change in changes if change.after is not None]
    for start in range(0, len(changes), _AT_ONCE):
        names = [one.name for one in changes[start : start + _AT_ONCE]]
        connection.execute(delete(table).where(table.c.name.in_(names)))
    for start in range(0, len(made), _AT_ONCE):
        part = made[start : start + _AT_ONCE]
        if kind == "service_site":
            put_sites(connection, part)
        else:
            whole = [dict.fromkeys(columns(kind)) | _full(kind, one) for one in part]
            connection.execute(insert(table), whole)
    log_changes(connection, actor, changes, transaction.now, "CSV import")


def _full(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    row = msgspec.convert(body, _structure(kind))
    return msgspec.structs.asdict(row)


def shown(change: ObjectChange) -> str:
    """Write a change as a line for people, like ``fairlane apply`` does."""
    before = None if change.before is None else dict(change.before)
    after = None if change.after is None else dict(change.after)
    return str(Change(change.kind, change.name, change.action, before, after))


def log_of(
    connection: Connection,
    *,
    kind: str | None = None,
    name: str | None = None,
    tenant: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Give the change log, the newest first."""
    table = object_change.c
    query = select(object_change)
    for column, value in (
        (table.kind, kind),
        (table.name, name),
        (table.tenant, tenant),
    ):
        if value is not None:
            query = query.where(column == value)
    rows = connection.execute(query.order_by(table.number.desc()).limit(limit))
    return [dict(row._mapping) for row in rows]


def managed(connection: Connection) -> set[tuple[str, str]]:
    """Give what orders, imports and consoles changed: the network file no longer
    decides over it, or a restart would undo it."""
    table = object_change.c
    query = select(table.kind, table.name).where(table.channel != "network_file")
    rows = connection.execute(query.distinct())
    return {(row.kind, row.name) for row in rows if row.kind in KINDS}
