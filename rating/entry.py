"""What one entry of the ledger says: who owes whom how much, and for what.

An entry has five legs in micro-units of one currency: subscriber, ISP, third party (the
BSP that sold, or the ISP that lent), Network Provider and tax. A leg is positive when
that account is credited and negative when it is debited, and the five sum to zero; an
entry that does not is our bug and is raised, never stored. What many entries have in
common is their book: whose customer it is, the month, the kind, the tariff, the tax.

A correction is never an update: ``reversal`` gives the posting that undoes an entry.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from operator import itemgetter
from typing import Any, Final, NamedTuple

NETWORK: Final = "network"
"""The Network Provider, where a party is named; no ISP or BSP may be called so."""

MAX_AMOUNT: Final = 10**15
"""Micro-units on one leg at most, 10^9 units of the currency: no sum of a batch of
thousands can leave 63 bits."""


class Account(StrEnum):
    """The five kinds of account that an entry has a leg of, in the legs' order."""

    SUBSCRIBER = "subscriber"
    ISP = "isp"
    PARTY = "party"
    NETWORK = "network"
    TAX = "tax"


class Kind(StrEnum):
    """What an entry is money for."""

    ACCESS = "access"
    """Network usage and fees: an ISP to its subscriber by the ISP's tariff (retail),
    the Network Provider to the ISP by its own (wholesale), or both."""
    LOAN = "loan"
    """An ISP to the one that borrowed its addresses."""
    BSP_USAGE = "bsp_usage"
    """A BSP to a subscriber: metered use, by the BSP's tariff."""
    PURCHASE = "purchase"
    """A BSP to a subscriber: one purchase that was captured."""
    REFUND = "refund"
    """A part of a purchase, given back."""
    ADDRESS_SALE = "address_sale"
    """An ISP to its subscriber: an address beyond the plan."""


class Source(StrEnum):
    """What is behind an entry, and in which table its ``source_id`` is."""

    USAGE = "usage"
    FEE = "fee"
    PURCHASE = "purchase"
    BSP_USAGE = "bsp_usage"
    ADDRESS_SALE = "address_sale"
    PERIOD = "period"
    """The running totals of a month: tax and commissions on them."""


class Book(NamedTuple):
    """What entries of one kind in one month have in common; "" where there is none.

    ``tenant`` is the subscriber's ISP, or the one that is charged; ``zone`` and
    ``month`` ("2026-11") are when the entry counts; ``party`` is the BSP or the lending
    ISP; ``tax_party`` is who owes the tax in it; ``tariff`` is a name and version.
    """

    tenant: str
    zone: str
    month: str
    kind: str
    source: str
    party: str
    tax_party: str
    tax_class: str
    currency: str
    tariff: str
    wholesale_tariff: str
    wholesale_tax_class: str


class Posting(NamedTuple):
    """One entry before it has a number, as the repository writes it.

    ``at`` is when the use began, in epoch seconds. ``late_from`` is the month it
    belongs to when that was closed already. ``detail`` is JSON: the charges in it.
    """

    service: str | None
    subscriber_amount: int
    isp_amount: int
    party_amount: int
    network_amount: int
    tax_amount: int
    at: int
    late_from: str | None
    source_id: int | None
    reverses: int | None
    detail: str | None


class Entry(NamedTuple):
    """One entry as it is stored."""

    id: int
    book: Book
    posting: Posting


class UnbalancedError(AssertionError):
    """Legs that do not sum to zero, or beyond the bound: a bug of ours."""


def check(postings: Sequence[tuple[Any, ...]]) -> tuple[int, ...]:
    """Give the sums of the five legs of at least one posting.

    Raises UnbalancedError unless each posting's legs sum to zero and keep the bound.
    """
    if any(map(sum, map(_legs, postings))):
        wrong = next(legs for legs in map(_legs, postings) if sum(legs))
        raise UnbalancedError(f"legs {wrong} sum to {sum(wrong)}")
    columns = tuple(zip(*map(_legs, postings), strict=True))
    if max(map(max, columns)) > MAX_AMOUNT or min(map(min, columns)) < -MAX_AMOUNT:
        raise UnbalancedError(f"a leg exceeds {MAX_AMOUNT} micro-units")
    return tuple(map(sum, columns))


def reversal(entry: Entry, month: str) -> tuple[Book, Posting]:
    """Give what undoes an entry, to be booked in the open ``month``."""
    posting, book = entry.posting, entry.book
    subscriber, isp, party, network, tax = (-amount for amount in posting[1:6])
    return book._replace(month=month), Posting(
        posting.service,
        subscriber,
        isp,
        party,
        network,
        tax,
        posting.at,
        None if month == book.month else posting.late_from or book.month,
        posting.source_id,
        entry.id,
        posting.detail,
    )


_legs = itemgetter(slice(1, 6))
