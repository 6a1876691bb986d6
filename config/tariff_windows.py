"""Which minutes of a day a tariff's windows cover, by the clock on the wall.

A day is its weekday and whether it is a holiday; what a window that began the day
before still covers depends on that day too. The check for gaps and overlaps and the
rater both ask here, so what was checked is what is charged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import NamedTuple

from config.quantities import minutes_of
from config.tariffs import WEEKDAYS, Window

MINUTES = 1440


class DayKind(NamedTuple):
    """What windows ask of a day; ``weekday`` counts from Monday, 0."""

    weekday: int
    holiday: bool


class Stretch(NamedTuple):
    """Minutes of a day, the end not included, and which windows cover them."""

    start: int
    end: int
    windows: tuple[str, ...]


def _applies(window: Window, day: DayKind) -> bool:
    if day.holiday and window.holidays != "as_days":
        return window.holidays == "also"
    return WEEKDAYS[day.weekday] in window.days


def covered(
    window: Window, day: DayKind, yesterday: DayKind
) -> Iterator[tuple[int, int]]:
    """Give the minutes of a day that a window covers, from the day before first."""
    start, end = minutes_of(window.start), minutes_of(window.end)
    if end > start:
        if _applies(window, day):
            yield start, end
        return
    if end and _applies(window, yesterday):
        yield 0, end
    if start < MINUTES and _applies(window, day):
        yield start, MINUTES


def stretches(
    windows: Sequence[Window], day: DayKind, yesterday: DayKind
) -> list[Stretch]:
    """Cut a day wherever a window begins or ends; neighbours differ."""
    parts = [(w.name, list(covered(w, day, yesterday))) for w in windows]
    cuts = {0, MINUTES}
    for _, spans in parts:
        cuts.update(minute for span in spans for minute in span)
    found: list[Stretch] = []
    at = sorted(cuts)
    for start, end in pairwise(at):
        names = tuple(
            sorted(
                name for name, spans in parts if any(a <= start < b for a, b in spans)
            )
        )
        if found and found[-1].windows == names:
            found[-1] = found[-1]._replace(end=end)
        else:
            found.append(Stretch(start, end, names))
    return found


def all_days() -> Iterator[tuple[DayKind, DayKind]]:
    """Give every kind of day there is, each behind every kind of day before it."""
    for weekday, holiday, before in product(range(7), (False, True), (False, True)):
        yield DayKind(weekday, holiday), DayKind((weekday - 1) % 7, before)


def combinations(windows: Sequence[Window]) -> list[tuple[str, ...]]:
    """Give every set of windows that can be open together, always in the same order."""
    found = {
        stretch.windows
        for day, yesterday in all_days()
        for stretch in stretches(windows, day, yesterday)
    }
    return sorted(found)
