"""Tax and commissions on a month's running totals: the second entry of metered money.

What is rated is booked without tax, because a tax rounded on each of a million small
charges would depend on how the usage was cut. A levy is the tax on a service's total of
the month so far, less what was levied before: asked for again it is nothing, and asked
for each day it adds up to what one at the end would have been (law 6). A BSP's metered
use is levied in the same way, its commissions with the tax. Where the rate changes
within a month, the days before and those behind have a total each: a levy lies in the
days that it is on, and an entry belongs to the day that it is of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rating.entry import NETWORK, Book, Kind, Posting, Source
from rating.pricing import WHOLE, share_of
from rating.taxes import tax_on


class Basis(NamedTuple):
    """What is levied alike: a tenant's books of one month, kind, tax and currency.

    ``wholesale`` is for what the Network Provider charged; otherwise it is for what
    the subscriber (or, of a loan, the borrower) was charged.
    """

    tenant: str
    zone: str
    month: str
    kind: str
    party: str
    tax_class: str
    currency: str
    wholesale: bool


class Cut(NamedTuple):
    """Who takes which part of a total, in hundredths of a per cent of it."""

    tax: int
    isp_commission: int = 0
    network_fee: int = 0


def bases_of(book: Book) -> Iterator[Basis]:
    """Give what a book's entries are a basis of; none if they are levied on already."""
    if book.source == Source.PERIOD:
        return
    common = book.tenant, book.zone, book.month, book.kind, book.party
    if book.kind == Kind.ACCESS and book.wholesale_tariff:
        yield Basis(*common, book.wholesale_tax_class, book.currency, True)
    if book.tariff and book.kind in _METERED:
        yield Basis(*common, book.tax_class, book.currency, False)


def book_of(basis: Basis, tax_party: str) -> Book:
    """Give the book that the levies on a basis are in, by who owes the tax."""
    return Book(
        basis.tenant,
        basis.zone,
        basis.month,
        basis.kind,
        Source.PERIOD.value,
        basis.party,
        tax_party,
        "" if basis.wholesale else basis.tax_class,
        basis.currency,
        "",
        "",
        basis.tax_class if basis.wholesale else "",
    )


def basis_of(levies: Book) -> Basis:
    """Give the basis that the levies in a book are on: the reverse of ``book_of``."""
    wholesale = bool(levies.wholesale_tax_class)
    return Basis(
        levies.tenant,
        levies.zone,
        levies.month,
        levies.kind,
        levies.party,
        levies.wholesale_tax_class if wholesale else levies.tax_class,
        levies.currency,
        wholesale,
    )


def total_of(basis: Basis, amounts: tuple[int, ...]) -> int:
    """Give what was charged before tax, from the sums of the legs of its entries."""
    subscriber, _, party, network, _ = amounts
    if basis.wholesale:
        return network
    return party if basis.kind == Kind.LOAN else -subscriber


def levy(basis: Basis, cut: Cut, total: int) -> tuple[int, int, int, int, int]:
    """Give the five legs of everything that is levied on a total."""
    tax = tax_on(total, cut.tax)
    if basis.wholesale or basis.kind == Kind.LOAN:
        return 0, -tax, 0, 0, tax
    if basis.kind == Kind.ACCESS:
        return -tax, 0, 0, 0, tax
    commission = share_of(total, cut.isp_commission, WHOLE)
    fee = share_of(total, cut.network_fee, WHOLE)
    return -tax, commission, -commission - fee, fee, tax


def levied(
    basis: Basis,
    cut: Cut,
    service: str | None,
    total: int,
    before: tuple[int, ...],
    at: int,
) -> Posting | None:
    """Give what is still to be levied on a service's total; None when nothing is."""
    now = levy(basis, cut, total)
    more = [a - b for a, b in zip(now, before, strict=True)]
    if not any(more):
        return None
    subscriber, isp, party, network, tax = more
    return Posting(
        service, subscriber, isp, party, network, tax, at, None, None, None, None
    )


def owed_by(basis: Basis, bsp_tax_owed_by: str) -> str:
    """Say who owes the tax on a basis: who was paid, of a BSP who it says."""
    if basis.wholesale:
        return NETWORK
    if basis.kind == Kind.BSP_USAGE:
        return basis.tenant if bsp_tax_owed_by == "isp" else basis.party
    return basis.party if basis.kind == Kind.LOAN else basis.tenant


_METERED = frozenset({Kind.ACCESS.value, Kind.LOAN.value, Kind.BSP_USAGE.value})
