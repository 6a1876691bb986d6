"""Requests that wait for an over-allocation request to be granted: few, and not long.

A client that hears nothing for two seconds sends again, so what waits longer is of no
use; and of one line only the newest counts, because its client forgot the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ipserver.question import Question

PARKED_SECONDS = 2.0
_PARKED = 1024


class Parked(NamedTuple):
    """A question with where it came from; ``until`` is on the monotonic clock."""

    request: str
    until: float
    question: Question
    source: bytes
    local: bytes
    listener: int


class Parking:
    """What is parked, by line, the oldest first."""

    def __init__(self) -> None:
        self._parked: dict[bytes, Parked] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, line: bytes, parked: Parked) -> bool:
        """Keep a question for its line; False when there is no room."""
        self._parked.pop(line, None)
        if len(self._parked) >= _PARKED:
            return False
        self._parked[line] = parked
        return True

    def take(self, request: str) -> list[Parked]:
        """Give back what waits for a request, and keep it no longer."""
        return list(self._taken(lambda parked: parked.request == request))

    def overdue(self, now: float) -> int:
        """Forget what has waited too long; tell how many those are."""
        return sum(1 for _ in self._taken(lambda parked: parked.until <= now))

    def _taken(self, which: Callable[[Parked], bool]) -> Iterator[Parked]:
        for line, parked in list(self._parked.items()):
            if which(parked):
                del self._parked[line]
                yield parked
