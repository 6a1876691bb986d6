"""What the journal of the address server says: entries that delimit themselves.

An entry is a kind, the length of what follows, and that. Kinds 1 to 31 are of leases
and are made here; 32 to 63 are of blocks, requests and loans. Each says all that is to
be known, so any prefix of a journal means something and the database can follow from
any position. The records of one answer may be several entries one behind the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from ipserver.reasons import Reason

_FRAME: Final = struct.Struct("<BH")
_BOUND: Final = struct.Struct("<qqIIBBHHHH")
_BOUND_FRAME: Final = struct.Struct("<BHqqIIBBHHHH")
_EXTENDED: Final = struct.Struct("<qqI")
_ENDED: Final = struct.Struct("<qIB")
_DECLINED: Final = struct.Struct("<qqI")
_REUSABLE: Final = struct.Struct("<qI")
_EXCESS: Final = struct.Struct("<qIIIqqq")

BOUND, EXTENDED, ENDED, DECLINED, REUSABLE, EXCESS = 1, 2, 3, 4, 5, 6

ENDS: Final = (
    Reason.EXPIRED,
    Reason.RELEASED,
    Reason.REPLACED,
    Reason.MOVED,
    Reason.DECLINED,
    Reason.SERVICE_CHANGED,
    Reason.DECLINE_LIMIT,
)
"""Why a binding ends, by the number that stands for it; the order is for ever."""
_END_NUMBERS: Final = {reason: number for number, reason in enumerate(ENDS)}


class Bound(NamedTuple):
    """A binding is made. Times are seconds since the epoch.

    ``kind`` is one of ``ipserver.lease_table``'s; ``line`` as ``line_text`` writes it.
    ``owner`` is the ISP that the block belongs to ("network" for the reserve),
    ``borrower`` the one that holds it, "" when that is the owner.
    """

    at: int
    expires: int
    address: int
    generation: int
    kind: int
    pool: str
    isp: str
    owner: str
    borrower: str
    line: str
    service: str
    hardware: bytes
    client_id: bytes
    agent: bytes


class Extended(NamedTuple):
    """A binding's end is moved."""

    at: int
    expires: int
    address: int


class Ended(NamedTuple):
    """A binding is over before its time."""

    at: int
    address: int
    reason: Reason


class Declined(NamedTuple):
    """An address is in use by somebody unknown, and kept from use for a while."""

    at: int
    until: int
    address: int
    line: str


class Reusable(NamedTuple):
    """An address is out of quarantine before its time."""

    at: int
    address: int


class Excess(NamedTuple):
    """An address beyond the service: sold for ``month`` when ``price_micro`` is more
    than the line has paid, or free until ``grace_until``.

    ``sold`` and ``micro`` are the line's totals of the month, this one included.
    """

    at: int
    address: int
    month: int
    sold: int
    price_micro: int
    micro: int
    grace_until: int
    line: str
    service: str
    isp: str


Entry = Bound | Extended | Ended | Declined | Reusable | Excess


def frame(kind: int, body: bytes) -> bytes:
    """Make an entry."""
    return _FRAME.pack(kind, len(body)) + body


def frames(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Take entries of any kind apart; raises ValueError where they do not fit."""
    place, end = 0, len(octets)
    while place < end:
        if place + 3 > end:
            raise ValueError("an entry is cut off in its head")
        kind = octets[place]
        start = place + 3
        place = start + (octets[place + 1] | octets[place + 2] << 8)
        if place > end:
            raise ValueError("an entry is cut off")
        yield kind, octets[start:place]


def bodies(octets: bytes, wanted: int) -> list[bytes]:
    """Take out the entries of one kind, in a fifth of the time of ``frames``."""
    place, end, found = 0, len(octets), []
    padded = octets + bytes(_FRAME.size)
    head = _FRAME.unpack_from
    while place < end:
        kind, length = head(padded, place)
        start = place + _FRAME.size
        place = start + length
        if kind == wanted:
            found.append(octets[start:place])
    if place != end:
        raise ValueError("an entry is cut off")
    return found


def entries(octets: bytes) -> Iterator[Entry]:
    """Read the entries of leases; those of other kinds are passed over."""
    for kind, body in frames(octets):
        if kind <= EXCESS:
            yield entry(kind, body)


def entry(kind: int, body: bytes) -> Entry:
    """Read one entry of a lease."""
    match kind:
        case 1:
            return _bound(body)
        case 2:
            return Extended._make(_EXTENDED.unpack(body))
        case 3:
            at, address, number = _ENDED.unpack(body)
            return Ended(at, address, ENDS[number])
        case 4:
            line = body[_DECLINED.size :].decode()
            return Declined._make((*_DECLINED.unpack_from(body), line))
        case 5:
            return Reusable._make(_REUSABLE.unpack(body))
        case _:
            line, service, isp = _texts(body, _EXCESS.size, 3)[0]
            return Excess._make((*_EXCESS.unpack_from(body), line, service, isp))


class BoundColumns(NamedTuple):
    """Many bindings: a column for each thing that a start wants to know of them."""

    at: Sequence[int] = ()
    expires: Sequence[int] = ()
    addresses: Sequence[int] = ()
    kinds: Sequence[int] = ()
    lines: Sequence[str] = ()
    hardware: Sequence[bytes] = ()
    client_ids: Sequence[bytes] = ()
    agents: Sequence[bytes] = ()


def place(pool: str, isp: str, owner: str, borrower: str) -> bytes:
    """Write what all bindings of a block say of it."""
    return b"".join(_text(text) for text in (pool, isp, owner, borrower))


def bound(
    at: int,
    expires: int,
    address: int,
    generation: int,
    kind: int,
    placed: bytes,
    line: str,
    service: str,
    hardware: bytes,
    client_id: bytes,
    agent: bytes,
) -> bytes:
    """Write a Bound; ``placed`` is what ``place`` made."""
    name, sold = line.encode(), service.encode()
    texts = b"".join((placed, name, sold, hardware, client_id, agent))
    return (
        _BOUND_FRAME.pack(
            BOUND,
            _BOUND.size + len(texts),
            at,
            expires,
            address,
            generation,
            kind,
            len(hardware),
            len(client_id),
            len(placed),
            len(name),
            len(sold),
        )
        + texts
    )


def extended(at: int, expires: int, address: int) -> bytes:
    """Write an Extended."""
    return _FRAME.pack(EXTENDED, _EXTENDED.size) + _EXTENDED.pack(at, expires, address)


def ended(at: int, address: int, reason: Reason) -> bytes:
    """Write an Ended."""
    return frame(ENDED, _ENDED.pack(at, address, _END_NUMBERS[reason]))


def declined(at: int, until: int, address: int, line: str) -> bytes:
    """Write a Declined."""
    return frame(DECLINED, _DECLINED.pack(at, until, address) + line.encode())


def reusable(at: int, address: int) -> bytes:
    """Write a Reusable."""
    return frame(REUSABLE, _REUSABLE.pack(at, address))


def excess(entry: Excess) -> bytes:
    """Write an Excess."""
    texts = b"".join(_text(text) for text in entry[-3:])
    return frame(EXCESS, _EXCESS.pack(*entry[:-3]) + texts)


def _text(text: str) -> bytes:
    octets = text.encode()
    return len(octets).to_bytes(2, "little") + octets


def _texts(body: bytes, start: int, count: int) -> tuple[list[str], int]:
    texts = []
    for _ in range(count):
        end = start + 2 + (body[start] | body[start + 1] << 8)
        texts.append(body[start + 2 : end].decode())
        start = end
    return texts, start


@lru_cache(maxsize=4096)
def placed(octets: bytes) -> tuple[str, ...]:
    """Read what ``place`` wrote; a million leases are in a handful of places."""
    return tuple(_texts(octets, 0, 4)[0])


def _bound(body: bytes) -> Bound:
    at, expires, address, generation, kind, *lengths = _BOUND.unpack_from(body)
    of_hardware, of_client, of_place, of_line, of_service = lengths
    line = _BOUND.size + of_place
    pool, isp, owner, borrower = placed(body[_BOUND.size : line])
    service = line + of_line
    hardware = service + of_service
    client = hardware + of_hardware
    agent = client + of_client
    return Bound(
        *(at, expires, address, generation, kind),
        *(pool, isp, owner, borrower),
        *(body[line:service].decode(), body[service:hardware].decode()),
        *(body[hardware:client], body[client:agent], body[agent:]),
    )
