"""What use and services cost: tariffs, each a list of versions that begin on a day.

A tariff is data. Amounts are decimal strings in the tariff's currency ("0.50"),
quantities are strings with a unit ("10 GB", "1 MB", "60 s", "1 h"), days are written
2026-01-31 and mean the day in the tariff's zone. A version is in force from its first
day until the next one's, and never changes once that day has come; what it means is
``rating.tariff``'s matter, and what is wrong with it ``config.tariff_checks``'s.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from config.quantities import ClockTime, Currency, Day, Money, Percent, Quantity, Zone
from config.row import Kbps, Row
from config.values import Name

Measure = Literal["in", "out", "sum", "larger", "seconds", "units"]
"""Octets from the subscriber (RADIUS input), to it (output), both together, or the
larger of the period's two totals; seconds online; or units that a BSP counts."""

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

Elements = Annotated[tuple[str, ...], Meta(min_length=1, max_length=64)]
Threshold = Annotated[int, Meta(ge=1, le=100)]
Mbps = Annotated[int, Meta(ge=0, le=10_000_000)]
AnchorDay = Annotated[int, Meta(ge=1, le=31)]


class _Part(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A part of a version: strict keys, no defaults in its body."""


class Window(_Part, frozen=True, kw_only=True):
    """The times of the week at which a rate applies, by the clock on the wall.

    An ``end`` before ``start`` is on the next day, which then belongs to the day that
    the window began on.
    """

    name: Name
    days: tuple[Weekday, ...] = WEEKDAYS
    start: ClockTime = "00:00"
    end: ClockTime = "24:00"
    holidays: Literal["as_days", "also", "never"] = "as_days"
    """Whether a holiday counts as its weekday, as one of ``days``, or as none."""


class Tier(_Part, frozen=True, kw_only=True):
    """Another price from a quantity of the period on."""

    above: Quantity
    price: Money


class Rate(_Part, frozen=True, kw_only=True):
    """A price for use. Without a window it is for when no other of its measure is."""

    name: Name
    measure: Measure
    window: str | None = None
    price: Money
    per: Quantity
    """The quantity that ``price`` is for: "1 GB", "1 h"."""
    increment: Quantity | None = None
    """Totals are rounded up to a multiple of it."""
    minimum: Quantity | None = None
    """What is charged at the least, once there was any use."""
    counted: Literal["period", "session"] = "period"
    """Whether increment and minimum are for the period's total or each session's."""
    connect_fee: Money = "0"
    """Once a session, when it begins at this rate's times."""
    tiering: Literal["graduated", "volume"] = "graduated"
    """Whether a tier's price is for what is above its bound, or for everything."""
    tiers: Annotated[tuple[Tier, ...], Meta(max_length=32)] = ()


class Allowance(_Part, frozen=True, kw_only=True):
    """A quantity each period that its rates do not charge for."""

    name: Name
    quantity: Quantity
    rates: Elements
    """In the order in which they get it when there is not enough for all."""
    priority: Annotated[int, Meta(ge=0, le=1000)] = 100
    """The lowest is used up first."""
    prorate: bool = False
    """Whether a period that a version has only part of gets only part. A service that
    begins or ends within a period has all of it."""
    rollover: Quantity | None = None
    """How much of what is left goes into the next period, where it comes first."""
    shared: bool = False
    """Whether the services of an account have it together."""


class TopUp(_Part, frozen=True, kw_only=True):
    """More of an allowance, bought for the rest of a period."""

    name: Name
    allowance: str
    quantity: Quantity
    price: Money


class Quota(_Part, frozen=True, kw_only=True):
    """What happens while an allowance runs out."""

    name: Name
    allowance: str
    thresholds: Annotated[tuple[Threshold, ...], Meta(max_length=16)] = (80, 100)
    """Per cent used, each told once a period."""
    action: Literal["none", "throttle", "walled_garden", "block", "buy"] = "none"
    """What is done when nothing is left."""
    down_kbps: Kbps | None = None
    up_kbps: Kbps | None = None
    """The speeds to throttle to."""
    topup: str | None = None
    """What to buy."""
    most_topups: Annotated[int, Meta(ge=1, le=1000)] = 10
    """How many are bought in a period at most."""


class Fee(_Part, frozen=True, kw_only=True):
    """A fixed amount for each service (line) that has the tariff."""

    name: Name
    amount: Money
    every: Literal["month", "once"] = "month"
    prorate: bool = True
    """Whether a month of which a service was there some days only costs those days."""


class Cap(_Part, frozen=True, kw_only=True):
    """The most that some rates cost together in a period."""

    name: Name
    amount: Money
    rates: Elements


class Discount(_Part, frozen=True, kw_only=True):
    """Per cent off some rates or fees, in the periods that begin in its days."""

    name: Name
    percent: Percent
    elements: Elements
    first_day: Day | None = None
    last_day: Day | None = None


class PercentileRate(_Part, frozen=True, kw_only=True):
    """A price for the height of an ISP's traffic: a percentile of 5-minute samples."""

    name: Name
    measure: Literal["in", "out", "sum", "larger"] = "larger"
    percentile: Annotated[int, Meta(ge=1, le=100)] = 95
    price: Money
    """Of one Mbit/s."""
    committed_mbps: Mbps = 0
    """What is paid for at the least."""


class PeakRate(_Part, frozen=True, kw_only=True):
    """A price for the most sessions an ISP had at the same time in a period."""

    name: Name
    price: Money
    """Of one session."""
    included: Annotated[int, Meta(ge=0, le=100_000_000)] = 0


class LoanRate(_Part, frozen=True, kw_only=True):
    """A price for addresses an ISP borrowed, by address and hour."""

    name: Name
    price: Money
    """Of one address for one hour."""


class Version(_Part, frozen=True, kw_only=True):
    """A tariff from a day on; ``valid_from`` is its name too."""

    valid_from: Day
    holidays: Annotated[tuple[Day, ...], Meta(max_length=1000)] = ()
    window: tuple[Window, ...] = ()
    fee: tuple[Fee, ...] = ()
    rate: Annotated[tuple[Rate, ...], Meta(max_length=64)] = ()
    allowance: Annotated[tuple[Allowance, ...], Meta(max_length=32)] = ()
    topup: tuple[TopUp, ...] = ()
    quota: tuple[Quota, ...] = ()
    cap: tuple[Cap, ...] = ()
    discount: tuple[Discount, ...] = ()
    percentile: tuple[PercentileRate, ...] = ()
    peak: tuple[PeakRate, ...] = ()
    loan: tuple[LoanRate, ...] = ()


class Tariff(Row, frozen=True, kw_only=True):
    """A tariff: an ISP's for its customers, or the Network Provider's for ISPs."""

    name: Name
    isp: str | None = None
    """Whose it is; the Network Provider's (wholesale) when it names none."""
    currency: Currency
    zone: Zone
    """IANA time zone of its days, windows and periods."""
    tax_class: Name = "standard"
    anchor_day: AnchorDay = 1
    """The day on which periods begin; the last of a month that is shorter."""
    version: Annotated[tuple[Version, ...], Meta(min_length=1, max_length=1000)]
