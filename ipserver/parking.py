"""Requests that wait for an over-allocation request to be granted: few, and not long.

A client that hears nothing for two seconds sends again, so what waits longer is of no
use; and of one line only the newest counts, because its client forgot the others.
"""

from __future__ import annotations

from typing import NamedTuple

from ipserver.intake import Arrival
from ipserver.question import Question


class _Parked(NamedTuple):
    request: str
    until: float
    arrival: Arrival
    question: Question


class Parking:
    """What is parked, one of each line, so many at most and for so many seconds.

    ``moment`` is the monotonic clock's seconds.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._parked: dict[bytes, _Parked] = {}

    def __len__(self) -> int:
        return len(self._parked)

    def park(
        self, request: str, moment: float, arrival: Arrival, question: Question
    ) -> bool:
        """Keep what waits for ``request``; False when there is no room."""
        octets = arrival.query.octets
        line = octets[24:28] + (question.relayed.agent.octets or octets[28:44])
        self._parked.pop(line, None)
        if len(self._parked) >= self._most:
            return False
        until = moment + self._seconds
        self._parked[line] = _Parked(request, until, arrival, question)
        return True

    def take(self, request: str) -> list[tuple[Arrival, Question]]:
        """Give what waits for a request, and keep it no longer."""
        found = [line for line, p in self._parked.items() if p.request == request]
        return [self._parked.pop(line)[2:] for line in found]

    def overdue(self, moment: float) -> list[Arrival]:
        """Give what has waited too long, and keep it no longer."""
        found = [line for line, p in self._parked.items() if p.until <= moment]
        return [self._parked.pop(line).arrival for line in found]
