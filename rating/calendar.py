"""Days and billing periods of a time zone, as instants: the only reader of zones here.

A day is from one local midnight to the next, and has 23 or 25 hours when the clocks
change. Within it the offset from UTC is constant but for those changes, so whatever is
said by the clock on the wall is cut at them, and nothing else needs to know of them.
"""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_EPOCH = date(1970, 1, 1)
_DAY = timedelta(days=1)
_PROBE_SECONDS = 3600


class Segment(NamedTuple):
    """A part of a local day with one offset from UTC, in seconds since 1970.

    What the clock shows at ``t``, as seconds since the day's 00:00, is ``t - base``.
    """

    start: int
    end: int
    base: int


class Period(NamedTuple):
    """A billing period: its first day, and the first day of the next."""

    first: date
    next: date

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.next - self.first).days


class Calendar:
    """The days of a zone, and periods that begin on a day of the month.

    Thousands of services ask for the same few days: what one was told is kept.
    """

    def __init__(self, zone: ZoneInfo, anchor_day: int = 1) -> None:
        self._zone = zone
        self._anchor_day = anchor_day
        self._midnights: dict[date, int] = {}
        self._periods: dict[date, Period] = {}

    def day_of(self, at: int) -> date:
        """Give the local day of an instant."""
        return datetime.fromtimestamp(at, self._zone).date()

    def midnight(self, day: date) -> int:
        """Give the instant a local day begins; clocks that skip 00:00 begin it late."""
        found = self._midnights.get(day)
        if found is None:
            local = datetime.combine(day, time(), self._zone)
            found = self._midnights[day] = int(local.astimezone(UTC).timestamp())
        return found

    def segments(self, day: date) -> list[Segment]:
        """Cut a local day where its offset from UTC changes."""
        start, end = self.midnight(day), self.midnight(day + _DAY)
        wall = (day - _EPOCH).days * 86_400
        found = []
        at = start
        while at < end:
            offset = self._offset(at)
            upto = at
            while upto < end and self._offset(upto) == offset:
                upto += _PROBE_SECONDS
            upto = end if upto >= end else self._change(upto - _PROBE_SECONDS, upto)
            found.append(Segment(at, upto, wall - offset))
            at = upto
        return found

    def _offset(self, at: int) -> int:
        offset = datetime.fromtimestamp(at, self._zone).utcoffset()
        assert offset is not None
        return int(offset.total_seconds())

    def _change(self, before: int, after: int) -> int:
        """Find the second at which the offset of ``before`` holds no longer."""
        offset = self._offset(before)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return after

    def period_of(self, day: date) -> Period:
        """Give the billing period that a day is in."""
        found = self._periods.get(day)
        if found is None:
            found = self._periods[day] = self._period_of(day)
        return found

    def _period_of(self, day: date) -> Period:
        first = self._anchor(day.year, day.month)
        if day < first:
            return Period(self._anchor(*_month(day, -1)), first)
        return Period(first, self._anchor(*_month(day, 1)))

    def _anchor(self, year: int, month: int) -> date:
        last = calendar.monthrange(year, month)[1]
        return date(year, month, min(self._anchor_day, last))


def _month(day: date, step: int) -> tuple[int, int]:
    months = day.year * 12 + day.month - 1 + step
    return months // 12, months % 12 + 1
