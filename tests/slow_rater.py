"""A rater that is obviously right and slow: minute by minute, in fractions.

It shares nothing with the fast one but the tariff's data: windows are asked of the
clock on the wall at every minute, periods are walked day by day, and money is a
Fraction until the end of a period.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from fractions import Fraction
from math import floor
from zoneinfo import ZoneInfo

from config.quantities import quantity_of
from config.tariffs import WEEKDAYS, Rate, Tariff, Version, Window
from rating.charge import RatableUsage

HALF = Fraction(1, 2)


def half_up(amount: Fraction) -> int:
    """Round as people do."""
    return floor(amount + HALF)


class SlowRater:
    """Adds up use by (period, version, rate) and prices it when asked."""

    def __init__(self, tariff: Tariff) -> None:
        self.tariff = tariff
        self.zone = ZoneInfo(tariff.zone)
        self.versions = sorted(tariff.version, key=lambda v: v.valid_from)
        self.used: dict[tuple[str, str, str], list[Fraction]] = defaultdict(
            lambda: [Fraction(0)] * 4
        )

    def version_of(self, day: date) -> Version:
        """The last version that has begun."""
        return [v for v in self.versions if v.valid_from <= day.isoformat()][-1]

    def period_of(self, day: date) -> str:
        """Walk back to the day on which the period, or the version, begins."""
        version = self.version_of(day)
        while not self.begins(day) and day.isoformat() != version.valid_from:
            day -= timedelta(days=1)
        return day.isoformat()

    def begins(self, day: date) -> bool:
        """Whether a month's period begins: on its anchor, or on its last day."""
        last = (day + timedelta(days=1)).month != day.month
        return day.day == self.tariff.anchor_day or (
            last and day.day < self.tariff.anchor_day
        )

    def is_open(self, window: Window, version: Version, at: datetime) -> bool:
        """Ask the clock on the wall."""

        def applies(day: date) -> bool:
            if day.isoformat() in version.holidays and window.holidays != "as_days":
                return window.holidays == "also"
            return WEEKDAYS[day.weekday()] in window.days

        clock, today = at.strftime("%H:%M"), at.date()
        if window.start < window.end:
            return applies(today) and window.start <= clock < window.end
        return (applies(today) and clock >= window.start) or (
            applies(today - timedelta(days=1)) and clock < window.end
        )

    def rates_at(self, version: Version, at: datetime) -> list[Rate]:
        """The rates that are for a moment: those with a window, else the other one."""
        open_ = {w.name for w in version.window if self.is_open(w, version, at)}
        found = [rate for rate in version.rate if rate.window in open_]
        taken = {rate.measure for rate in found}
        return found + [
            rate
            for rate in version.rate
            if rate.window is None and rate.measure not in taken
        ]

    def use(self, usages: Iterable[RatableUsage]) -> None:
        """Lay each record over its minutes; what an hour has is in its minutes."""
        for usage in usages:
            length = usage.ended_at - usage.started_at
            whole = (
                usage.seconds,
                usage.input_octets,
                usage.output_octets,
                usage.units,
            )
            at = usage.started_at
            while at < usage.ended_at:
                upto = min(at - at % 60 + 60, usage.ended_at)
                share = Fraction(upto - at, length)
                local = datetime.fromtimestamp(at, self.zone)
                version = self.version_of(local.date())
                period = self.period_of(local.date())
                for rate in self.rates_at(version, local):
                    used = self.used[period, version.valid_from, rate.name]
                    for counter, figure in enumerate(whole):
                        used[counter] += figure * share
                at = upto

    def totals(self) -> dict[tuple[str, str, str], int]:
        """What each rate of each period counts; whole if usage is cut at boundaries."""
        found = {}
        for (period, first, name), used in self.used.items():
            version = next(v for v in self.versions if v.valid_from == first)
            rate = next(r for r in version.rate if r.name == name)
            seconds, octets_in, octets_out, units = used
            quantity = {
                "seconds": seconds,
                "in": octets_in,
                "out": octets_out,
                "sum": octets_in + octets_out,
                "larger": max(octets_in, octets_out),
                "units": units,
            }[rate.measure]
            assert quantity.denominator == 1, "cut the usage at the boundaries first"
            found[period, first, name] = int(quantity)
        return found

    def money(self) -> dict[tuple[str, str], dict[str, int]]:
        """What each rate costs, by period and version."""
        by_period: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for (period, first, name), quantity in self.totals().items():
            by_period[period, first][name] = quantity
        return {
            key: self._money(key[0], key[1], used) for key, used in by_period.items()
        }

    def _money(self, period: str, first: str, used: dict[str, int]) -> dict[str, int]:
        version = next(v for v in self.versions if v.valid_from == first)
        rates = {rate.name: rate for rate in version.rate}
        counted = {
            name: self._rounded(rates[name], used.get(name, 0)) for name in rates
        }
        free = dict.fromkeys(rates, 0)
        for allowance in sorted(version.allowance, key=lambda a: a.priority):
            left = quantity_of(allowance.quantity).number
            for name in allowance.rates:
                while left and free[name] < counted[name]:
                    step = min(left, counted[name] - free[name])
                    left -= step
                    free[name] += step
        amounts = {}
        for name, rate in rates.items():
            amount = half_up(self._price(rate, counted[name] - free[name]))
            kept = Fraction(1)
            for discount in version.discount:
                begins = discount.first_day or ""
                ends = discount.last_day or "9999"
                if name in discount.elements and begins <= period <= ends:
                    kept *= 1 - Fraction(discount.percent) / 100
            amounts[name] = half_up(amount * kept)
        for cap in version.cap:
            room = int(Fraction(cap.amount) * 1_000_000)
            for name in cap.rates:
                amounts[name] = min(amounts[name], room)
                room -= amounts[name]
        return amounts

    @staticmethod
    def _rounded(rate: Rate, quantity: int) -> int:
        if quantity == 0:
            return 0
        increment = quantity_of(rate.increment).number if rate.increment else 1
        minimum = quantity_of(rate.minimum).number if rate.minimum else 0
        steps = 0
        while increment > 1 and steps * increment < quantity:
            steps += max((quantity - steps * increment) // increment, 1)
        return max(steps * increment if increment > 1 else quantity, minimum)

    @staticmethod
    def _price(rate: Rate, quantity: int) -> Fraction:
        """In micro-units, exactly."""
        per = quantity_of(rate.per).number
        bounds = [(0, rate.price)]
        bounds += [(quantity_of(t.above).number, t.price) for t in rate.tiers]
        if rate.tiering == "volume":
            price = [p for bound, p in bounds if quantity > bound or not bound][-1]
            return Fraction(quantity, per) * Fraction(price) * 1_000_000
        total = Fraction(0)
        for nth, (bound, price) in enumerate(bounds):
            upto = bounds[nth + 1][0] if nth + 1 < len(bounds) else quantity
            part = max(min(quantity, upto) - bound, 0)
            total += Fraction(part, per) * Fraction(price) * 1_000_000
        return total
