"""Addresses beyond a plan, as the address server sold them, into entries.

The ledger writes the sales from the address server's journal, under the cap that held
when they were sold; here each is booked once, in the transaction that says so. The
price is before tax, in the currency of the tariff of the service's offering; the tax
is owed by the ISP, which sells to its own subscriber. What has no such tariff waits,
with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection

from config.network import Network
from config.tariffs import Tariff
from rating.entry import Book, Kind, Posting, Source
from rating.months import Closed, booked_in, span_at
from rating.taxes import Taxes, tax_on
from services.former_services import former_services
from storage.address_sales import BOOKED, AddressSale, mark, waiting_sales
from storage.entries import lock_head, post, read_closed

NO_TARIFF: Final = "no_tariff"


def book_sales(
    connection: Connection,
    network: Network,
    objects: Mapping[tuple[str, str], Mapping[str, Any]],
    *,
    behind: int,
    limit: int,
    now: int,
) -> int | None:
    """Book the next sales that wait behind a number, in the caller's transaction.

    Gives the number to go on behind, or None when there are no more. ``objects`` are
    the network's by kind and name; ``now`` is in epoch seconds.
    """
    head = lock_head(connection)
    sales = waiting_sales(connection, behind, limit)
    if not sales:
        return None
    closed = read_closed(connection)
    tariffs = _tariffs(connection, network, objects, {sale.service for sale in sales})
    taxes = Taxes(network.tax)
    postings: dict[Book, list[Posting]] = {}
    states: list[tuple[int, str, str | None]] = []
    for sale in sales:
        tariff = tariffs.get(sale.service)
        if sale.price_micro and tariff is None:
            states.append((sale.id, "guided", NO_TARIFF))
            continue
        states.append((sale.id, BOOKED, None))
        if sale.price_micro:
            assert tariff is not None
            book, posting = _posting(sale, tariff, taxes, closed)
            postings.setdefault(book, []).append(posting)
    mark(connection, states)
    post(connection, head, postings, now)
    return sales[-1].id if len(sales) == limit else None


def _tariffs(
    connection: Connection,
    network: Network,
    objects: Mapping[tuple[str, str], Mapping[str, Any]],
    services: set[str],
) -> dict[str, Tariff]:
    """Give the tariff of each service's offering, of those that ended too."""
    of_offering = {offering.name: offering.tariff for offering in network.offering}
    tariffs = {tariff.name: tariff for tariff in network.tariff}
    ended = former_services(connection, objects, sorted(services))
    found = {}
    for name in services:
        body = objects.get(("service", name)) or ended.get(name, {})
        tariff = tariffs.get(of_offering.get(body.get("offering", "")) or "")
        if tariff is not None:
            found[name] = tariff
    return found


def _posting(
    sale: AddressSale, tariff: Tariff, taxes: Taxes, closed: Closed
) -> tuple[Book, Posting]:
    own = span_at(tariff.zone, sale.at).month
    month = booked_in(closed, sale.isp, tariff.zone, own)
    sold = Book(
        tenant=sale.isp,
        zone=tariff.zone,
        month=month,
        kind=Kind.ADDRESS_SALE.value,
        source=Source.ADDRESS_SALE.value,
        party="",
        tax_party=sale.isp,
        tax_class=tariff.tax_class,
        currency=tariff.currency,
        tariff="",
        wholesale_tariff="",
        wholesale_tax_class="",
    )
    price = sale.price_micro
    held = taxes.span(tariff.tax_class, sale.isp, tariff.zone, sale.at)
    tax = tax_on(price, held.rate)
    late_from = None if month == own else own
    legs = (-price - tax, price, 0, 0, tax)
    return sold, Posting(sale.service, *legs, sale.at, late_from, sale.id, None, None)
