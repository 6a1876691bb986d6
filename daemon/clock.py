"""The only module that reads a clock.

Everything else takes the time as an argument, so that a test or a replay can say
what time it is.  A rule test looks for clock calls elsewhere.
"""

from __future__ import annotations

import time


def now() -> float:
    """Return the wall clock in seconds since the epoch, UTC."""
    return time.time()


def now_ns() -> int:
    """Return the wall clock in nanoseconds since the epoch, UTC."""
    return time.time_ns()


def monotonic() -> float:
    """Return seconds on a clock that never steps back; for intervals only."""
    return time.monotonic()


def monotonic_usec() -> int:
    """Return CLOCK_MONOTONIC in microseconds, the unit sd_notify asks for."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
