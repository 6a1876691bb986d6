"""How much one line, or one relay, may ask: a token bucket for each, one number a key.

A bucket is the time at which it will be full again (the generic cell rate algorithm of
ITU-T I.371): taking a token moves that time on by one interval, and a bucket that would
be full only after more than its depth gives none. Full buckets need no memory, so the
older half is forgotten once all in it must be full.
"""

from __future__ import annotations

_KEYS = 262_144
"""Buckets kept a generation; beyond it the older ones count as full."""


class Buckets:
    """Token buckets by key: ``per_second`` tokens a second, ``depth`` at most."""

    def __init__(self, per_second: int, depth: int) -> None:
        self._interval = 1.0 / per_second
        self._depth = (depth - 0.5) * self._interval
        self._lifetime = depth * self._interval
        self._turn_at = 0.0
        self._young: dict[bytes, float] = {}
        self._old: dict[bytes, float] = {}

    def turn(self, now: float) -> None:
        """Forget the buckets that are full; ``now`` is on the monotonic clock."""
        if now >= self._turn_at or len(self._young) >= _KEYS:
            self._old, self._young = self._young, {}
            self._turn_at = now + self._lifetime

    def take(self, key: bytes, now: float) -> bool:
        """Take a token; False when there is none."""
        full_at = self._young.get(key)
        if full_at is None:
            full_at = self._old.get(key, now)
        if full_at < now:
            full_at = now
        elif full_at - now > self._depth:
            return False
        self._young[key] = full_at + self._interval
        return True
