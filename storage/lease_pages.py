"""Every lease for a start: columns of thousands of rows, read while others are taken.

A driver makes an object of each value, holding the interpreter's lock, and in Python
that takes longer than what SQLite itself does. So SQLite packs each column of a page
into one value, which takes no lock, in a thread that is a page ahead. PostgreSQL sends
rows, a page ahead as well.
"""

# ruff: noqa: S608  what is put into statements is our own columns' names
from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import Connection

from ipserver.records import BoundColumns, Ended
from storage.bulk import is_postgresql
from storage.lease_rows import columns_of, restored
from storage.leases import RESTORED_COLUMNS, leases_to_restore

Page = TypeVar("Page")

_PAGE_ROWS: Final = 10_000
_NUMBERS: Final = ("address", "kind", "extended_at", "expires_at")
_OCTETS: Final = ("hardware", "client_id", "agent")
_OF_ENDED: Final = ("ended_at", "end_reason")
_SELECT: Final = ", ".join(
    (
        *(f"json_group_array({name})" for name in (*_NUMBERS, "line")),
        *(
            f"json_group_array(length({name})), group_concat(hex({name}), '')"
            for name in _OCTETS
        ),
        *(
            f"CASE WHEN count(ended_at) THEN json_group_array({name}) END"
            for name in _OF_ENDED
        ),
    )
)
_PAGE: Final = (
    f"SELECT max(address), {_SELECT} FROM (SELECT {', '.join(RESTORED_COLUMNS)}"
    f" FROM lease WHERE address > ? ORDER BY address LIMIT {_PAGE_ROWS})"
)

_numbers: Final = msgspec.json.Decoder(list[int]).decode
_texts: Final = msgspec.json.Decoder(list[str]).decode
_any: Final = msgspec.json.decode


def bindings_to_restore(
    connection: Connection,
) -> Generator[tuple[BoundColumns, list[Ended]]]:
    """Every lease, ended ones too, in the order of addresses, as ``columns_of`` gives
    them. Nobody else may use the connection until the last is taken.
    """
    if is_postgresql(connection):
        yield from map(columns_of, _ahead(leases_to_restore(connection)))
    else:
        yield from map(_unpacked, _ahead(_packed(connection)))


def _ahead(pages: Iterator[Page]) -> Iterator[Page]:
    """Give pages, and have the next read meanwhile."""
    with ThreadPoolExecutor(1, thread_name_prefix="leases") as reader:
        following = reader.submit(next, pages, None)
        while (page := following.result()) is not None:
            following = reader.submit(next, pages, None)
            yield page


def _packed(connection: Connection) -> Iterator[Sequence[Any]]:
    last = -1
    while True:
        page = connection.exec_driver_sql(_PAGE, (last,)).one()
        if page[0] is None:
            return
        last = page[0]
        yield page[1:]


def _unpacked(page: Sequence[Any]) -> tuple[BoundColumns, list[Ended]]:
    address, kind, extended, expires = map(_numbers, page[:4])
    lines = _texts(page[4])
    hardware, client, agent = map(_octets, page[5:11:2], page[6:11:2])
    ended, reason = (_any(column) if column else () for column in page[11:])
    return restored(
        *(address, kind, lines, hardware, client, agent),
        *(extended, expires, ended, reason),
    )


def _octets(sizes: str, shown: str) -> list[bytes]:
    lengths, octets = _numbers(sizes), bytes.fromhex(shown)
    if not octets:
        return [b""] * len(lengths)
    first = lengths[0]
    if lengths.count(first) == len(lengths):
        return [octets[at : at + first] for at in range(0, len(octets), first)]
    ends = list(accumulate(lengths))
    return [octets[at:end] for at, end in zip([0, *ends], ends, strict=False)]
