"""What a purchase costs and who it is for, from the network as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from config.network import Network
from config.offers import Service
from config.parties import Bsp
from config.quantities import micro_of, per_myriad_of
from config.settlement import Product
from rating.entry import MAX_AMOUNT
from rating.purchase import Denial, Terms
from rating.taxes import Taxes


class Limit(NamedTuple):
    """A spending limit in micro-units, at one BSP or (None) at all."""

    bsp: str | None
    amount: int


class Offer(NamedTuple):
    """A price for a subscriber: micro-units, tax included, and how it is split."""

    isp: str
    service: str
    amount: int
    currency: str
    terms: Terms
    valid_seconds: int

    def limits(self, network: Network, bsp: str) -> Iterator[Limit]:
        """Give the limits that this purchase must hold."""
        for row in network.spending_limit:
            if (
                row.isp in (None, self.isp)
                and row.service in (None, self.service)
                and row.bsp in (None, bsp)
                and row.currency == self.currency
            ):
                yield Limit(row.bsp, micro_of(row.amount))


def offer_for(
    network: Network,
    bsp: str,
    user: str,
    product: str,
    amount: int | None,
    currency: str,
    at: int,
) -> Offer | Denial:
    """Price what a subscriber buys at a BSP at a time, or say why it cannot be.

    ``user`` is a user name or a service's name; ``amount`` is the BSP's own price in
    micro-units, None for the catalogue's.
    """
    seller = next((row for row in network.bsp if row.name == bsp), None)
    service = service_of(network, user)
    if service is None:
        return Denial.UNKNOWN_USER
    if seller is None or (seller.isps and service.isp not in seller.isps):
        return Denial.NOT_SOLD_TO
    if currency not in ("", seller.currency):
        return Denial.WRONG_CURRENCY
    sold = None
    if product:
        sold = next((p for p in network.product if p.name == product), None)
        if sold is None or sold.bsp != bsp:
            return Denial.UNKNOWN_PRODUCT
    price = _price(seller, sold, amount)
    if isinstance(price, Denial):
        return price
    terms = _terms(network, seller, sold, service.isp, at)
    valid = seller.authorisation_hours * 3600
    return Offer(service.isp, service.name, price, seller.currency, terms, valid)


def service_of(network: Network, user: str) -> Service | None:
    """Find a service by its name or one of its user names (case does not matter)."""
    name = user.casefold()
    for service in network.service:
        if service.name == user or name in (u.casefold() for u in service.user_names):
            return service
    return None


def _price(seller: Bsp, sold: Product | None, amount: int | None) -> int | Denial:
    if amount is None:
        return Denial.PRICE_REQUIRED if sold is None else micro_of(sold.price)
    if sold is not None and amount == micro_of(sold.price):
        return amount
    most = seller.price_maximum
    low = micro_of(seller.price_minimum)
    high = 0 if most is None else min(micro_of(most), MAX_AMOUNT)
    return amount if max(low, 1) <= amount <= high else Denial.PRICE_OUT_OF_LIMITS


def _terms(
    network: Network, seller: Bsp, sold: Product | None, isp: str, at: int
) -> Terms:
    tax_class = seller.tax_class if sold is None else sold.tax_class
    owes = isp if seller.tax_owed_by == "isp" else seller.name
    commission = sold.isp_commission if sold is not None else None
    fee = sold.network_fee if sold is not None else None
    return Terms(
        seller.zone,
        tax_class,
        owes,
        Taxes(network.tax).rate(tax_class, owes, at),
        _percent(commission or seller.isp_commission),
        _percent(fee or seller.network_fee),
    )


def _percent(text: str | None) -> int:
    return 0 if text is None else per_myriad_of(text)
