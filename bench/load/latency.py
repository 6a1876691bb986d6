"""Response times, counted in buckets instead of kept one by one."""

from __future__ import annotations

__all__ = ["Latency"]

_BUCKET_SECONDS = 10e-6
_BUCKETS = 500_000  # five seconds: four transmissions, a second apart, and the rest


class Latency:
    """A histogram of response times with buckets of 10 microseconds up to 5 s.

    A list of counts adds a reply in a tenth of a microsecond and does not grow however
    long the load runs. Who has many of one time may add them to `counts` directly, in
    its `bucket`.
    """

    def __init__(self) -> None:
        self.counts = [0] * (_BUCKETS + 1)

    def add(self, seconds: float) -> None:
        """Count one response time."""
        self.counts[self.bucket(seconds)] += 1

    @staticmethod
    def bucket(seconds: float) -> int:
        """The place of a response time in `counts`."""
        return min(int(seconds / _BUCKET_SECONDS), _BUCKETS)

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the replies came; 0 when there are none.

        The upper edge of the bucket, so that it is never too good.
        """
        total = sum(self.counts)
        if not total:
            return 0.0
        wanted = max(1, round(share * total + 0.5 - 1e-9))
        seen = 0
        for bucket, count in enumerate(self.counts):
            seen += count
            if seen >= min(wanted, total):
                return (bucket + 1) * _BUCKET_SECONDS
        return (_BUCKETS + 1) * _BUCKET_SECONDS
