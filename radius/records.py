"""How packets lie in a block of a journal: each behind its sender and NAS.

The receiver joins what it commits together, and the ledger takes it apart again; both
are on the path of every packet, so a record is its packet as received behind a prefix
that the receiver makes once for each sender. A packet tells its own length.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

_PREFIX = struct.Struct("<BBH")
_ORIGINS = 65536
"""Senders remembered: as many as the receiver remembers."""


class Origin(NamedTuple):
    """Where a record came from: source address (4 or 16 octets), port, NAS name."""

    address: bytes
    port: int
    nas: str


def encode_origin(origin: Origin) -> bytes:
    """Encode what precedes each packet of a sender; 255 octets of name at the most."""
    nas = origin.nas.encode()
    return (
        _PREFIX.pack(len(origin.address), len(nas), origin.port) + origin.address + nas
    )


def split(octets: bytes) -> list[bytes]:
    """Cut a block into the octets of its records, each behind its own prefix."""
    cut, place = [], 0
    while place < len(octets):
        packet = place + _PREFIX.size + octets[place] + octets[place + 1]
        end = packet + int.from_bytes(octets[packet + 2 : packet + 4])
        cut.append(octets[place:end])
        place = end
    return cut


class RecordReader:
    """Takes blocks apart, and remembers the senders that it has seen."""

    def __init__(self) -> None:
        self._origins: dict[bytes, Origin] = {}

    def read(self, octets: bytes) -> list[tuple[Origin, bytes]]:
        """Give where each record of a block came from, and its packet, in order."""
        records: list[tuple[Origin, bytes]] = []
        place, end, origins, append = 0, len(octets), self._origins, records.append
        while place < end:
            start = place + 4 + octets[place] + octets[place + 1]
            prefix = octets[place:start]
            origin = origins.get(prefix) or self._decode_origin(prefix)
            place = start + (octets[start + 2] << 8 | octets[start + 3])
            append((origin, octets[start:place]))
        return records

    def _decode_origin(self, prefix: bytes) -> Origin:
        address_octets, _, port = _PREFIX.unpack_from(prefix)
        behind = 4 + address_octets
        origin = Origin(prefix[4:behind], port, prefix[behind:].decode())
        if len(self._origins) >= _ORIGINS:
            self._origins.clear()
        self._origins[prefix] = origin
        return origin
