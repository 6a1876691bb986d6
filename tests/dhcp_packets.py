"""DHCP messages for tests, made without the code under test."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

COOKIE = b"\x63\x82\x53\x63"
DISCOVER, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM = range(1, 9)
LEASEQUERY, LEASEUNASSIGNED, LEASEUNKNOWN, LEASEACTIVE = range(10, 14)


def option(code: int, content: bytes) -> bytes:
    """Encode one option."""
    return bytes((code, len(content))) + content


def ip(text: str) -> bytes:
    """Encode an IPv4 address."""
    return socket.inet_aton(text)


def number(text: str) -> int:
    """Give an IPv4 address as an integer."""
    return int.from_bytes(ip(text))


def agent(circuit_id: bytes = b"", remote_id: bytes = b"", more: bytes = b"") -> bytes:
    """Encode option 82's content."""
    content = option(1, circuit_id) if circuit_id else b""
    return content + (option(2, remote_id) if remote_id else b"") + more


def message(
    kind: int | None,
    options: bytes = b"",
    *,
    xid: int = 0x01020304,
    giaddr: str = "127.0.0.1",
    ciaddr: str = "0.0.0.0",
    hardware: bytes = b"\x02\x00\x00\x00\x00\x01",
    flags: int = 0,
    hops: int = 1,
    op: int = 1,
    sname: bytes = b"",
    file: bytes = b"",
    end: bytes = b"\xff",
) -> bytes:
    """Make a client's message; ``kind`` None leaves option 53 out."""
    header = struct.pack(
        "!BBBBIHH4s4s4s4s16s64s128s",
        *(op, 1, len(hardware), hops, xid, 7, flags),
        *(ip(ciaddr), bytes(4), bytes(4), ip(giaddr)),
        *(hardware, sname, file),
    )
    typed = option(53, bytes((kind,))) if kind is not None else b""
    return header + COOKIE + typed + options + end


class Answer(NamedTuple):
    """A server's reply, taken apart; options in the order they stand in."""

    kind: int
    xid: int
    flags: int
    ciaddr: str
    yiaddr: str
    giaddr: str
    hardware: bytes
    options: dict[int, bytes]
    octets: bytes


def answer(octets: bytes) -> Answer:
    """Take a reply apart."""
    assert octets[0] == 2
    assert octets[236:240] == COOKIE
    options: dict[int, bytes] = {}
    place = 240
    while octets[place] != 255:
        if octets[place] == 0:
            place += 1
            continue
        start = place + 2
        place = start + octets[place + 1]
        code = octets[start - 2]
        options[code] = options.get(code, b"") + octets[start:place]
    addresses = [socket.inet_ntoa(octets[at : at + 4]) for at in (12, 16, 24)]
    return Answer(
        options[53][0],
        int.from_bytes(octets[4:8]),
        int.from_bytes(octets[10:12]),
        *addresses,
        octets[28 : 28 + octets[2]],
        options,
        octets,
    )
