"""Which sessions an ISP had, and from when until when each was its own.

A session whose service goes to another ISP while it is open is the first one's until
then and the other's from then on: each counts its own part of it. The change feed knows
it; a session of a service that never changed its ISP is that ISP's all along.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

from sqlalchemy import Connection, Row

from storage.network import bodies_of_modified
from storage.periodic_charges import oldest_open, sessions_between


def sessions_of(
    connection: Connection, isp: str, start: int, end: int
) -> Iterator[tuple[int, int]]:
    """Give the parts (start, end) of sessions that were an ISP's, of those that were
    open in a span, in epoch seconds."""
    for _, *part in _parts(connection, isp, start, end):
        yield part[0], part[1]


def open_at(
    connection: Connection, isp: str, at: int, limit: int | None
) -> list[dict[str, Any]]:
    """Give the first sessions, in order of id, that were open at a time and the ISP's
    then."""
    found = (
        dict(row._mapping)
        for row, begun, ended in _parts(connection, isp, at, at + 1)
        if begun <= at < ended
    )
    return list(islice(found, limit))


def _parts(
    connection: Connection, isp: str, start: int, end: int
) -> Iterator[tuple[Row[Any], int, int]]:
    moved: dict[str, list[tuple[int, str]]] = {}
    since = oldest_open(connection, start)
    for name, bodies in bodies_of_modified(connection, "service", since):
        isps = [(at, body["isp"]) for at, body in bodies]
        turns = [(at, to) for (_, had), (at, to) in pairwise(isps) if had != to]
        if turns:
            moved[name] = [(0, isps[0][1]), *turns]
    for row in sessions_between(connection, isp, sorted(moved), start, end):
        turns = moved.get(row.service, [(0, isp)])
        ends = [at for at, _ in turns[1:]] + [row.last_seen_at]
        for (at, whose), until in zip(turns, ends, strict=True):
            begun, ended = max(at, row.started_at), min(until, row.last_seen_at)
            if whose == isp and begun < ended:
                yield row, begun, ended
