"""What one run of the RADIUS load saw."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LoadResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadResult:
    """What one run of the load saw. Times in seconds, counts in packets."""

    seconds: float
    sent: int
    """Requests, without retransmissions."""
    acknowledged: int
    replies_per_second: float
    retransmissions: int
    lost: int
    """Requests without a reply after the last retransmission."""
    unverified: int
    """Replies whose authenticator, code or length was wrong."""
    unexpected: int
    """Replies to no outstanding request: late ones, or answers given twice."""
    p50_seconds: float
    p99_seconds: float
    max_seconds: float
    late_seconds: float
    """Open loop: the most by which the generator came late."""

    def line(self) -> str:
        """One line for people."""
        return (
            f"{self.replies_per_second:,.0f} replies/s  "
            f"p50 {self.p50_seconds * 1e3:.2f} ms  "
            f"p99 {self.p99_seconds * 1e3:.2f} ms  "
            f"max {self.max_seconds * 1e3:.1f} ms  sent {self.sent:,}  "
            f"acknowledged {self.acknowledged:,}  again {self.retransmissions:,}  "
            f"lost {self.lost:,}  unverified {self.unverified:,}  "
            f"unexpected {self.unexpected:,}"
        )
