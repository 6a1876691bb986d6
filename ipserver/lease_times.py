"""How long a lease lasts, and when its client is to ask again."""

from __future__ import annotations

from typing import Final

from config.over_allocation import OverAllocation
from ipserver.address_space import Pool

_SECONDS_MIN: Final = 60
"""A client may ask for a shorter lease, but not to keep the server busy."""

_JITTER: Final = 0.1
_EARLIEST: Final = 1 - _JITTER / 2
"""T1 and T2 are up to 5 % earlier or later, so that lines which came up together after
an outage do not renew together for ever."""

_MODULUS: Final = 1 << 31
_MASK: Final = _MODULUS - 1
_STEP: Final = _JITTER / _MODULUS


class Jitter:
    """Spreads renewals, by numbers that need not be a secret: a linear congruential
    generator, begun at ``seed`` in [0, 1).
    """

    def __init__(self, seed: float) -> None:
        self._state = int(seed * _MODULUS)

    def renewal_times(self, seconds: int) -> tuple[int, int]:
        """Give T1 and T2 (RFC 2131 section 4.4.5) of a lease of so many seconds.

        Both are early or late by the same part.
        """
        state = self._state = (self._state * 1_103_515_245 + 12_345) & _MASK
        time = seconds * (_EARLIEST + _STEP * state)
        return int(time * 0.5), int(time * 0.875)


def lease_seconds(
    pool: Pool, marks: OverAllocation, block_max: int, asked: int, *, new: bool
) -> int:
    """Give the seconds of a lease: of the pool or, where it is less, of the block.

    ``asked`` is option 51, 0 for none. A new binding gets the less, the less of the
    pool is left above the warning mark, so that addresses come back sooner.
    """
    seconds = pool.lease_seconds
    if block_max and block_max < seconds:
        seconds = block_max
    if new:
        used = pool.used * 100
        warn = marks.warn_percent * pool.size
        if used > warn:
            left = (pool.size * 100 - used) / max(1, pool.size * 100 - warn)
            least = min(marks.lease_seconds_min, seconds)
            seconds = max(least, int(seconds * left))
    if asked and asked < seconds:
        seconds = max(asked, min(_SECONDS_MIN, seconds))
    return seconds
