"""How near a pool is to its end: utilisation, growth, time to exhaustion, and marks.

A mark that is passed is cleared at a lower one, so a pool beside it does not flap. All
figures are addresses, seconds and addresses a second; the time is an argument, and a
clock that jumps back restarts the growth's measurement instead of turning it round.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Final, NamedTuple

from msgspec import Struct

from config.over_allocation import OverAllocation


class Level(IntEnum):
    """How great the pressure is; each includes those below."""

    CALM = 0
    WARN = 1
    HIGH = 2
    CRITICAL = 3


EVENTS: Final = {
    Level.CALM: "pool.clear",
    Level.WARN: "pool.warn",
    Level.HIGH: "pool.high",
    Level.CRITICAL: "pool.critical",
}
"""What is published when a pool comes to a level."""


class Growth(Struct, frozen=True, array_like=True):
    """How fast the use of a pool grows, as two weighted means of it.

    ``at`` is when ``used`` was seen; ``fast`` and ``slow`` are addresses a second.
    """

    at: int = 0
    used: int = 0
    fast: float = 0.0
    slow: float = 0.0

    @property
    def rate(self) -> float:
        """New bindings net of ended ones, a second; never below the slow mean or 0."""
        return max(0.0, self.fast, self.slow)


def grown(growth: Growth, used: int, now: int, policy: OverAllocation) -> Growth:
    """Take one more sight of a pool's use into the means."""
    seconds = now - growth.at
    if growth.at == 0 or seconds < 0:
        return Growth(now, used, growth.fast, growth.slow)
    if seconds == 0:
        return growth
    rate = (used - growth.used) / seconds
    fast_keeps = 0.5 ** (seconds / policy.growth_half_life_seconds)
    slow_keeps = math.exp(-seconds / policy.growth_mean_seconds)
    return Growth(
        now,
        used,
        growth.fast * fast_keeps + rate * (1 - fast_keeps),
        growth.slow * slow_keeps + rate * (1 - slow_keeps),
    )


class Pressure(NamedTuple):
    """One pool at one moment, in the letters of the field.

    Guaranteed, cap, owned, borrowed, lent, capacity, used, free; ``growth`` is a
    second.
    """

    guaranteed: int
    burst_cap: int
    owned: int
    borrowed: int
    lent: int
    capacity: int
    used: int
    free: int
    growth: float

    @property
    def usable(self) -> int:
        """What is used, and what a new binding could get.

        Less than the capacity: what is free in a block that ends serves nobody.
        """
        return self.used + self.free

    @property
    def utilisation(self) -> float:
        """Used share of what is usable, 0 to 1; a pool without anything is full."""
        return self.used / self.usable if self.usable else 1.0

    @property
    def seconds_left(self) -> float:
        """Time to exhaustion at this growth; infinite when it does not grow."""
        return self.free / self.growth if self.growth > 0 else math.inf


def level_of(
    before: Level, pressure: Pressure, policy: OverAllocation, *, failed: bool
) -> Level:
    """Tell the level from the one before; ``failed``: an allocation has just failed.

    HIGH here is the mark alone; that it must last is the caller's to time.
    """
    # Multiplied first: 58 of 100 are 58 % then, and not a little less.
    usable = pressure.usable
    used = pressure.used * 100 / usable if usable else 100.0
    left = pressure.seconds_left
    marks = (
        (
            Level.CRITICAL,
            used >= policy.critical_percent
            or left < policy.critical_exhaustion_seconds
            or failed,
            policy.critical_clear_percent,
        ),
        (
            Level.HIGH,
            used >= policy.high_percent or left < policy.high_exhaustion_seconds,
            policy.high_clear_percent,
        ),
        (Level.WARN, used >= policy.warn_percent, policy.warn_clear_percent),
    )
    for level, reached, clear in marks:
        if reached or (before >= level and used >= clear):
            return level
    return Level.CALM


def loan_lease_seconds(normal: int, policy: OverAllocation) -> int:
    """Give the lease time in a borrowed block: short from the first day.

    So that a block drains within the notice of its recall without a trick on clients.
    """
    longest = min(
        normal,
        policy.loan_seconds * policy.lease_percent_of_loan // 100,
        policy.recall_notice_seconds * policy.lease_percent_of_notice // 100,
    )
    return min(normal, max(policy.lease_seconds_min, longest))


def size_of_ask(
    pressure: Pressure, block: int, lead: int, doublings: int, policy: OverAllocation
) -> int:
    """How many addresses to ask for: whole blocks, at least one.

    ``lead`` is how long a grant takes, in seconds. The first ask is one block; each
    that recurs asks for up to twice as much (slow start), as far as there is need.
    """
    wanted = max(
        pressure.used * policy.demand_percent / 100,
        pressure.used + pressure.growth * lead,
    )
    blocks = math.ceil((wanted - pressure.usable) / block)
    most = min(policy.blocks_per_request_max, 1 << min(doublings, 16))
    return max(1, min(blocks, most)) * block


def may_return(pressure: Pressure, block: int, policy: OverAllocation) -> bool:
    """Whether a block can go back: the rest is below the low mark without it."""
    rest = pressure.usable - block
    return rest > 0 and pressure.used * 100 <= policy.low_percent * rest
