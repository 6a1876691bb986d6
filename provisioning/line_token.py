"""A line token: proof, in a short string, that its bearer was on a line.

The walled garden gives it to who connects from the line, known by its lease; it is then
good on every channel, so nothing has to be typed.
"""

from __future__ import annotations

from typing import Final

from provisioning.signed_token import said_by, seal

TOKEN_SECONDS: Final = 24 * 3600
"""A day: long enough to register in the evening what was connected in the morning."""

_LABEL: Final = "line token"


def issue(line: str, now: int, key: bytes) -> str:
    """Make the token of a line; ``now`` in epoch seconds."""
    return seal(_LABEL, f"{now + TOKEN_SECONDS}:{line}", key)


def line_of(token: str, now: int, key: bytes) -> str | None:
    """Give the line that a token is good for; None when it is not, or no longer."""
    said = said_by(_LABEL, token, key)
    until, _, line = (said or "0:").partition(":")
    return line if int(until) >= now else None
