"""The journal's bindings by the thousand: a start and the ledger read them in columns.

An object for each number and a call for each entry is what takes the time. So entries
are taken apart by their lengths alone, the parts of all that are of one shape are read
at once, and numbers are copied octet by octet of all entries.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import defaultdict
from collections.abc import Container, Iterator, KeysView, Mapping
from functools import lru_cache
from typing import Any, Final

from ipserver.records import BOUND, EXCESS, BoundColumns, Entry, entry

_HEAD: Final = struct.Struct("<BH16xI5x9s")
"""An entry's kind and length, and the address of a Bound and its parts' sizes."""
_FRAME_OCTETS: Final = 3
_BOUND_OCTETS: Final = 37
_SIZES: Final = struct.Struct("<BHHHH")
_NUMBERS: Final = (("q", 3), ("q", 11), ("I", 19), ("B", 27))
"""Where at, expires, address and kind are in a Bound, as columns have them."""

Alike = Mapping[tuple[int, bytes], list[bytes]]
"""Bounds by what they have in common: their length and the sizes of their parts."""


def sorted_out(octets: bytes, known: KeysView[int]) -> tuple[BoundColumns, list[Entry]]:
    """Read the entries of leases: first a binding of each address that is not
    ``known``, then all that is to be taken after them, in order.

    A binding says everything about its address, so it may come before all that others
    say of theirs.
    """
    alike, others = apart(octets)
    bindings = _columns(alike)
    addresses = set(bindings.addresses)
    if len(addresses) < len(bindings.addresses) or not known.isdisjoint(addresses):
        alike, others = apart(octets, known, once=True)
        bindings = _columns(alike)
    return bindings, others


def apart(
    octets: bytes, known: Container[int] = (), *, once: bool = False
) -> tuple[Alike, list[Entry]]:
    """Take apart the bindings of addresses that nothing is said of before them, nor
    ``known``, and the other entries of leases, in order; with ``once``, of several
    bindings of an address only the first is not among the others.
    """
    alike: defaultdict[tuple[int, bytes], list[bytes]] = defaultdict(list)
    others: list[Entry] = []
    touched: set[int] = set()
    padded, place, end = octets + bytes(_HEAD.size), 0, len(octets)
    head = _HEAD.unpack_from
    while place < end:
        kind, length, address, sizes = head(padded, place)
        following = place + _FRAME_OCTETS + length
        if kind == BOUND and address not in touched and address not in known:
            alike[length, sizes].append(octets[place:following])
            if once:
                touched.add(address)
        elif BOUND <= kind <= EXCESS and following <= end:
            other = entry(kind, octets[place + _FRAME_OCTETS : following])
            others.append(other)
            if kind != EXCESS:
                touched.add(other.address)
        place = following
    if place != end:
        raise ValueError("an entry is cut off")
    return alike, others


def whole(alike: Alike) -> Iterator[tuple[Any, ...]]:
    """Read Bounds: at, expires, address, generation, kind, what ``place`` wrote, line
    and service as they were written, hardware, client identifier and agent."""
    for (length, sizes), found in alike.items():
        yield from _parts(length, sizes).iter_unpack(b"".join(found))


def _columns(alike: Alike) -> BoundColumns:
    rows: list[tuple[bytes, ...]] = []
    heads: list[bytes] = []
    for (length, sizes), found in alike.items():
        rows += _restored(length, sizes).iter_unpack(b"".join(found))
        heads += [octets[:_BOUND_OCTETS] for octets in found]
    if not rows:
        return BoundColumns()
    numbers = b"".join(heads)
    at, expires, addresses, kinds = (_column(*number, numbers) for number in _NUMBERS)
    lines, *parts = zip(*rows, strict=True)
    texts = [line.decode() for line in lines]
    return BoundColumns(at, expires, addresses, kinds, texts, *parts)


def _column(code: str, at: int, heads: bytes) -> array[int]:
    """Take a number of each head, octet by octet of all of them at once."""
    column = array(code)
    size, each = column.itemsize, _BOUND_OCTETS
    octets = bytearray(len(heads) // each * size)
    for place in range(size):
        octets[place::size] = heads[at + place :: each]
    column.frombytes(octets)
    if sys.byteorder == "big":
        column.byteswap()
    return column


@lru_cache(maxsize=4096)
def _parts(length: int, sizes: bytes) -> struct.Struct:
    hardware, client, placed, line, service, agent = _divided(length, sizes)
    return struct.Struct(
        f"<3xqqIIB9x{placed}s{line}s{service}s{hardware}s{client}s{agent}s"
    )


@lru_cache(maxsize=4096)
def _restored(length: int, sizes: bytes) -> struct.Struct:
    """What is no number of that which a start wants to know."""
    hardware, client, placed, line, service, agent = _divided(length, sizes)
    return struct.Struct(
        f"<{_BOUND_OCTETS + placed}x{line}s{service}x{hardware}s{client}s{agent}s"
    )


def _divided(length: int, sizes: bytes) -> tuple[int, ...]:
    known = _SIZES.unpack(sizes)
    agent = length + _FRAME_OCTETS - _BOUND_OCTETS - sum(known)
    if agent < 0:
        raise ValueError("an entry is cut off")
    return *known, agent
