"""Which part of a price is tax: by class, by who owes it, and by the day.

A rate that names a party goes before one that names none; of several that have begun
the latest holds. What no rate is for is not taxed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from config.quantities import day_of, part_of, zone_of
from config.settlement import Tax
from rating.pricing import WHOLE, share_of

_ALWAYS: Final = -(2**63)
_FOR_EVER: Final = 2**63 - 1


class TaxSpan(NamedTuple):
    """Epoch seconds from and until (not included), in which one rate holds, and that
    rate in hundredths of a per cent."""

    since: int
    until: int
    rate: int


class Taxes:
    """The tax rates of a network."""

    def __init__(self, rows: Iterable[Tax]) -> None:
        self._rows: dict[tuple[str, str | None], list[Tax]] = {}
        for row in rows:
            self._rows.setdefault((row.tax_class, row.party), []).append(row)
        self._spans: dict[tuple[str, str, str], list[TaxSpan]] = {}

    def spans(self, tax_class: str, party: str, zone: str) -> Sequence[TaxSpan]:
        """Give the rates of a class, one behind the other and without a gap.

        ``zone`` is the one in which the taxed days begin.
        """
        key = tax_class, party, zone
        if key not in self._spans:
            self._spans[key] = self._spans_of(tax_class, party, zone)
        return self._spans[key]

    def span(self, tax_class: str, party: str, zone: str, at: int) -> TaxSpan:
        """Give the span of ``spans`` that a moment (epoch seconds) lies in."""
        spans = self.spans(tax_class, party, zone)
        return spans[bisect_right(spans, (at, _FOR_EVER, WHOLE)) - 1]

    def _spans_of(self, tax_class: str, party: str, zone: str) -> list[TaxSpan]:
        begun = [
            sorted(
                (_begins_at(row, zone), part_of(row.percent))
                for row in self._rows.get((tax_class, whom), ())
            )
            for whom in (party, None)
        ]
        starts = sorted({_ALWAYS, *(at for rates in begun for at, _ in rates)})
        spans: list[TaxSpan] = []
        for since, until in zip(starts, [*starts[1:], _FOR_EVER], strict=True):
            rate = _rate_at(begun, since)
            if spans and spans[-1].rate == rate:
                since = spans.pop().since
            spans.append(TaxSpan(since, until, rate))
        return spans


def changes_of(rows: Iterable[Tax], tax_class: str, zone: str) -> list[int]:
    """Give the moments (epoch seconds, in order) at which a class's tax may change,
    whoever owes it."""
    begun = [_begins_at(row, zone) for row in rows if row.tax_class == tax_class]
    return sorted({at for at in begun if at != _ALWAYS})


def tax_on(net: int, rate: int) -> int:
    """Give the tax on an amount before tax, in micro-units, rounded half up."""
    return share_of(net, rate, WHOLE)


def tax_within(gross: int, rate: int) -> int:
    """Give the tax that an amount has in it, in micro-units, rounded half up."""
    return share_of(gross, rate, WHOLE + rate)


def _rate_at(begun: Iterable[Sequence[tuple[int, int]]], at: int) -> int:
    for rates in begun:
        place = bisect_right(rates, (at, WHOLE))
        if place:
            return rates[place - 1][1]
    return 0


def _begins_at(row: Tax, zone: str) -> int:
    if row.first_day is None:
        return _ALWAYS
    day, its_zone = day_of(row.first_day), zone_of(row.zone or zone)
    return int(datetime(day.year, day.month, day.day, tzinfo=its_zone).timestamp())
