"""Addresses beyond a plan, as the address server sold them, into entries.

The caller has written the sales with their numbers, in order; what was booked already
is known from the ledger itself, so that doing it again books nothing twice. A price is
before tax, which the ISP owes: it sells to its own subscriber.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from rating.entry import Book, Kind, Posting, Source
from rating.months import booked_in, span_at
from rating.taxes import Taxes, tax_on
from storage.entries import lock_head, post, read_closed
from storage.settlement_tables import block, book

TAX_CLASS = "standard"


class AddressSale(NamedTuple):
    """One address sold: its number in ``address_sale``, when, to whom, for how many
    micro-units; one that was free has no entry."""

    id: int
    at: int
    isp: str
    service: str
    price_micro: int


def last_booked(connection: Connection) -> int:
    """Give the number of the last sale that was booked; 0 before the first."""
    query = (
        select(func.max(block.c.last_source_id))
        .select_from(block.join(book, book.c.id == block.c.book_id))
        .where(book.c.source == Source.ADDRESS_SALE)
    )
    return connection.execute(query).scalar() or 0


def book_sales(
    connection: Connection,
    taxes: Taxes,
    sales: Iterable[AddressSale],
    *,
    currency: str,
    zone: str,
    now: int,
) -> int:
    """Book the sales behind the last one that is, in the caller's transaction.

    Gives how many entries it made. ``zone`` is of the months they are booked in.
    """
    head = lock_head(connection)
    closed = read_closed(connection)
    behind = last_booked(connection)
    postings: dict[Book, list[Posting]] = {}
    for sale in sales:
        if sale.id <= behind or not sale.price_micro:
            continue
        own = span_at(zone, sale.at).month
        month = booked_in(closed, sale.isp, zone, own)
        sold = Book(
            tenant=sale.isp,
            zone=zone,
            month=month,
            kind=Kind.ADDRESS_SALE.value,
            source=Source.ADDRESS_SALE.value,
            party="",
            tax_party=sale.isp,
            tax_class=TAX_CLASS,
            currency=currency,
            tariff="",
            wholesale_tariff="",
            wholesale_tax_class="",
        )
        price = sale.price_micro
        tax = tax_on(price, taxes.rate(TAX_CLASS, sale.isp, sale.at))
        late_from = None if month == own else own
        postings.setdefault(sold, []).append(
            Posting(
                sale.service,
                -price - tax,
                price,
                0,
                0,
                tax,
                sale.at,
                late_from,
                sale.id,
                None,
                None,
            )
        )
    post(connection, head, postings, now)
    return sum(map(len, postings.values()))
