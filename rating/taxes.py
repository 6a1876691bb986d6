"""Which part of a price is tax: by class, by who owes it, and by the day.

A rate that names a party goes before one that names none; of several that have begun
the latest holds. What no rate is for is not taxed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from config.quantities import day_of, per_myriad_of, zone_of
from config.settlement import Tax
from rating.pricing import WHOLE, share_of

_ALWAYS: Final = -(2**63)


class Taxes:
    """The tax rates of a network."""

    def __init__(self, rows: Iterable[Tax]) -> None:
        self._rates: dict[tuple[str, str | None], list[tuple[int, int]]] = {}
        for row in rows:
            rates = self._rates.setdefault((row.tax_class, row.party), [])
            rates.append((_begins_at(row), per_myriad_of(row.percent)))
            rates.sort()

    def rate(self, tax_class: str, party: str, at: int) -> int:
        """Give the rate, in hundredths of a per cent, of a class at a time."""
        for whom in (party, None):
            rates = self._rates.get((tax_class, whom), ())
            place = bisect_right(rates, (at, WHOLE))
            if place:
                return rates[place - 1][1]
        return 0


def tax_on(net: int, rate: int) -> int:
    """Give the tax on an amount before tax, in micro-units, rounded half up."""
    return share_of(net, rate, WHOLE)


def tax_within(gross: int, rate: int) -> int:
    """Give the tax that an amount has in it, in micro-units, rounded half up."""
    return share_of(gross, rate, WHOLE + rate)


def _begins_at(row: Tax) -> int:
    if row.first_day is None:
        return _ALWAYS
    day, zone = day_of(row.first_day), zone_of(row.zone)
    return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp())
