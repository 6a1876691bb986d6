"""A source port and what is outstanding on it."""

from __future__ import annotations

from typing import NamedTuple

from bench.load.datagrams import SourcePort
from bench.load.packets import SLOTS, Pass

__all__ = ["Port", "Sent"]


class Sent(NamedTuple):
    """Requests that left one port together: of sessions `session`, `session` + 1 ...
    under these identifiers, with so many octets each.

    `at` is when the first transmission counts from, in seconds; `tries` is how many
    retransmissions there were.
    """

    identifiers: list[int]
    session: int
    report: Pass
    octets: int
    at: float
    tries: int = 0

    def session_of(self, identifier: int) -> int:
        """The session of one of them."""
        return self.session + self.identifiers.index(identifier)


class Port:
    """A source port, which identifiers are free, and what the others wait for."""

    __slots__ = ("free", "source", "waiting")

    def __init__(self, source: SourcePort) -> None:
        self.source = source
        # First in, first out: an identifier rests as long as possible before it is
        # used again, as a gateway does to be safe from late replies.
        self.free = list(range(SLOTS))
        self.waiting: list[Sent | None] = [None] * SLOTS
