"""How a moment is written for people and programs: RFC 3339, in UTC, to the second."""

from __future__ import annotations

from datetime import UTC, datetime


def moment(epoch_seconds: float) -> str:
    """Write seconds since the epoch."""
    return f"{datetime.fromtimestamp(epoch_seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
