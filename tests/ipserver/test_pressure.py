"""Marks that do not flap, growth, and how much is asked for: by the agreed numbers."""

from __future__ import annotations

import math

import pytest
from msgspec import structs

from config.over_allocation import OverAllocation
from ipserver.pressure import (
    Growth,
    Level,
    Pressure,
    grown,
    level_of,
    loan_lease_seconds,
    may_return,
    size_of_ask,
)

POLICY = OverAllocation()
CALM, WARN, HIGH, CRITICAL = Level


def of(used: int, free: int, growth: float = 0.0) -> Pressure:
    """A pool with nothing lent or borrowed."""
    return Pressure(0, 0, used + free, 0, 0, used + free, used, free, growth)


@pytest.mark.parametrize(
    ("before", "used", "after"),
    [
        (CALM, 79, CALM),
        (CALM, 80, WARN),
        (WARN, 75, WARN),
        (WARN, 74, CALM),
        (WARN, 89, WARN),
        (WARN, 90, HIGH),
        (HIGH, 80, HIGH),
        (HIGH, 79, WARN),
        (HIGH, 96, HIGH),
        (HIGH, 97, CRITICAL),
        (CRITICAL, 92, CRITICAL),
        (CRITICAL, 91, HIGH),
        (CRITICAL, 10, CALM),
        (CALM, 100, CRITICAL),
    ],
)
def test_a_mark_is_raised_and_cleared_at_numbers_of_its_own(
    before: Level, used: int, after: Level
) -> None:
    """80/75, 90/80 and 97/92 per cent: beside a mark nothing flaps."""
    assert after is level_of(before, of(used, 100 - used), POLICY, failed=False)


@pytest.mark.parametrize(
    ("left", "level"), [(119, CRITICAL), (121, HIGH), (899, HIGH), (901, CALM)]
)
def test_the_time_to_exhaustion_counts_however_empty_the_pool_is(
    left: int, level: Level
) -> None:
    """Two minutes left are critical, fifteen high."""
    assert level is level_of(CALM, of(100, 900, 900 / left), POLICY, failed=False)


def test_one_failure_to_allocate_is_critical_for_as_long_as_it_lasts() -> None:
    """And a pool that does not grow lasts for ever."""
    assert CRITICAL is level_of(CALM, of(50, 50), POLICY, failed=True)
    assert CALM is level_of(CRITICAL, of(50, 50), POLICY, failed=False)
    assert math.inf == of(50, 50).seconds_left
    assert 1.0 == of(0, 0).utilisation


def test_growth_halves_in_five_minutes_and_survives_a_clock_set_back() -> None:
    """Never below nought; a jump restarts the measurement and keeps the means."""
    growth = grown(Growth(), 0, 1000, POLICY)
    growth = grown(growth, 300, 1300, POLICY)
    assert 0.5 == pytest.approx(growth.rate)
    later = grown(growth, 300, 1600, POLICY)
    assert 0.25 == pytest.approx(later.fast)
    back = grown(growth, 250, 200, POLICY)
    assert (200, growth.fast, growth.slow) == (back.at, back.fast, back.slow)
    ahead = grown(growth, 300, 1300 + 400 * 86_400, POLICY)
    assert 0.0 == pytest.approx(ahead.rate)
    assert 0.0 == grown(growth, 0, 1301, POLICY).rate


@pytest.mark.parametrize(
    ("growth", "doublings", "blocks"),
    [(0.0, 0, 1), (0.0, 1, 2), (0.0, 9, 2), (0.1, 9, 4), (9.9, 9, 64)],
)
def test_what_is_asked_for_is_what_is_needed_begun_slowly(
    growth: float, doublings: int, blocks: int
) -> None:
    """A quarter more than is used, or ten minutes of growth; one block at first, and
    twice as many each time, 64 at the most.
    """
    assert blocks * 16 == size_of_ask(of(100, 0, growth), 16, 600, doublings, POLICY)


def test_leases_in_a_borrowed_block_are_short() -> None:
    """Half of the notice, a quarter of the term, ten minutes at the least."""
    assert 1800 == loan_lease_seconds(86_400, POLICY)
    assert 900 == loan_lease_seconds(900, POLICY)
    short = OverAllocation(recall_notice_seconds=600)
    assert 600 == loan_lease_seconds(86_400, short)
    assert 60 == loan_lease_seconds(60, POLICY)  # never longer than at home
    assert 1000 == loan_lease_seconds(86_400, OverAllocation(loan_seconds=4000))


def test_a_block_goes_back_when_the_rest_is_below_the_low_mark_without_it() -> None:
    """70 per cent of what is left after the return, not of what there is."""
    assert may_return(of(70, 46), 16, POLICY)
    assert not may_return(of(71, 45), 16, POLICY)
    assert not may_return(of(0, 16), 16, POLICY)


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_mark_is_met_at_its_very_number(percent: int) -> None:
    """58 of 100 are 58 %, in whatever way numbers are kept."""
    policy = OverAllocation(
        warn_percent=percent, warn_clear_percent=percent, high_percent=100
    )
    policy = structs.replace(policy, critical_percent=100, critical_clear_percent=100)
    policy = structs.replace(policy, high_clear_percent=100)
    for size in (100, 300, 700):
        at = of(size // 100 * percent, size - size // 100 * percent)
        below = of(at.used - 1, at.free + 1)
        assert WARN is level_of(CALM, at, policy, failed=False)
        assert WARN is level_of(WARN, at, policy, failed=False)
        assert CALM is level_of(WARN, below, policy, failed=False)
