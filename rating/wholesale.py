"""What an ISP owes for the shape of its use: percentile, peak of sessions, loans.

These are known when a period ends, from what the whole network saw of the ISP; what is
owed by the gigabyte or by the line is rated like any other use or fee. A version that
has only some days of a period costs that share of the monthly price.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import pairwise
from operator import itemgetter
from typing import Final, NamedTuple

from config.quantities import micro_of
from config.tariffs import PercentileRate
from rating.charge import Charge, RatingTag
from rating.pricing import share_of
from rating.samples import SAMPLE_SECONDS, percentile
from rating.tariff import CompiledTariff, Cut

_MEGABIT = 1_000_000

OCTETS: Final[Mapping[str, Callable[[tuple[int, int]], int]]] = {
    "in": itemgetter(0),
    "out": itemgetter(1),
    "sum": sum,
}
"""What of a sample is measured."""


class Loan(NamedTuple):
    """Addresses lent to an ISP, from a time until another, in seconds since 1970."""

    addresses: int
    lent_at: int
    returned_at: int


class Peak(NamedTuple):
    """The most sessions at the same time, and from when until when they first were as
    many; seconds since 1970, both 0 where there never was one."""

    sessions: int
    since: int
    until: int


def peak_of(sessions: Iterable[tuple[int, int]], start: int, end: int) -> int:
    """Give the most sessions (start, end) that were open at the same time in a span.

    A session that ends as another begins is not open together with it.
    """
    return peak_in(sessions, start, end).sessions


def peak_in(sessions: Iterable[tuple[int, int]], start: int, end: int) -> Peak:
    """Give the peak of the sessions (start, end) in a span, with its time."""
    steps: dict[int, int] = {}
    for begun, ended in sessions:
        first, last = max(begun, start), min(ended, end)
        if first < last:
            steps[first] = steps.get(first, 0) + 1
            steps[last] = steps.get(last, 0) - 1
    peak, now = Peak(0, 0, 0), 0
    for at, next_ in pairwise([*sorted(steps), end]):
        now += steps[at]
        if now > peak.sessions:
            peak = Peak(now, at, next_)
    return peak


def address_seconds(loans: Iterable[Loan], start: int, end: int) -> int:
    """Give the addresses lent in a span, times the seconds each was lent for."""
    return sum(
        loan.addresses * max(min(loan.returned_at, end) - max(loan.lent_at, start), 0)
        for loan in loans
    )


def wholesale_charges(
    tariff: CompiledTariff,
    day: date,
    samples: Sequence[tuple[int, int]],
    sessions: Iterable[tuple[int, int]],
    loans: Iterable[Loan],
    part: Cut | None = None,
) -> list[Charge]:
    """Give what an ISP owes for the period of a day, as the version of it has it; or
    for the ``part`` of it in which the tariff was the ISP's.

    ``samples`` are octets in and out of the cut's 5-minute samples, those of 0 may be
    left out; ``sessions`` starts and ends. ``span_of`` says which times are meant. The
    charges' service is empty: they are for all of the ISP's together.
    """
    version = tariff.version_on(day)
    if version is None:
        return []
    cut = part or tariff.cut_of(day)
    start, end = span_of(tariff, day, part)
    config = version.config
    found: list[tuple[str, int, str, int]] = []
    for rate in config.percentile:
        count = (end - start) // SAMPLE_SECONDS
        octets, _ = height_of(rate, samples, count)
        bits = octets * 8 // SAMPLE_SECONDS
        paid = max(bits, rate.committed_mbps * _MEGABIT)
        month = share_of(micro_of(rate.price), paid, _MEGABIT)
        amount = share_of(month, cut.days, cut.of_days)
        found.append((rate.name, paid, "bits_per_second", amount))
    if config.peak:
        peak = peak_of(sessions, start, end)
        for rate_ in config.peak:
            paid = max(peak - rate_.included, 0)
            amount = share_of(micro_of(rate_.price) * paid, cut.days, cut.of_days)
            found.append((rate_.name, paid, "sessions", amount))
    if config.loan:
        lent = address_seconds(loans, start, end)
        for loan in config.loan:
            amount = share_of(micro_of(loan.price), lent, 3600)
            found.append((loan.name, lent, "address_seconds", amount))
    return [
        Charge(
            "",
            tariff.name,
            version.name,
            element,
            cut.key,
            RatingTag.USAGE,
            quantity,
            unit,
            share_of(amount, *version.kept(element, cut.first)),
            tariff.currency,
            tariff.tax_class,
            start,
            end,
            None,
        )
        for element, quantity, unit, amount in found
    ]


def part_of(
    tariff: CompiledTariff, day: date, since: int | None, until: int | None
) -> Cut | None:
    """Give the part of the period of a day in which an ISP paid by a tariff, that it
    came to and left at some moments; None when that is no day of it."""
    cut, day_of = tariff.cut_of(day), tariff.calendar.day_of
    first = cut.first if since is None else max(cut.first, day_of(since))
    next_ = cut.next if until is None else min(cut.next, day_of(until))
    if first >= next_:
        return None
    return Cut(first.isoformat(), first, next_, cut.of_days)


def span_of(
    tariff: CompiledTariff, day: date, part: Cut | None = None
) -> tuple[int, int]:
    """Give the instants at which the period of a day, or its part, begins and ends."""
    cut = part or tariff.cut_of(day)
    return tariff.calendar.midnight(cut.first), tariff.calendar.midnight(cut.next)


def height_of(
    rate: PercentileRate, samples: Sequence[tuple[int, int]], count: int
) -> tuple[int, str]:
    """Give the percentile of the samples in octets, and of what (a key of ``OCTETS``):
    of two directions the larger one's."""
    ways = ("in", "out") if rate.measure == "larger" else (rate.measure,)
    return max(
        (percentile(map(OCTETS[way], samples), count, rate.percentile), way)
        for way in ways
    )
