"""Retransmissions known again (RFC 5080 section 2.2.2), and forgotten in time."""

from __future__ import annotations

from radius.duplicates import Duplicates


def test_a_request_is_known_for_its_lifetime_and_forgotten_after_two() -> None:
    """Two generations: no request is forgotten early, none is kept for ever."""
    duplicates = Duplicates[int](lifetime=15)
    duplicates.turn(0)
    duplicates.young[b"a"] = 7

    known = []
    for now in range(1, 40):
        duplicates.turn(now)
        known.append(duplicates.known(b"a"))

    assert [7] * 15 == known[:15]
    assert None is known[29]


def test_what_could_not_be_recorded_is_new_when_it_comes_again() -> None:
    """A failed commit must not turn the retransmission into a duplicate."""
    duplicates = Duplicates[int](lifetime=15)
    duplicates.turn(0)
    duplicates.young[b"a"] = 1
    duplicates.turn(16)
    duplicates.young[b"b"] = 2

    duplicates.forget([b"a", b"b", b"never seen"])

    assert [None, None] == [duplicates.known(b"a"), duplicates.known(b"b")]


def test_a_flood_shortens_memory_and_never_grows_it() -> None:
    """Each generation has its bound (law 8)."""
    duplicates = Duplicates[int](lifetime=15, limit=10)
    for i in range(1000):
        duplicates.turn(1)
        duplicates.young[i.to_bytes(2)] = i

        assert len(duplicates.young) <= 10
    assert 999 == duplicates.known((999).to_bytes(2))
