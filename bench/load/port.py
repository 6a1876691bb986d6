"""A source port and what is outstanding on it."""

from __future__ import annotations

from collections import deque

from bench.load.datagrams import SourcePort
from bench.load.packets import SLOTS, Pass

__all__ = ["Port"]


class Port:
    """A source port, which identifiers are free, and what the others wait for."""

    __slots__ = (
        "at",
        "free",
        "octets",
        "outstanding",
        "sent_at",
        "session",
        "source",
        "tries",
    )

    def __init__(self, source: SourcePort) -> None:
        self.source = source
        # First in, first out: an identifier rests as long as possible before it is
        # used again, as a gateway does to be safe from late replies.
        self.free = deque(range(SLOTS))
        self.outstanding = [False] * SLOTS
        self.sent_at = [0.0] * SLOTS
        self.tries = [0] * SLOTS
        self.session = [0] * SLOTS
        self.octets = [0] * SLOTS
        self.at: list[Pass | None] = [None] * SLOTS
