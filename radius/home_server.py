"""Whether an ISP's server lives, judged from what comes back (RFC 5997 section 4.4).

A server is alive until requests to it go unanswered for a while with not one answer in
between; then it is dead, and asked with Status-Server until it answers, and only then
asked about users again. A server that does not know Status-Server is tried again after
a pause. Times are monotonic seconds.
"""

from __future__ import annotations

ANSWER_SECONDS = 5.0
"""After so long a request is taken for lost; a NAS waits no longer either."""
DEAD_SECONDS = 10.0
"""So long without an answer, while asked, makes a server dead."""
PROBE_SECONDS = 5.0
REVIVE_SECONDS = 60.0
"""A dead server that answers no Status-Server is given another chance after this."""


class Liveness:
    """What is known of one server."""

    __slots__ = ("_dead_at", "_probed_at", "_silent_since")

    def __init__(self) -> None:
        self._silent_since: float | None = None
        self._dead_at: float | None = None
        self._probed_at = 0.0

    def asked(self, now: float) -> None:
        """Note a request."""
        if self._silent_since is None:
            self._silent_since = now

    def answered(self) -> None:
        """Note an answer of whatever kind: it lives."""
        self._silent_since = self._dead_at = None

    def lost(self, now: float) -> None:
        """Note that a request went unanswered."""
        silent = self._silent_since
        if silent is not None and now - silent >= DEAD_SECONDS:
            self._dead_at = self._dead_at or now

    def is_alive(self, now: float) -> bool:
        """Say whether to ask it about users."""
        if self._dead_at is not None and now - self._dead_at >= REVIVE_SECONDS:
            self.answered()
        return self._dead_at is None

    def wants_probe(self, now: float) -> bool:
        """Say whether a Status-Server is due, and take it as sent."""
        if self._dead_at is None or now - self._probed_at < PROBE_SECONDS:
            return False
        self._probed_at = now
        return True
