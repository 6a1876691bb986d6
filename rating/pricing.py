"""What a quantity costs: functions from whole quantities to micro-units.

A rate's price is compiled to one function of the period's total. It rounds half up,
once, so the differences between its values add up to its values: that is all of law 6
that there is to money. Graduated prices never fall as the quantity grows; a volume
price falls at a tier's bound when the tier is cheaper, because it is for everything.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise

from config.quantities import micro_of, quantity_of
from config.tariffs import Rate

Price = Callable[[int], int]

WHOLE = 10_000
"""All of an amount, in hundredths of a per cent."""


def price_of(rate: Rate) -> Price:
    """Compile a rate's price to a function of the quantity that is charged for."""
    per = quantity_of(rate.per).number
    steps = [(0, micro_of(rate.price))]
    steps += [(quantity_of(t.above).number, micro_of(t.price)) for t in rate.tiers]
    if len(steps) == 1:
        return _flat(steps[0][1], per)
    make = _graduated if rate.tiering == "graduated" else _volume
    return make(steps, per)


def rounded_up(quantity: int, increment: int, minimum: int) -> int:
    """Round a total up to its increment (1: none), to no less than the minimum."""
    if not quantity:
        return 0
    return max(-(-quantity // increment) * increment, minimum)


def share_of(amount: int, part: int, whole: int) -> int:
    """Give a part of an amount, rounded half up."""
    return (2 * amount * part + whole) // (2 * whole)


def _flat(price: int, per: int) -> Price:
    twice, double, half = 2 * price, 2 * per, per

    def cost(quantity: int) -> int:
        return (twice * quantity + half) // double

    return cost


def _graduated(steps: list[tuple[int, int]], per: int) -> Price:
    below = [0]
    """What all that is under each bound costs, times ``per``."""
    for (low, price), (high, _) in pairwise(steps):
        below.append(below[-1] + (high - low) * price)
    bounds = [bound for bound, _ in steps]

    def cost(quantity: int) -> int:
        step = max(bisect_left(bounds, quantity) - 1, 0)
        bound, price = steps[step]
        exact = below[step] + (quantity - bound) * price
        return (2 * exact + per) // (2 * per)

    return cost


def _volume(steps: list[tuple[int, int]], per: int) -> Price:
    bounds = [bound for bound, _ in steps]

    def cost(quantity: int) -> int:
        step = max(bisect_left(bounds, quantity) - 1, 0)
        return (2 * quantity * steps[step][1] + per) // (2 * per)

    return cost
