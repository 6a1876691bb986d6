"""Who has sent wrong credentials too often lately: guessing is slow and limited.

Counted a minute, by user and device, and by NAS. A device is the Calling-Station-Id:
who guesses from another line does not lock the subscriber out of his own.
"""

from __future__ import annotations

_WINDOW_SECONDS = 60.0
_REMEMBERED = 200_000
"""Users counted at a time; a flood of names starts the window anew, which the count of
the NAS bounds."""


class Failures:
    """Counts of the running minute; ``per_user`` and ``per_nas`` are the limits."""

    def __init__(self, *, per_user: int, per_nas: int) -> None:
        self._per_user = per_user
        self._per_nas = per_nas
        self._users: dict[tuple[bytes, bytes], int] = {}
        self._nas: dict[str, int] = {}
        self._ends_at = 0.0

    def turn(self, now: float) -> None:
        """Begin a new minute when it is time; ``now`` in monotonic seconds."""
        if now >= self._ends_at or len(self._users) >= _REMEMBERED:
            self._users.clear()
            self._nas.clear()
            self._ends_at = now + _WINDOW_SECONDS

    def note(self, nas: str, user: bytes, device: bytes) -> None:
        """Count one wrong credential."""
        self._users[user, device] = self._users.get((user, device), 0) + 1
        self._nas[nas] = self._nas.get(nas, 0) + 1

    def too_many(self, nas: str, user: bytes, device: bytes) -> bool:
        """Say whether no more credentials are looked at this minute."""
        return bool(self._nas) and (
            self._users.get((user, device), 0) >= self._per_user
            or self._nas.get(nas, 0) >= self._per_nas
        )
