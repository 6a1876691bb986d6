"""The months that money is booked in, each in the zone of the tariff it came from.

A month closes for an ISP and a zone, and all before it with it. What belongs to a
closed one and comes late is booked in the first open month, marked with its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

Closed = Mapping[tuple[str, str], str]
"""The last closed month by tenant and zone; none is closed where there is no key."""


class Span(NamedTuple):
    """A month in a zone: its label ("2026-11"), and its epoch seconds from and until
    (not included)."""

    month: str
    starts_at: int
    ends_at: int


def span_at(zone: str, at: int) -> Span:
    """Give the month that a moment (epoch seconds) lies in."""
    local = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(zone))
    return span_of(zone, f"{local.year:04}-{local.month:02}")


@lru_cache(maxsize=1024)
def span_of(zone: str, month: str) -> Span:
    """Give the epoch seconds of a month; ValueError when it is no "2026-11"."""
    return Span(month, _starts_at(zone, month), _starts_at(zone, following(month)))


def following(month: str) -> str:
    """Give the label of the month behind one; ValueError when it is no "2026-11"."""
    first = datetime.strptime(month, "%Y-%m")  # noqa: DTZ007  a label has no zone
    year, number = divmod(first.year * 12 + first.month, 12)
    return f"{year:04}-{number + 1:02}"


def booked_in(closed: Closed, tenant: str, zone: str, month: str) -> str:
    """Give the month to book in what belongs to ``month``: itself if still open."""
    last = closed.get((tenant, zone))
    return month if last is None or month > last else following(last)


def _starts_at(zone: str, month: str) -> int:
    year, number = map(int, month.split("-"))
    return int(datetime(year, number, 1, tzinfo=ZoneInfo(zone)).timestamp())
