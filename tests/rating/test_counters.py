"""Cumulative counters into use: the law that arrival does not matter, and each rule."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from rating.counters import (
    START,
    WRAP,
    Counters,
    Derived,
    Values,
    WrapRule,
    advance,
    restore,
    rise,
)

WITH_GIGAWORDS = WrapRule(False, False, 10**10)
UNKNOWN = WrapRule(True, False, 1_250_000_000)
NO_GIGAWORDS = WrapRule(True, True, 1_250_000_000)

Point = tuple[int, Values]


def four(values: list[int | None]) -> Values:
    """Give the four counters of a report."""
    a, b, c, d = values
    return a, b, c, d


def fold(points: list[Point], rule: WrapRule) -> Counters:
    """Fold points in the order given; what is added must be what is there."""
    counters, added = START, [0, 0, 0, 0]
    for at, values in points:
        counters, more, _ = advance(counters, at, values, rule)
        added = [a + b for a, b in zip(added, more, strict=True)]
    assert tuple(added) == counters.totals
    assert restore(counters.points, rule)[:3] == counters[:3]
    return counters


@st.composite
def growing(draw: st.DrawFn, *, largest_step: int) -> list[Point]:
    """Reports of one session: each counter grows, some leave some counters out."""
    steps = st.tuples(
        st.integers(1, 600), *[st.integers(0, largest_step) for _ in range(4)]
    )
    at, values, points = 0, [0, 0, 0, 0], []
    for seconds, *grown in draw(st.lists(steps, min_size=1, max_size=20)):
        at += seconds
        values = [v + g for v, g in zip(values, grown, strict=True)]
        shown = [v if draw(st.integers(0, 9)) else None for v in values]
        points.append((at, four(shown)))
    points.append((at + 1, four(values)))
    return points


@given(growing(largest_step=10**12), st.randoms(use_true_random=False))
def test_any_order_and_repetition_of_reports_gives_the_last_counters(
    points: list[Point], chance: random.Random
) -> None:
    """Loss repaired, duplication and reordering end in the same use to the octet."""
    shuffled = points + chance.choices(points, k=5)
    chance.shuffle(shuffled)

    last = tuple(points[-1][1])

    assert last == fold(points, WITH_GIGAWORDS).totals
    assert last == fold(shuffled, WITH_GIGAWORDS).totals


@given(growing(largest_step=10**12), st.data())
def test_any_split_into_interims_gives_the_same_use(
    points: list[Point], data: st.DataObject
) -> None:
    """However many of the reports in between are never sent, the use is the same."""
    kept = [p for p in points[:-1] if data.draw(st.booleans())] + points[-1:]

    assert fold(points, WITH_GIGAWORDS).totals == fold(kept, WITH_GIGAWORDS).totals


@given(growing(largest_step=600_000_000), st.randoms(use_true_random=False))
def test_wraps_of_a_32_bit_nas_survive_reordering_among_neighbours(
    points: list[Point], chance: random.Random
) -> None:
    """RFC 2869 section 5.1: without Gigawords each fall is one wrap, in any order that
    displaces a report by fewer places than are remembered."""
    true = points[-1][1]
    spread = [(600 * i, values) for i, (_, values) in enumerate(points, 1)]
    shown = [
        (at, four([None if v is None else v % WRAP for v in values]))
        for at, values in spread
    ]
    pairs = [shown[i : i + 3] for i in range(0, len(shown), 3)]
    for pair in pairs:
        chance.shuffle(pair)
    reordered = [point for pair in pairs for point in pair]

    rule = WrapRule(True, True, 10**12)

    assert tuple(true) == fold(shown, rule).totals
    assert tuple(true) == fold(reordered, rule).totals


@given(
    growing(largest_step=10**9),
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 700), st.integers(0, 3)),
        max_size=3,
    ),
    st.sampled_from([1, 500]),
    st.sampled_from([WITH_GIGAWORDS, UNKNOWN, NO_GIGAWORDS]),
)
def test_what_rises_is_folded_as_whatever_else_is(
    points: list[Point],
    fallen: list[tuple[int, int, int]],
    clock: int,
    rule: WrapRule,
) -> None:
    """The quick way gives what the general one gives, or leaves the report to it; and
    they go on from each other. Some come late or in one second, and a counter falls."""
    for place, earlier, counter in fallen:
        at, values = points[place % len(points)]
        shown = list(values)
        shown[counter] = (shown[counter] or 0) // 2
        points[place % len(points)] = max(0, at - earlier), four(shown)
    counters = START
    for at, values in [(at - at % clock, values) for at, values in points]:
        for seen in (counters, restore(counters.points, rule)):
            quick = rise(seen, at, values)
            after, added, derived = advance(seen, at, values, rule)
            if quick is not None:
                assert (after, added, derived) == (*quick, Derived.REPORTED)
        counters = after if quick is None else quick[0]


@given(growing(largest_step=10**12))
def test_what_always_rose_is_folded_the_quick_way(points: list[Point]) -> None:
    """Also when it was loaded in between: it is what nearly every report is."""
    counters = START
    for at, values in points:
        if None not in values:
            step = rise(restore(counters.points, UNKNOWN), at, values)
            assert step is not None
            assert step == rise(counters, at, values)
            counters = step[0]
    assert counters.totals == points[-1][1]


def octets(value: int | None) -> Values:
    """Give a report that shows input octets only."""
    return value, None, None, None


def last_step(points: list[Point], rule: WrapRule) -> tuple[int, Derived]:
    """Give input octets in total, and how the last report's share was derived."""
    counters = fold(points[:-1], rule)
    counters, _, derived = advance(counters, *points[-1], rule)
    return counters.totals[0], derived


def test_a_likely_wrap_counts_once_round_and_is_marked() -> None:
    """A counter just under 2^32 that shows little ten minutes later went round."""
    points = [(600, octets(WRAP - 1000)), (1200, octets(500))]

    assert (WRAP + 500, Derived.WRAPPED) == last_step(points, UNKNOWN)


def test_a_wrap_at_the_session_s_own_rate_is_likely_too() -> None:
    """3 GB in ten minutes and 2.3 GB in the next: the way round is longer than half,
    and as fast as the session always was."""
    points = [(600, octets(3_000_000_000)), (1200, octets(1_000_000_000))]

    assert (WRAP + 1_000_000_000, Derived.WRAPPED) == last_step(points, UNKNOWN)


def test_an_unlikely_wrap_is_a_reset_and_marked_as_estimated() -> None:
    """Five megabytes that become a thousand octets were set back, not went round."""
    points = [(600, octets(5_000_000)), (1200, octets(1000))]

    assert (5_001_000, Derived.ESTIMATED) == last_step(points, UNKNOWN)
    assert (5_001_000, Derived.ESTIMATED) == last_step(
        [(600, octets(5_000_000)), (600 + 2, octets(1000))], NO_GIGAWORDS
    )


def test_an_operator_who_knows_the_nas_makes_each_fall_a_wrap() -> None:
    """`gigawords = "never"` is the word of someone who knows."""
    points = [(600, octets(5_000_000)), (1200, octets(1000))]

    assert (WRAP + 1000, Derived.WRAPPED) == last_step(points, NO_GIGAWORDS)


def test_a_nas_with_gigawords_never_wraps() -> None:
    """What falls there was reset, however near to 2^32 it was."""
    points = [(600, octets(WRAP - 1000)), (1200, octets(500))]

    assert (WRAP - 500, Derived.ESTIMATED) == last_step(points, WITH_GIGAWORDS)


def test_directions_wrap_each_for_itself() -> None:
    """A wrap of the output leaves the input alone."""
    counters = fold([(600, (10, WRAP - 10, 1, 1))], UNKNOWN)

    _, added, _ = advance(counters, 1200, (20, 5, 2, 2), UNKNOWN)

    assert (10, 15, 1, 1) == added


def test_a_nas_that_resets_for_ever_stays_within_what_databases_hold() -> None:
    """However wild the counters, the sum fits 63 bits and still adds up."""
    points = [(at, octets((1 << 60) - at)) for at in range(1, 30)]

    assert (1 << 62) - 1 == fold(points, WITH_GIGAWORDS).totals[0]


def test_an_absent_counter_is_not_zero() -> None:
    """A Stop without counters leaves what is known (not zero, not doubled)."""
    points = [(600, (7, 8, 9, 10)), (1200, (None, None, None, None))]

    assert (7, 8, 9, 10) == fold(points, UNKNOWN).totals


def test_reports_of_one_second_count_the_larger() -> None:
    """An Interim-Update and a Stop of the same second have no order but their size."""
    one, other = (600, octets(100)), (600, octets(150))

    assert 150 == fold([one, other], WITH_GIGAWORDS).totals[0]
    assert 150 == fold([other, one], WITH_GIGAWORDS).totals[0]


def test_a_late_report_that_reveals_a_reset_is_a_correction() -> None:
    """What history adds is marked: it is neither now nor reported for now."""
    counters = fold([(600, octets(100)), (1800, octets(400))], WITH_GIGAWORDS)

    after, added, derived = advance(counters, 1200, octets(900), WITH_GIGAWORDS)

    assert (900, Derived.CORRECTED) == (added[0], derived)
    assert 1300 == after.totals[0]
