"""The time that leases run by: it never jumps, and begins at the wall clock's.

A client counts the seconds of its lease by itself, so a server whose wall clock is set
must go on counting as well: an hour back must not make leases an hour longer, 400 days
ahead must not end them all. Only records tell the wall clock's time.
"""

from __future__ import annotations


class LeaseClock:
    """Lease time from the system's monotonic clock; all are seconds."""

    def __init__(self, wall: float, monotonic: float) -> None:
        self._offset = wall - monotonic

    def now(self, monotonic: float) -> float:
        """Give the time that leases are answered at."""
        return monotonic + self._offset

    def skew(self, wall: float, monotonic: float) -> float:
        """Say how far the wall clock is ahead: for ``Allocation.follow_wall``."""
        return wall - self.now(monotonic)
