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
from sqlalchemy import Connection

from config.checker import find_mistakes
from config.network import Change
from config.problems import dotted
from config.row import Body, redacted
from services.inventory import (
    TABLES,
    Key,
    bodies,
    key_of,
    owner_of,
    plain,
    structure,
)
from services.inventory_rules import conflicts
from services.provisioning import ObjectChange, Transaction

ROWS: Final = 2_000_000
_BLOTTED: Final = "***"


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
    return [field.encode_name for field in msgspec.structs.fields(structure(kind))]


def export(connection: Connection, kind: str, tenant: str | None) -> Iterator[str]:
    """Write a kind's objects as lines of CSV, of one tenant or (None) of all."""
    names = columns(kind)
    yield _line(names)
    for body in bodies(connection, kind):
        if tenant is None or owner_of(kind, body) == tenant:
            yield _line([_cell(redacted(body).get(name)) for name in names])


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
    seen: dict[Key, int] = {}
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
        key = key_of(kind, body)
        if seen.setdefault(key, line) != line:
            told = f"{key[1]!r} is in line {seen[key]} already"
            mistakes.append(Mistake(line, told))
        rows.append(FileRow(line, body))
    return rows, mistakes


def _lists(kind: str) -> frozenset[str]:
    fields = msgspec.json.schema(structure(kind))["$defs"]
    properties = fields[structure(kind).__name__]["properties"]
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
    stored = {key_of(kind, one): one for one in bodies(transaction.connection, kind)}
    found, mistakes = [], []
    for row in rows:
        name = row.body.get("name", "")
        before = stored.pop(key_of(kind, row.body), None)
        old = before or {}
        said = {k: old.get(k) if v == _BLOTTED else v for k, v in row.body.items()}
        try:
            after = plain(kind, old | said)
        except msgspec.ValidationError as error:
            mistakes.append(Mistake(row.line, str(error)))
            continue
        wrong = find_mistakes(structure(kind), after)
        mistakes += [
            Mistake(row.line, f"{dotted(one.path)}: {one.message}") for one in wrong
        ]
        if before != after and not wrong:
            found.append(ObjectChange(kind, name, before, after))
    if complete:
        found += [ObjectChange(kind, key[1], old, None) for key, old in stored.items()]
    return found, mistakes


def mistakes_between(
    transaction: Transaction, changes: Sequence[ObjectChange], rows: Sequence[FileRow]
) -> list[Mistake]:
    """Hold the inventory as it would be against the rules between its rows."""
    if not changes:
        return []
    kind = changes[0].kind
    lines = {key_of(kind, row.body): row.line for row in rows}
    return [
        Mistake(
            lines.get(key_of(kind, change.after or {}), 0) if change else 0,
            f"{dotted(finding.path)}: {finding.message}",
        )
        for change, finding in conflicts(transaction, changes)
    ]


def shown(change: ObjectChange) -> str:
    """Write a change as a line for people, like ``fairlane apply`` does."""
    before = None if change.before is None else dict(change.before)
    after = None if change.after is None else dict(change.after)
    return str(Change(change.kind, change.name, change.action, before, after))
