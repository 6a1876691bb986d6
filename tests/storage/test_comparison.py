"""Two lists of money held against each other."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from storage.comparison import Comparison, Mismatch

LINES = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-5, 5)), max_size=12)


@given(theirs=LINES, own=LINES)
def test_what_differs_is_told_by_reference_whatever_the_order(
    theirs: list[tuple[str, int]], own: list[tuple[str, int]]
) -> None:
    """Sums by reference are compared, and one that a list lacks is None there."""
    sums: list[Counter[str]] = [Counter(), Counter()]
    for place, lines in enumerate((theirs, own)):
        for reference, amount in lines:
            sums[place][reference] += amount
    expected = [
        Mismatch(name, sums[0].get(name), sums[1].get(name))
        for name in sorted(set(sums[0]) | set(sums[1]))
        if sums[0].get(name) != sums[1].get(name)
    ]
    with Comparison() as comparison:
        assert len(theirs) == comparison.add(theirs, own=False)
        assert len(own) == comparison.add(own, own=True)
        assert expected == list(comparison.mismatches())


def test_what_is_behind_a_line_counts_for_its_reference() -> None:
    """Two events make a line together; one that is called like a line is that line's,
    and what is behind no line stays by itself."""
    with Comparison() as comparison:
        comparison.add([("usage-1", 5), ("usage-2", 1), ("E-9", 4)], own=False)
        own = [("E-1", 2), ("E-2", 3), ("E-3", 2), ("E-9", 4), ("E-4", 6)]
        comparison.add(own, own=True)
        behind = [("E-1", "usage-1"), ("E-2", "usage-1"), ("E-3", "usage-2")]
        comparison.add_behind([*behind, ("E-9", "usage-1")])
        assert [Mismatch("E-4", None, 6), Mismatch("usage-2", 1, 2)] == list(
            comparison.mismatches()
        )
