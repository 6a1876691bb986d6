"""Token buckets: how much one key may ask, whatever the others do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipserver.rate import Buckets


def test_a_full_bucket_gives_its_depth_and_then_its_rate() -> None:
    """Twenty at once, then ten a second."""
    buckets = Buckets(10, 20)

    assert 20 == sum(buckets.take(b"line", 0.0) for _ in range(100))
    assert 10 == sum(buckets.take(b"line", 1.0) for _ in range(100))
    assert 20 == sum(buckets.take(b"line", 60.0) for _ in range(100))
    assert buckets.take(b"other", 60.0)


@given(st.lists(st.floats(0, 5), max_size=80))
def test_nobody_gets_more_than_depth_and_rate_together(gaps: list[float]) -> None:
    """And forgetting full buckets changes nothing."""
    buckets, forgetful, now, taken = Buckets(4, 8), Buckets(4, 8), 0.0, 0
    for gap in gaps:
        now += gap
        forgetful.turn(now)
        got = buckets.take(b"line", now)
        assert got == forgetful.take(b"line", now)
        taken += got
    assert taken <= 8 + 4 * now + 1


def test_old_buckets_are_forgotten() -> None:
    """Memory is that of the keys of the last moments."""
    buckets = Buckets(10, 20)
    for moment in range(100):
        buckets.turn(float(moment) * 3)
        for key in range(100):
            buckets.take(b"%d-%d" % (moment, key), moment * 3.0)

    assert len(buckets._young) + len(buckets._old) <= 200
