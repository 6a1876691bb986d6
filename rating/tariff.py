"""A tariff ready to rate with: every text read, every time of the week a slot.

A *slot* is a set of windows that are open together; slots do not overlap and have no
gaps, so use is added up by slot, and each rate knows which slots are its own. A *span*
is a stretch of time within one local day in which version, period, slot and tax stay
the same: usage is split at spans and nowhere else. A new version cuts the period: its
totals, tiers and allowances begin anew on its first day.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from datetime import date, timedelta
from typing import NamedTuple

from config.quantities import day_of, micro_of, per_myriad_of, quantity_of, zone_of
from config.tariff_windows import DayKind, combinations, stretches
from config.tariffs import Allowance, Quota, Tariff, TopUp, Version
from rating.calendar import Calendar
from rating.pricing import WHOLE
from rating.rates import (
    CompiledRate,
    DirectRate,
    compiled_rates,
    direct_rate,
    most_octets,
)

DAYS_KEPT = 1000
"""Local days whose spans a tariff keeps; late usage is of the last weeks."""

_DAY = timedelta(days=1)


class CompiledAllowance(NamedTuple):
    """An allowance by the places of its rates; ``rollover`` 0 means none."""

    name: str
    quantity: int
    unit: str
    rates: tuple[int, ...]
    prorate: bool
    rollover: int


class CompiledQuota(NamedTuple):
    """A quota by the place of its allowance; thresholds rise, and end in 100."""

    allowance: int
    thresholds: tuple[int, ...]
    quota: Quota


class Cap(NamedTuple):
    """The most, in micro-units, that the rates at these places cost together."""

    amount: int
    rates: tuple[int, ...]


class Discount(NamedTuple):
    """What is kept of an amount, of ``WHOLE``, in periods that begin in these days."""

    keep: int
    elements: frozenset[str]
    first: date
    last: date


class Cut(NamedTuple):
    """A period as a version has it: its first day, the next one's, and whole length.

    ``days`` of ``of_days`` are the version's.
    """

    key: str
    first: date
    next: date
    of_days: int

    @property
    def days(self) -> int:
        """How many of the period's days the version has."""
        return (self.next - self.first).days


class CompiledVersion:
    """A version; ``direct`` has, by slot, the rates whose use it is; nothing where any
    rate goes by sessions."""

    def __init__(self, config: Version) -> None:
        self.config = config
        self.name = config.valid_from
        self.first = day_of(config.valid_from)
        self.holidays = frozenset(map(day_of, config.holidays))
        self.slots = combinations(config.window)
        self._slot_of = {names: slot for slot, names in enumerate(self.slots)}
        ordered = sorted(config.allowance, key=lambda a: a.priority)
        self.rates = compiled_rates(config, self.slots, ordered)
        places = {r.element: at for at, r in enumerate(self.rates) if not r.connects}
        self.allowances = tuple(_allowance(a, places) for a in ordered)
        self.caps = tuple(_cap(config, self.rates))
        self.discounts = tuple(_discounts(config))
        by_name = {a.name: at for at, a in enumerate(self.allowances)}
        self.quotas = tuple(_quota(q, by_name) for q in config.quota)
        self.topups: dict[str, tuple[int, int, TopUp]] = {
            t.name: (by_name[t.allowance], quantity_of(t.quantity).number, t)
            for t in config.topup
        }
        self.by_session = any(rate.by_session for rate in self.rates)
        self.rolls_over = any(a.rollover for a in self.allowances)
        self.shared = any(a.shared for a in config.allowance)
        plain = (
            all(len(allowance.rates) == 1 for allowance in self.allowances)
            and not self.caps
            and not self.discounts
        )
        by_slot = [
            tuple(at for at, rate in enumerate(self.rates) if slot in rate.slots)
            for slot in range(len(self.slots))
        ]
        self.direct: tuple[tuple[DirectRate, ...] | None, ...] = tuple(
            None
            if self.by_session
            else tuple(direct_rate(at, self.rates[at], plain) for at in own)
            for own in by_slot
        )

    def slot_of(self, windows: tuple[str, ...]) -> int:
        """Give the slot in which just these windows are open."""
        return self._slot_of[windows]

    def keeps(self, first: date) -> tuple[tuple[int, int], ...]:
        """Give, for each rate, the part and whole of an amount that discounts leave."""
        return tuple(self.kept(rate.element, first) for rate in self.rates)

    def kept(self, element: str, first: date) -> tuple[int, int]:
        """Give the part and whole that discounts leave of an element in a period."""
        part = whole = 1
        for discount in self.discounts:
            if (
                element in discount.elements
                and discount.first <= first <= discount.last
            ):
                part, whole = part * discount.keep, whole * WHOLE
        return part, whole


class Span(NamedTuple):
    """A stretch of a local day in which nothing changes, in seconds since 1970."""

    start: int
    end: int
    version: CompiledVersion
    cut: Cut
    slot: int


class CompiledTariff:
    """A tariff with its versions, in the order in which they come into force.

    ``tax_changes`` are epoch seconds, in order.
    """

    def __init__(self, config: Tariff, tax_changes: Sequence[int] = ()) -> None:
        self.config = config
        self.tax_changes = tuple(tax_changes)
        self.name = config.name
        self.currency = config.currency
        self.tax_class = config.tax_class
        self.calendar = Calendar(zone_of(config.zone), config.anchor_day)
        self.versions = sorted(map(CompiledVersion, config.version), key=_first)
        self.shared = any(version.shared for version in self.versions)
        self.sampled = any(v.config.percentile for v in self.versions)
        self.most_octets = min(most_octets(v.config.rate) for v in self.versions)
        self._firsts = [version.first for version in self.versions]
        self._days: dict[date, list[Span]] = {}
        self._cuts: dict[date, Cut] = {}

    def version_on(self, day: date) -> CompiledVersion | None:
        """Give the version in force on a day, None before the first."""
        place = bisect_right(self._firsts, day)
        return self.versions[place - 1] if place else None

    def cut_of(self, day: date) -> Cut:
        """Give the period that a day is in, as the version of that day has it."""
        found = self._cuts.get(day)
        if found is None:
            found = self._cuts[day] = self._cut_of(day)
        return found

    def _cut_of(self, day: date) -> Cut:
        period = self.calendar.period_of(day)
        place = bisect_right(self._firsts, day)
        first = max(period.first, self._firsts[place - 1])
        next_ = period.next
        if place < len(self._firsts):
            next_ = min(next_, self._firsts[place])
        return Cut(first.isoformat(), first, next_, period.days)

    def spans(self, start: int, end: int) -> list[Span] | None:
        """Give the spans that a time runs through; None before the first version.

        Use that took no time is of the second that it names, like what began then.
        """
        end = max(end, start + 1)
        found: list[Span] = []
        day = self.calendar.day_of(start)
        while start < end:
            spans = self._days.get(day) or self._spans_of(day)
            if spans is None:
                return None
            found += [s for s in spans if s.start < end and s.end > start]
            start = max(start, spans[-1].end if spans else start)
            day += _DAY
        return found

    def span_at(self, at: int) -> Span | None:
        """Give the span that an instant is in."""
        spans = self.spans(at, at + 1)
        return spans[0] if spans else None

    def _spans_of(self, day: date) -> list[Span] | None:
        """Cut a day; None before the first version, nothing of a day that was skipped
        as a zone crossed the date line."""
        version = self.version_on(day)
        if version is None:
            return None
        kinds = [DayKind(d.weekday(), d in version.holidays) for d in (day, day - _DAY)]
        wall = stretches(version.config.window, *kinds)
        cut = self.cut_of(day)
        spans: list[Span] = []
        for segment in self.calendar.segments(day):
            for stretch in wall:
                start = max(segment.start, segment.base + stretch.start * 60)
                end = min(segment.end, segment.base + stretch.end * 60)
                if start >= end:
                    continue
                slot = version.slot_of(stretch.windows)
                if spans and spans[-1].slot == slot and spans[-1].end == start:
                    spans[-1] = spans[-1]._replace(end=end)
                else:
                    spans.append(Span(start, end, version, cut, slot))
        for change in self.tax_changes:
            spans = [part for span in spans for part in _parts(span, change)]
        if len(self._days) >= DAYS_KEPT:
            self._days.clear()
        self._days[day] = spans
        return spans


def _parts(span: Span, at: int) -> tuple[Span, ...]:
    if span.start < at < span.end:
        return span._replace(end=at), span._replace(start=at)
    return (span,)


def _first(version: CompiledVersion) -> date:
    return version.first


def _allowance(allowance: Allowance, places: dict[str, int]) -> CompiledAllowance:
    quantity = quantity_of(allowance.quantity)
    rollover = quantity_of(allowance.rollover).number if allowance.rollover else 0
    rates = tuple(places[name] for name in allowance.rates)
    return CompiledAllowance(
        allowance.name,
        quantity.number,
        quantity.unit,
        rates,
        allowance.prorate,
        rollover,
    )


def _cap(config: Version, rates: Sequence[CompiledRate]) -> list[Cap]:
    return [
        Cap(
            micro_of(cap.amount),
            tuple(
                at
                for name in cap.rates
                for at, rate in enumerate(rates)
                if rate.element == name
            ),
        )
        for cap in config.cap
    ]


def _discounts(config: Version) -> list[Discount]:
    return [
        Discount(
            WHOLE - per_myriad_of(discount.percent),
            frozenset(discount.elements),
            day_of(discount.first_day) if discount.first_day else date.min,
            day_of(discount.last_day) if discount.last_day else date.max,
        )
        for discount in config.discount
    ]


def _quota(quota: Quota, allowances: dict[str, int]) -> CompiledQuota:
    thresholds = tuple(sorted({*quota.thresholds, 100}))
    return CompiledQuota(allowances[quota.allowance], thresholds, quota)
