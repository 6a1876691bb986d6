"""What goes into the rater and what leaves it: usage in, charges out, both values.

A charge says what is owed for which use and why, not who owes it to whom: parties, legs
and tax amounts are the ledger's matter. Amounts are differences of a function of
running totals, so a charge by itself may look odd (nothing for a megabyte, then a cent
for the next); the sum of a period's charges is exact, however its usage was cut (law
6). A charge can be negative: late use or a top-up may move an allowance from one rate
to another, and a cap or a volume tier may make earlier use of the period cheaper.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

MICRO = 1_000_000
"""Micro-units of a currency in one unit of it."""


class RatingTag(StrEnum):
    """TMF635's usageRatingTag: use by the price, within an allowance, or beyond it."""

    USAGE = "usage"
    INCLUDED = "included usage"
    NON_INCLUDED = "non included usage"


class RatableUsage(NamedTuple):
    """One guided usage record; times in seconds since 1970, the end not included.

    ``service`` is the service's name in the network, ``usage_id`` the record's id in
    the table ``usage``. ``session_started_at`` is when the whole session began: it is
    what a connect fee goes by. ``units`` is what a BSP counts (plays, documents); the
    network reports none.
    """

    service: str
    usage_id: int
    session_id: int
    session_started_at: int
    started_at: int
    ended_at: int
    seconds: int
    input_octets: int
    output_octets: int
    derived: str
    units: int = 0


class Charge(NamedTuple):
    """One line of money; the amount is in micro-units of the currency, before tax.

    ``tariff`` and ``version`` (its first day in force) and ``element`` (a rate's or
    fee's name) say which price it was, ``period`` the first day of the billing period
    that the use fell into, in the tariff's zone: when that period is closed already,
    the ledger books it into the next one. ``quantity`` is in ``unit`` (``octets``,
    ``seconds``, ``units``, ``sessions``, ``address_seconds``, ``bits_per_second`` or
    ``fee``).
    ``usage_id`` is None for what no single usage record caused: fees, top-ups and what
    is only known when a period ends.
    """

    service: str
    tariff: str
    version: str
    element: str
    period: str
    tag: RatingTag
    quantity: int
    unit: str
    amount: int
    currency: str
    tax_class: str
    started_at: int
    ended_at: int
    usage_id: int | None
