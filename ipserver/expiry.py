"""When leases end: a wheel of seconds, turned a bounded amount at a time.

Nothing depends on it being punctual. Whoever looks at a lease compares its end with the
time; the wheel only sees to it that ended ones are found without looking at all. A slot
is in it once, however often its lease is renewed: met before its time, it moves on.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Final

SECONDS: Final = 4096
"""Buckets of the wheel. A longer lease is met once in every turn, which for a million
leases is 250 a second."""


class Wheel:
    """Slots by the second in which they are due; ``now`` is where it begins."""

    def __init__(self, now: int) -> None:
        self._buckets = [array("I") for _ in range(SECONDS)]
        self._at = now
        self._due = array("I")

    def add(self, slot: int, due: int) -> None:
        """Put a slot where it is met at ``due``; in the next second if that is past."""
        self._buckets[max(due, self._at) % SECONDS].append(slot)

    def add_all(self, first: int, due: Sequence[int]) -> None:
        """Put consecutive slots where each is met, from ``first`` on."""
        buckets, earliest = self._buckets, self._at
        if min(due, default=earliest) < earliest:
            due = [max(earliest, at) for at in due]
        for slot, at in enumerate(due, first):
            buckets[at % SECONDS].append(slot)

    def turn(self, now: int, limit: int, meet: Callable[[int], int]) -> bool:
        """Meet the slots that are due, ``limit`` at most; whether more are.

        ``meet`` gives the time at which a slot is due again, 0 for never. A clock that
        jumps, in either direction, costs one turn of the wheel.
        """
        if now < self._at:
            self._at = now
        elif now - self._at >= SECONDS:
            self._at = now - SECONDS + 1
        buckets = self._buckets
        while True:
            while self._due and limit > 0:
                limit -= 1
                slot = self._due.pop()
                again = meet(slot)
                if again:
                    # Perhaps into the bucket that it came from: for the next round.
                    buckets[max(again, now + 1) % SECONDS].append(slot)
            if self._due:
                return True
            if self._at > now:
                return False
            place = self._at % SECONDS
            self._at += 1
            if buckets[place]:
                self._due, buckets[place] = buckets[place], array("I")
