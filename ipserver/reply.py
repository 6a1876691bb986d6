"""Replies, from a request and what was decided of it.

The fixed fields are copied from the request as RFC 2131 table 3 says, the options are
joined from octets that are there already, and what does not fit goes into the file and
sname fields, then away; option 82 is the last, whole, in every reply or not in it at
all (RFC 3046 section 2.2).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from ipserver.agent import encode
from ipserver.dhcp import BOOTP_OCTETS, BROADCAST_FLAG, COOKIE, HEADER_OCTETS, Option

MESSAGE_OCTETS: Final = 548
"""A DHCP message that every client takes: 576 octets with IP and UDP headers."""
_MESSAGE_OCTETS_MAX: Final = 1472
_HEADERS: Final = 28

_ZEROS: Final = bytes(_MESSAGE_OCTETS_MAX)
_NO_ADDRESS: Final = bytes(4)
_SNAME_AND_FILE: Final = bytes(192)
_END: Final = b"\xff"
_FILE_OCTETS, _SNAME_OCTETS = 128, 64
_FILE, _SNAME = 1, 2

_TIMES = struct.Struct(">BBIBBIBBI")


class Message(NamedTuple):
    """A reply's octets, and what of it had to be left out."""

    octets: bytes
    without_agent: bool = False
    without_options: bool = False


def times(seconds: int, t1: int, t2: int) -> bytes:
    """Encode lease time, T1 and T2 (RFC 2132 sections 9.2, 9.11, 9.12)."""
    return _TIMES.pack(51, 4, seconds, 58, 4, t1, 59, 4, t2)


def size_limit(maximum: bytes) -> int:
    """Give the octets a reply may have, by option 57's content.

    It counts the headers of IP and UDP, and is at least 576 (RFC 2132 section 9.10).
    """
    if len(maximum) != 2:
        return MESSAGE_OCTETS
    wanted = int.from_bytes(maximum) - _HEADERS
    return min(max(wanted, MESSAGE_OCTETS), _MESSAGE_OCTETS_MAX)


def build(
    request: bytes,
    *,
    own: bytes,
    tail: bytes,
    echo: bytes,
    limit: int,
    address: bytes = _NO_ADDRESS,
    client: bytes = _NO_ADDRESS,
    broadcast: bool = False,
    pieces: Sequence[bytes] = (),
) -> Message:
    """Build the reply to ``request``.

    ``own`` are the options that the protocol needs, ``tail`` those that the client
    asked for, ``pieces`` the same one by one for when they do not fit; ``echo`` is
    option 82. ``address`` is yiaddr, ``client`` ciaddr; ``broadcast`` sets the flag
    that the client did not.
    """
    flags = request[10:12]
    if broadcast:
        flags = bytes((flags[0] | BROADCAST_FLAG, flags[1]))
    head = b"\2" + request[1:3] + b"\0" + request[4:8] + b"\0\0" + flags + client
    size = HEADER_OCTETS + len(own) + len(tail) + len(echo) + 1
    if size > limit:
        return _squeezed(request, head, address, own, echo, limit, pieces)
    octets = b"".join(
        (
            head,
            address,
            _NO_ADDRESS,
            request[24:44],
            _SNAME_AND_FILE,
            COOKIE,
            own,
            tail,
            echo,
            _END,
            _ZEROS[: BOOTP_OCTETS - size] if size < BOOTP_OCTETS else b"",
        )
    )
    return Message(octets)


def _squeezed(
    request: bytes,
    head: bytes,
    address: bytes,
    own: bytes,
    echo: bytes,
    limit: int,
    pieces: Sequence[bytes],
) -> Message:
    """Fit what fits: the options area first, then file and sname (RFC 2131 4.1).

    The agent's information may not be split nor be put there, so its room is kept.
    """
    overload_octets = 3
    room = limit - HEADER_OCTETS - len(own) - 1
    without_agent = len(echo) > room
    if without_agent:
        echo = b""
    room -= len(echo)
    rooms = {
        0: room - overload_octets,
        _FILE: _FILE_OCTETS - 1,
        _SNAME: _SNAME_OCTETS - 1,
    }
    areas: dict[int, list[bytes]] = {0: [], _FILE: [], _SNAME: []}
    left = False
    for piece in pieces:
        for area in rooms:
            if len(piece) <= rooms[area]:
                rooms[area] -= len(piece)
                areas[area].append(piece)
                break
        else:
            left = True
    used = (_FILE if areas[_FILE] else 0) | (_SNAME if areas[_SNAME] else 0)
    overload = encode(Option.OVERLOAD, bytes((used,))) if used else b""

    def field(area: int, octets: int) -> bytes:
        content = b"".join(areas[area])
        return (content + _END if content else b"").ljust(octets, b"\0")

    octets = b"".join(
        (
            head,
            address,
            _NO_ADDRESS,
            request[24:44],
            field(_SNAME, _SNAME_OCTETS),
            field(_FILE, _FILE_OCTETS),
            COOKIE,
            own,
            overload,
            *areas[0],
            echo,
            _END,
        )
    )
    return Message(octets.ljust(BOOTP_OCTETS, b"\0"), without_agent, left)
