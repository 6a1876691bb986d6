"""The octets of a reply, from a request and the options that were chosen for it.

The fixed fields are copied from the request as RFC 2131 table 3 says, the options are
joined from octets that are there already, and what does not fit goes into the file and
sname fields, then away; option 82 is the last, whole, in every reply or not in it at
all (RFC 3046 section 2.2).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from ipserver.agent import encode
from ipserver.answer import Lease
from ipserver.dhcp import BOOTP_OCTETS, BROADCAST_FLAG, COOKIE, HEADER_OCTETS, Option

MESSAGE_OCTETS: Final = 548
"""A DHCP message that every client takes: 576 octets with IP and UDP headers."""
_MESSAGE_OCTETS_MAX: Final = 1472
_HEADERS: Final = 28

NO_ADDRESS: Final = bytes(4)
_SNAME_FILE_COOKIE: Final = bytes(192) + COOKIE
_END: Final = b"\xff"
_FILE_OCTETS, _SNAME_OCTETS = 128, 64
_FILE, _SNAME = 1, 2
_OVERLOAD_OCTETS = 3
_ENDS: Final = [_END + bytes(BOOTP_OCTETS - size) for size in range(BOOTP_OCTETS)]
"""END and the padding behind it, by the octets there are with END."""

_TIMES = struct.Struct(">HIHIHI")
_SECONDS, _T1, _T2 = 51 << 8 | 4, 58 << 8 | 4, 59 << 8 | 4
_LEASE = struct.Struct(">B2sx4s2x2s4sI4x20s192x4s9sHIHIHI")
"""op, htype, hlen, xid, flags, ciaddr, yiaddr, giaddr, chaddr, cookie; options 53, 54
and times. hops, secs and siaddr are 0."""
_LEASE_OCTETS: Final = _LEASE.size - HEADER_OCTETS


class Content(Struct, frozen=True, gc=False):
    """What a reply has in it besides what it copies from the request.

    ``address`` is yiaddr, ``client`` ciaddr. ``own`` are the options that the protocol
    needs, encoded; ``echo`` is option 82, or empty. ``broadcast`` sets the flag that
    the client did not.
    """

    own: bytes
    echo: bytes
    limit: int
    address: bytes = NO_ADDRESS
    client: bytes = NO_ADDRESS
    broadcast: bool = False


class Squeezed(NamedTuple):
    """A reply that not everything fitted into, and what had to be left out."""

    octets: bytes
    without_agent: bool
    without_options: bool


def times(seconds: int, t1: int, t2: int) -> bytes:
    """Encode lease time, T1 and T2 (RFC 2132 sections 9.2, 9.11, 9.12)."""
    return _TIMES.pack(_SECONDS, seconds, _T1, t1, _T2, t2)


def size_limit(maximum: bytes) -> int:
    """Give the octets a reply may have, by option 57's content.

    It counts the headers of IP and UDP, and is at least 576 (RFC 2132 section 9.10).
    """
    if len(maximum) != 2:
        return MESSAGE_OCTETS
    wanted = int.from_bytes(maximum) - _HEADERS
    return min(max(wanted, MESSAGE_OCTETS), _MESSAGE_OCTETS_MAX)


def build(request: bytes, content: Content, tail: bytes) -> bytes | None:
    """Build the reply to ``request``; None when it would be too long.

    ``tail`` are the network's options, encoded one behind the other.
    """
    own, echo = content.own, content.echo
    size = HEADER_OCTETS + len(own) + len(tail) + len(echo) + 1
    if size > content.limit:
        return None
    flags = _flagged(request) if content.broadcast else request[10:12]
    return b"".join(
        (
            b"\2",
            request[1:3],
            b"\0",
            request[4:8],
            b"\0\0",
            flags,
            content.client,
            content.address,
            NO_ADDRESS,
            request[24:44],
            _SNAME_FILE_COOKIE,
            own,
            tail,
            echo,
            _ENDS[size] if size < BOOTP_OCTETS else _END,
        )
    )


def build_lease(
    request: bytes,
    client: bytes,
    lease: Lease,
    protocol: bytes,
    more: bytes,
    tail: bytes,
    echo: bytes,
) -> bytes | None:
    """Build what nearly all replies are, a lease, in one go, as ``build`` would.

    ``protocol`` are options 53 and 54, ``more`` other options of the protocol. None
    where a client might not take that much.
    """
    size = HEADER_OCTETS + _LEASE_OCTETS + len(more) + len(tail) + len(echo) + 1
    if size > MESSAGE_OCTETS:
        return None
    fixed = _LEASE.pack(
        2,
        request[1:3],
        request[4:8],
        request[10:12],
        client,
        lease.address,
        request[24:44],
        COOKIE,
        protocol,
        _SECONDS,
        lease.seconds,
        _T1,
        lease.t1,
        _T2,
        lease.t2,
    )
    end = _ENDS[size] if size < BOOTP_OCTETS else _END
    return b"".join((fixed, more, tail, echo, end))


def squeeze(request: bytes, content: Content, pieces: Sequence[bytes]) -> Squeezed:
    """Build a reply that is too long otherwise, from the network's options one by one.

    The options area is filled first, then file and sname (RFC 2131 section 4.1). Option
    82 may not be split nor be put there, so its room is kept.
    """
    # A client with an identifier of hundreds of octets gets it back all the same.
    limit = max(content.limit, HEADER_OCTETS + len(content.own) + 1)
    room = limit - HEADER_OCTETS - len(content.own) - 1
    without_agent = len(content.echo) > room
    echo = b"" if without_agent else content.echo
    rooms = {
        0: room - len(echo) - _OVERLOAD_OCTETS,
        _FILE: _FILE_OCTETS - 1,
        _SNAME: _SNAME_OCTETS - 1,
    }
    areas: dict[int, list[bytes]] = {area: [] for area in rooms}
    left = False
    for piece in pieces:
        area = next((a for a, free in rooms.items() if len(piece) <= free), None)
        if area is None:
            left = True
            continue
        rooms[area] -= len(piece)
        areas[area].append(piece)
    used = (_FILE if areas[_FILE] else 0) | (_SNAME if areas[_SNAME] else 0)
    if used and rooms[0] < 0:  # no room for option 52, which tells of the others
        areas, used, left = {area: [] for area in rooms}, 0, True
    overload = encode(Option.OVERLOAD, bytes((used,))) if used else b""
    tail = overload + b"".join(areas[0])
    whole = build(request, replace(content, echo=echo, limit=limit), tail)
    assert whole is not None
    octets = bytearray(whole)
    octets[44:108] = _field(areas[_SNAME], _SNAME_OCTETS)
    octets[108:236] = _field(areas[_FILE], _FILE_OCTETS)
    return Squeezed(bytes(octets), without_agent, left)


def _field(pieces: list[bytes], octets: int) -> bytes:
    content = b"".join(pieces)
    return (content + _END if content else b"").ljust(octets, b"\0")


def _flagged(request: bytes) -> bytes:
    return bytes((request[10] | BROADCAST_FLAG, request[11]))
