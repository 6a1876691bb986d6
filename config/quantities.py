"""Amounts of money, quantities, days and clock times as tariffs write them.

Each has a check that says what is wrong with a text, and a reader that gives whole
numbers: micro-units, octets or seconds, minutes of a day. No float comes in anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Annotated, Literal, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from msgspec import Meta

_MONEY = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
MAX_MICRO = 5 * 10**14
"""With any tax on it an amount must fit a leg of an entry (``rating.entry``)."""

_PERCENT = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,2})?")
_QUANTITY = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]+)")
_CLOCK = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

OCTETS = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
UNITS = {"unit": 1, "units": 1}

Unit = Literal["octets", "seconds", "units"]

_FACTORS: dict[str, tuple[int, Unit]] = {
    **{name: (factor, "octets") for name, factor in OCTETS.items()},
    **{name: (factor, "seconds") for name, factor in SECONDS.items()},
    **{name: (factor, "units") for name, factor in UNITS.items()},
}


class Amount(NamedTuple):
    """A quantity as a whole number of octets, seconds or units."""

    number: int
    unit: Unit


def micro_of(text: str) -> int:
    """Read an amount of money in micro-units; ValueError says what is wrong."""
    if text.startswith("-"):
        msg = f"{text!r} is negative"
        raise ValueError(msg)
    if not _MONEY.fullmatch(text):
        msg = f'{text!r} is no amount such as "9.90", with 6 decimals at most'
        raise ValueError(msg)
    micro = int(Decimal(text) * 1_000_000)
    if micro > MAX_MICRO:
        msg = f"{text!r} is more than {MAX_MICRO // 1_000_000}"
        raise ValueError(msg)
    return micro


def quantity_of(text: str) -> Amount:
    """Read a quantity; ValueError says what is wrong."""
    if text.startswith("-"):
        msg = f"{text!r} is negative"
        raise ValueError(msg)
    match = _QUANTITY.fullmatch(text)
    if not match or match[2] not in _FACTORS:
        units = ", ".join(_FACTORS)
        msg = f'{text!r} is no quantity such as "10 GB" or "60 s"; units are {units}'
        raise ValueError(msg)
    factor, unit = _FACTORS[match[2]]
    number = Decimal(match[1]) * factor
    if number != number.to_integral_value() or not 0 < number < 2**62:
        msg = f"{text!r} is not a whole number of {unit} above 0"
        raise ValueError(msg)
    return Amount(int(number), unit)


def per_myriad_of(text: str) -> int:
    """Read a percentage in hundredths of a per cent; ValueError says what is wrong."""
    if not _PERCENT.fullmatch(text) or not 0 < Decimal(text) <= 100:
        msg = f'{text!r} is no percentage such as "12.5", above 0 and up to 100'
        raise ValueError(msg)
    return int(Decimal(text) * 100)


def part_of(text: str) -> int:
    """Read a tax or a party's part, which may be none of it, like ``per_myriad_of``."""
    is_none = _PERCENT.fullmatch(text) and not Decimal(text)
    return 0 if is_none else per_myriad_of(text)


def minutes_of(text: str) -> int:
    """Read a clock time as minutes since midnight; ValueError says what is wrong."""
    match = _CLOCK.fullmatch(text)
    minutes = int(match[1]) * 60 + int(match[2]) if match else 1441
    if minutes > 1440:
        msg = f"{text!r} is no time such as 08:00, up to 24:00"
        raise ValueError(msg)
    return minutes


def day_of(text: str) -> date:
    """Read a day; ValueError says what is wrong."""
    try:
        day = date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not 1970 < day.year < 9000:
        msg = f"{text!r} is no day such as 2026-01-31"
        raise ValueError(msg)
    return day


@cache
def _zones() -> frozenset[str]:
    """Give the names of all zones; finding them walks a folder tree."""
    return frozenset(available_timezones())


def zone_of(text: str) -> ZoneInfo:
    """Find a time zone; ValueError when there is none of that name."""
    if text not in _zones():
        msg = f"there is no time zone called {text!r}, such as Europe/Berlin or UTC"
        raise ValueError(msg)
    return ZoneInfo(text)


def currency_of(text: str) -> str:
    """Check a code of ISO 4217 by its form; ValueError when it is none.

    ``eur`` beside ``EUR`` would be another currency, and no sum would have both.
    """
    if not re.fullmatch(r"[A-Z]{3}", text):
        msg = f"{text!r} is no currency such as EUR: three capital letters of ISO 4217"
        raise ValueError(msg)
    return text


def _refuses(read: Callable[[str], object]) -> Callable[[str], str]:
    """Make the check of a reader: what it raises, or nothing."""

    def check(text: str) -> str:
        try:
            read(text)
        except ValueError as error:
            return str(error)
        return ""

    return check


Money = Annotated[str, Meta(extra={"check": _refuses(micro_of)})]
Quantity = Annotated[str, Meta(extra={"check": _refuses(quantity_of)})]
Percent = Annotated[str, Meta(extra={"check": _refuses(per_myriad_of)})]
Share = Annotated[str, Meta(extra={"check": _refuses(part_of)})]
ClockTime = Annotated[str, Meta(extra={"check": _refuses(minutes_of)})]
Day = Annotated[str, Meta(extra={"check": _refuses(day_of)})]
Zone = Annotated[str, Meta(extra={"check": _refuses(zone_of)})]
Currency = Annotated[str, Meta(extra={"check": _refuses(currency_of)})]
