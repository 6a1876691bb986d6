"""What a purchase costs and who it is for, from the network as it is now."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from config.network import Network
from config.offers import Service
from config.parties import Bsp
from config.quantities import micro_of, part_of
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


class Catalogue:
    """The subscribers, BSPs, prices and limits of one network, found by their names.

    Make it once for a network, not for each purchase: it looks at every service.
    """

    def __init__(self, network: Network) -> None:
        self.bsps = {row.name: row for row in network.bsp}
        self.meters = {row.name: row for row in network.meter}
        self._products = {row.name: row for row in network.product}
        self._limits = network.spending_limit
        self._taxes = Taxes(network.tax)
        self._bsps_of = {
            offering.name: {component.bsp for component in offering.components}
            for offering in network.offering
        }
        self._services = {row.name: row for row in network.service}
        self._by_user = {
            user.casefold(): row for row in network.service for user in row.user_names
        }

    def service_of(self, user: str) -> Service | None:
        """Find a service by its name or by a user name, whose case does not matter."""
        return self._services.get(user) or self._by_user.get(user.casefold())

    def is_subscribed(self, service: Service, seller: Bsp) -> bool:
        """Say whether a service may buy at a BSP that sells to its subscribers only."""
        return seller.sells_to == "everyone" or seller.name in self._bsps_of.get(
            service.offering, ()
        )

    def offer(
        self,
        bsp: str,
        service: Service | None,
        product: str,
        amount: int | None,
        currency: str,
        at: int,
    ) -> Offer | Denial:
        """Price what a subscriber buys at a BSP at a time, or say why it cannot be.

        ``service`` is the subscriber's, None where nobody has that name
        (``services.buyers``); ``amount`` is the BSP's own price in micro-units, None
        for the catalogue's.
        """
        seller = self.bsps.get(bsp)
        if service is None:
            return Denial.UNKNOWN_USER
        if seller is None or (seller.isps and service.isp not in seller.isps):
            return Denial.NOT_SOLD_TO
        if not self.is_subscribed(service, seller):
            return Denial.NOT_SUBSCRIBED
        if currency not in ("", seller.currency):
            return Denial.WRONG_CURRENCY
        sold = self._products.get(product)
        if product and (sold is None or sold.bsp != bsp):
            return Denial.UNKNOWN_PRODUCT
        price = _price(seller, sold, amount)
        if isinstance(price, Denial):
            return price
        terms = self._terms(seller, sold, service.isp, at)
        valid = seller.authorisation_hours * 3600
        return Offer(service.isp, service.name, price, seller.currency, terms, valid)

    def limits(self, offer: Offer, bsp: str) -> Iterator[Limit]:
        """Give the limits that a purchase must hold."""
        for row in self._limits:
            if (
                row.isp in (None, offer.isp)
                and row.service in (None, offer.service)
                and row.bsp in (None, bsp)
                and row.currency == offer.currency
            ):
                yield Limit(row.bsp, micro_of(row.amount))

    def _terms(self, seller: Bsp, sold: Product | None, isp: str, at: int) -> Terms:
        tax_class = seller.tax_class if sold is None else sold.tax_class
        owes = isp if seller.tax_owed_by == "isp" else seller.name
        commission = sold.isp_commission if sold is not None else None
        fee = sold.network_fee if sold is not None else None
        return Terms(
            seller.zone,
            tax_class,
            owes,
            self._taxes.span(tax_class, owes, seller.zone, at).rate,
            _percent(commission or seller.isp_commission),
            _percent(fee or seller.network_fee),
        )


def _price(seller: Bsp, sold: Product | None, amount: int | None) -> int | Denial:
    if amount is None:
        return Denial.PRICE_REQUIRED if sold is None else micro_of(sold.price)
    if sold is not None and amount == micro_of(sold.price):
        return amount
    most = seller.price_maximum
    low = micro_of(seller.price_minimum)
    high = 0 if most is None else min(micro_of(most), MAX_AMOUNT)
    return amount if max(low, 1) <= amount <= high else Denial.PRICE_OUT_OF_LIMITS


def _percent(text: str | None) -> int:
    return 0 if text is None else part_of(text)
