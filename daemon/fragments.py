"""Datagrams put together from the fragments that a capture has of them.

A request with long attributes does not fit a packet of 1,500 octets; the kernel of a
daemon reassembles it (RFC 791 section 3.2, RFC 8200 section 4.5), a capture has the
pieces. Pieces may come in any order and twice; overlapping ones are refused whole (RFC
5722), and what never becomes complete is forgotten, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_INCOMPLETE = 1024
"""Datagrams that may wait for pieces: each has 64 KiB at the most."""

Key = tuple[str, str, int]
"""Source, destination and identification."""


@dataclass(slots=True)
class _Pieces:
    by_offset: dict[int, bytes] = field(default_factory=dict)
    octets: int | None = None

    def whole(self) -> bytes | None:
        """Give the datagram when no piece is missing, b"" when pieces overlap."""
        place, joined = 0, []
        for offset, piece in sorted(self.by_offset.items()):
            if offset > place:
                return None
            if offset < place:
                return b""
            joined.append(piece)
            place += len(piece)
        return b"".join(joined) if place == self.octets else None


class Reassembly:
    """Takes fragments one by one and gives each datagram with its last piece."""

    def __init__(self) -> None:
        self._waiting: dict[Key, _Pieces] = {}

    def add(self, key: Key, offset: int, piece: bytes, *, more: bool) -> bytes | None:
        """Take a piece at ``offset`` octets; ``more`` says that others follow it.

        Gives the whole datagram when it is complete, else None.
        """
        pieces = self._waiting.setdefault(key, _Pieces())
        pieces.by_offset[offset] = piece
        if not more:
            pieces.octets = offset + len(piece)
        whole = pieces.whole()
        if whole is not None:
            del self._waiting[key]
        elif len(self._waiting) > _INCOMPLETE:
            del self._waiting[next(iter(self._waiting))]
        return whole or None
