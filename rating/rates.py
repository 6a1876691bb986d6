"""Rates ready to rate with: what each counts of the totals, rounded how, at what price.

Use is added up by slot in a flat list; ``COUNTERS`` says what a slot has in it. A rate
reads the slots that are its own, and a connect fee is a rate that counts sessions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import NamedTuple

import msgspec

from config.quantities import micro_of, quantity_of
from config.tariffs import Allowance, Rate, Version
from rating.charge import RatingTag
from rating.entry import MAX_AMOUNT
from rating.pricing import Price, price_of, rounded_up

_INDEX = {"seconds": 0, "in": 1, "out": 2, "units": 3}
COUNTERS = 4
"""Seconds, octets in, octets out and units, of each slot in turn."""

NO_DOUBT = 10**13
"""Octets that a record may have of which nobody asks: ten terabytes."""

_MOST_OCTETS = 10**16
"""What no honest record has: 10 Gbit/s for three months without a report. A NAS whose
counter went below zero shows more, and some of those are more than a total can hold."""

Totals = list[int]
Measured = Callable[[Totals], int]


class CompiledRate(NamedTuple):
    """A rate, or the connect fee of one, which counts sessions.

    ``measured`` gives the use of its slots, ``rounded`` what that is with increment and
    minimum. ``by_session`` rates are counted up session by session instead.
    """

    element: str
    unit: str
    measured: Measured
    rounded: Callable[[int], int]
    price: Price
    by_session: bool
    connects: bool
    slots: frozenset[int]
    allowances: tuple[int, ...]


class DirectRate(NamedTuple):
    """A rate as ``Balance.take`` needs it.

    ``counted`` gives its use, with increment and minimum. ``allowance`` is -1 for a
    rate that has none, and -2 for one that has several. ``plain`` says that its money
    depends on its own use alone, with nothing taken off. ``heads`` is how a line of an
    entry's detail begins, by the tag.
    """

    place: int
    counted: Measured
    price: Price
    allowance: int
    plain: bool
    element: str
    unit: str
    heads: dict[RatingTag, str]


def direct_rate(place: int, rate: CompiledRate, plain: bool) -> DirectRate:
    """Make the direct form of the rate at a place."""
    measured, rounded = rate.measured, rate.rounded
    several = len(rate.allowances) > 1
    allowance = rate.allowances[0] if rate.allowances else -1
    return DirectRate(
        place,
        measured if rounded is int else lambda totals: rounded(measured(totals)),
        rate.price,
        -2 if several else allowance,
        plain,
        rate.element,
        rate.unit,
        {tag: _head(rate.element, tag) for tag in RatingTag},
    )


def _head(element: str, tag: RatingTag) -> str:
    """Begin the JSON of a line (``rating.posting.Line``)."""
    return msgspec.json.encode((element, tag)).decode().removesuffix("]") + ","


def most_octets(rates: Sequence[Rate]) -> int:
    """Give the octets that one record may have at these rates: what a line can carry,
    and no more than an entry has room for the money of."""
    dearest = sum(
        Fraction(
            max(
                micro_of(price)
                for price in (rate.price, *(t.price for t in rate.tiers))
            ),
            quantity_of(rate.per).number,
        )
        for rate in rates
        if rate.measure not in ("seconds", "units")
    )
    return int(min(_MOST_OCTETS, MAX_AMOUNT / dearest if dearest else _MOST_OCTETS))


def compiled_rates(
    config: Version, slots: Sequence[tuple[str, ...]], allowances: Sequence[Allowance]
) -> tuple[CompiledRate, ...]:
    """Compile the rates of a version, each connect fee behind its rate."""
    compiled = []
    for rate in config.rate:
        own = _own_slots(rate, config, slots)
        granted = tuple(at for at, a in enumerate(allowances) if rate.name in a.rates)
        increment = quantity_of(rate.increment).number if rate.increment else 1
        minimum = quantity_of(rate.minimum).number if rate.minimum else 0
        compiled.append(
            CompiledRate(
                rate.name,
                quantity_of(rate.per).unit,
                _measured(rate.measure, sorted(own)),
                _rounding(increment, minimum),
                price_of(rate),
                rate.counted == "session",
                False,
                own,
                granted,
            )
        )
        fee = micro_of(rate.connect_fee)
        if fee:
            compiled.append(_connect(rate.name, fee, own))
    return tuple(compiled)


def _connect(name: str, fee: int, slots: frozenset[int]) -> CompiledRate:
    def nothing(totals: Totals) -> int:
        return 0

    def price(sessions: int) -> int:
        return sessions * fee

    return CompiledRate(
        name, "sessions", nothing, _rounding(1, 0), price, True, True, slots, ()
    )


def _own_slots(
    rate: Rate, config: Version, slots: Sequence[tuple[str, ...]]
) -> frozenset[int]:
    if rate.window is not None:
        return frozenset(at for at, open_ in enumerate(slots) if rate.window in open_)
    others = {r.window for r in config.rate if r.measure == rate.measure}
    return frozenset(at for at, open_ in enumerate(slots) if not others & set(open_))


def _measured(measure: str, slots: list[int]) -> Measured:
    """Compile what a rate counts of the totals; most rates have one slot."""
    octets_in = [slot * COUNTERS + 1 for slot in slots]
    octets_out = [slot * COUNTERS + 2 for slot in slots]
    if measure in _INDEX:
        places = [slot * COUNTERS + _INDEX[measure] for slot in slots]
        if len(places) == 1:
            return _one(places[0])

        def several(totals: Totals) -> int:
            return sum([totals[place] for place in places])

        return several
    if measure == "sum":
        if len(slots) == 1:
            return _both(octets_in[0], octets_out[0])
        both = octets_in + octets_out

        def together(totals: Totals) -> int:
            return sum([totals[place] for place in both])

        return together

    def larger(totals: Totals) -> int:
        return max(
            sum([totals[place] for place in octets_in]),
            sum([totals[place] for place in octets_out]),
        )

    return larger


def _one(place: int) -> Measured:
    return lambda totals: totals[place]


def _both(one: int, other: int) -> Measured:
    return lambda totals: totals[one] + totals[other]


def _rounding(increment: int, minimum: int) -> Callable[[int], int]:
    if increment == 1 and not minimum:
        return int
    return lambda quantity: rounded_up(quantity, increment, minimum)
