"""Which packet of which session comes next.

Sessions are dealt out in runs of consecutive numbers, because a run is written by one
call; a run never crosses from one pass into the next.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import count

from bench.load.packets import Pass, Status

__all__ = ["Feed", "passes"]


def passes(phases: Iterable[str], *, rounds: int = 0, first: int = 1) -> Iterator[Pass]:
    """The passes of phases named starts, interims and stops, in their order.

    Interims go through rounds `first`, `first` + 1 ...: `rounds` of them, without end
    when 0 (nothing after them is reached then). A stop belongs to the round after the
    last interim.
    """
    round_ = first
    for phase in phases:
        if phase == "starts":
            yield Pass(Status.START, 0)
        elif phase == "interims":
            for _ in range(rounds) if rounds else count():
                yield Pass(Status.INTERIM, round_)
                round_ += 1
        elif phase == "stops":
            yield Pass(Status.STOP, round_)
        else:
            raise ValueError(f"unknown phase {phase!r}: starts, interims or stops")


class Feed:
    """Deals out the sessions of pass after pass, in runs of consecutive numbers."""

    def __init__(
        self, work: Iterator[Pass], first: int, sessions: int, max_packets: int
    ) -> None:
        self._work = work
        self._first, self._sessions = first, sessions
        self._left = max_packets or sys.maxsize
        self._next = 0
        self.ended = False
        self._at = Pass(Status.START, 0)
        self._next_pass()

    def _next_pass(self) -> None:
        at = next(self._work, None)
        if at is None:
            self.ended = True
        else:
            self._at, self._next = at, 0

    def take(self, most: int) -> tuple[int, Pass, int]:
        """First session, its pass, and how many sessions from there."""
        size = min(most, self._sessions - self._next, self._left)
        dealt = self._first + self._next, self._at, size
        self._next += size
        self._left -= size
        if not self._left:
            self.ended = True
        elif self._next == self._sessions:
            self._next_pass()
        return dealt
