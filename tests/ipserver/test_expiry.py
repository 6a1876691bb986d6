"""The wheel of expiries: bounded work, nothing lost, however the clock behaves."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ipserver.expiry import SECONDS, Wheel


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 3 * SECONDS), st.integers(0, 2 * SECONDS)), max_size=20
    ),
    st.integers(1, 7),
)
def test_everything_is_met_once_when_it_is_due(
    moves: list[tuple[int, int]], limit: int
) -> None:
    """Never early, and not later than the turn in which the clock has passed it."""
    now, wheel = 1000, Wheel(1000)
    due: dict[int, int] = {}

    def meet(slot: int) -> int:
        if due[slot] > now:
            return due[slot]
        del due[slot]
        return 0

    for slot, (ahead, step) in enumerate(moves):
        due[slot] = now + ahead
        wheel.add(slot, due[slot])
        now += step
        while wheel.turn(now, limit, meet):
            pass
        assert all(at > now for at in due.values())


@settings(max_examples=40)
@given(st.lists(st.integers(-400 * 86_400, 400 * 86_400), max_size=6))
def test_a_clock_that_jumps_costs_one_turn(jumps: list[int]) -> None:
    """Whatever it does, a slot whose time has come is met in the next turn."""
    now, wheel = 1_790_000_000, Wheel(1_790_000_000)
    for slot, jump in enumerate(jumps):
        now += jump
        wheel.turn(now, 100, lambda _: 0)
        met: list[int] = []
        wheel.add(slot, now + 5)
        now += 5

        def meet(which: int, met: list[int] = met) -> int:
            met.append(which)
            return 0

        while wheel.turn(now, 1, meet):
            pass
        assert met == [slot]


def test_a_turn_meets_no_more_than_its_limit() -> None:
    """A thousand that end at once take ten turns of a hundred."""
    wheel, met = Wheel(0), 0

    def meet(_: int) -> int:
        nonlocal met
        met += 1
        return 0

    for slot in range(1000):
        wheel.add(slot, 10)
    for turn in range(1, 11):
        more = wheel.turn(20, 100, meet)
        assert met == turn * 100
        assert more == (turn < 10)
