"""How often a client may ask, and how often anyone may be wrong about a secret.

A token bucket for each key (RFC 2697's idea without its colours): it fills with time
and a request takes one out. Keys that have filled up again are forgotten, so memory is
bounded by those that asked lately.
"""

from __future__ import annotations

from dataclasses import dataclass, field

KEYS_MAX = 65_536
"""Beyond it the oldest is forgotten: a stranger with many names costs nothing."""


@dataclass(slots=True)
class Buckets:
    """Buckets of ``burst`` that fill by ``per_second``; times are monotonic seconds."""

    per_second: float
    burst: float
    _levels: dict[str, tuple[float, float]] = field(default_factory=dict)

    def peek(self, key: str, now: float) -> float:
        """Give 0.0 when there is one to take, else the seconds until there is."""
        level, at = self._levels.get(key, (self.burst, now))
        level = min(self.burst, level + (now - at) * self.per_second)
        return 0.0 if level >= 1 else (1 - level) / self.per_second

    def take(self, key: str, now: float) -> float:
        """Take one, unless that must wait; give the seconds, 0.0 when it was taken."""
        wait = self.peek(key, now)
        if wait:
            return wait
        level, at = self._levels.pop(key, (self.burst, now))
        level = min(self.burst, level + (now - at) * self.per_second)
        self._levels[key] = (level - 1, now)
        if len(self._levels) > KEYS_MAX:
            del self._levels[next(iter(self._levels))]
        return 0.0

    def give_back(self, key: str) -> None:
        """Put one back that was taken in advance, for nothing was to be limited."""
        if key in self._levels:
            level, at = self._levels[key]
            self._levels[key] = (min(self.burst, level + 1), at)
