"""A BSP's purchase: its states, what each event does to it, and who gets what of it.

An authorisation holds an amount against the subscriber's limits; a capture makes money
of it, once and of no more than was authorised; a refund gives back some or all of what
was captured, as often as it takes. A sale is both in one. The price has the tax in it;
what an ISP and the Network Provider get is of the price before tax, and the rest is the
BSP's. What is left after a refund is split anew, and the difference is given back, so
that refunds to the last micro-unit restore everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

from rating.pricing import WHOLE, share_of
from rating.taxes import tax_within


class State(StrEnum):
    """Where a purchase is in its life."""

    PENDING = "pending"
    """A sale that could not be priced or guided yet; kept, and tried again."""
    DENIED = "denied"
    AUTHORISED = "authorised"
    CAPTURED = "captured"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    PARTLY_REFUNDED = "partly_refunded"
    REFUNDED = "refunded"


class Action(StrEnum):
    """What an event asks for."""

    AUTHORISE = "authorise"
    SALE = "sale"
    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"


class Denial(StrEnum):
    """Why an event was denied, or a sale is pending; a stable code."""

    UNKNOWN_USER = "unknown_user"
    NOT_SOLD_TO = "isp_not_sold_to"
    NOT_SUBSCRIBED = "user_not_subscribed"
    UNKNOWN_PRODUCT = "price_not_in_catalogue"
    PRICE_REQUIRED = "price_required"
    PRICE_OUT_OF_LIMITS = "price_out_of_limits"
    WRONG_CURRENCY = "wrong_currency"
    LIMIT_EXCEEDED = "limit_exceeded"
    UNKNOWN_PURCHASE = "unknown_purchase"
    KNOWN_REFERENCE = "reference_used_before"
    NOT_IN_THIS_STATE = "not_in_this_state"
    AMOUNT_EXCEEDED = "amount_exceeded"
    AUTHORISATION_EXPIRED = "authorisation_expired"
    IN_THE_FUTURE = "in_the_future"
    TOO_LONG_AGO = "too_long_ago"


AHEAD_SECONDS: Final = 300
"""A BSP's clock may run ahead by this much."""

LATE_SECONDS: Final = 62 * 86_400
"""An event may come two months late at most: what was sold off the network."""

BEGINS: Final = frozenset({Action.AUTHORISE, Action.SALE})
"""What makes a new purchase."""

NEXT: Final[Mapping[tuple[State, Action], State | None]] = {
    (state, action): None
    for state in State
    for action in (Action.CAPTURE, Action.CANCEL, Action.REFUND)
} | {
    (State.AUTHORISED, Action.CAPTURE): State.CAPTURED,
    (State.AUTHORISED, Action.CANCEL): State.CANCELLED,
    (State.PENDING, Action.CANCEL): State.CANCELLED,
    (State.CAPTURED, Action.REFUND): State.REFUNDED,
    (State.PARTLY_REFUNDED, Action.REFUND): State.REFUNDED,
}
"""The state that an event leads to; None where it is denied. A refund of a part leads
to PARTLY_REFUNDED instead."""

RETRIABLE: Final = frozenset(
    {
        Denial.UNKNOWN_USER,
        Denial.UNKNOWN_PRODUCT,
        Denial.NOT_SOLD_TO,
        Denial.NOT_SUBSCRIBED,
        Denial.PRICE_REQUIRED,
        Denial.PRICE_OUT_OF_LIMITS,
    }
)
"""What a change of the network can put right: a sale that has happened is kept as
pending, because the subscriber has what was sold."""


def untimely(at: int, now: int) -> Denial | None:
    """Say why an event cannot have been at a time (epoch seconds), told ``now``: a time
    of one's choice would find a month whose limit is not used up."""
    if at > now + AHEAD_SECONDS:
        return Denial.IN_THE_FUTURE
    return Denial.TOO_LONG_AGO if at < now - LATE_SECONDS else None


class Terms(Struct, frozen=True):
    """How a purchase is split, fixed when it began; percentages in hundredths."""

    zone: str
    tax_class: str
    tax_party: str
    tax: int
    isp_commission: int
    network_fee: int


def split(gross: int, terms: Terms) -> tuple[int, int, int, int, int]:
    """Give the five legs of a price, tax included."""
    tax = tax_within(gross, terms.tax)
    net = gross - tax
    commission = share_of(net, terms.isp_commission, WHOLE)
    fee = share_of(net, terms.network_fee, WHOLE)
    return -gross, commission, net - commission - fee, fee, tax


def given_back(
    captured: int, before: int, amount: int, terms: Terms
) -> tuple[int, int, int, int, int]:
    """Give the five legs of a refund of ``amount``, when ``before`` was refunded."""
    had = split(captured - before, terms)
    keeps = split(captured - before - amount, terms)
    s, i, p, n, t = (k - h for k, h in zip(keeps, had, strict=True))
    return s, i, p, n, t
