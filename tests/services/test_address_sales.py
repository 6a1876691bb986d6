"""Addresses that were sold become entries, each once."""

from __future__ import annotations

from settlement_network import NOVEMBER, network

from rating.taxes import Taxes
from services.address_sales import AddressSale, book_sales
from storage.database import Database
from storage.entry_queries import EntryFilter, list_entries


def test_a_sold_address_is_booked_once_with_its_tax(database: Database) -> None:
    """1.00 and 25 % tax; one that was free makes no entry, nor does the same again."""
    sales = [
        AddressSale(1, NOVEMBER, "aurora", "aurora-101", 1_000_000),
        AddressSale(2, NOVEMBER, "aurora", "aurora-101", 0),
    ]
    counts = []
    for _ in range(2):
        with database.write.begin() as connection:
            counts.append(
                book_sales(
                    connection,
                    Taxes(network().tax),
                    sales,
                    currency="EUR",
                    zone="UTC",
                    now=NOVEMBER,
                )
            )
    with database.read.connect() as connection:
        legs = [e.posting[1:6] for e, _ in list_entries(connection, EntryFilter())]
    assert [1, 0] == counts
    assert [(-1_250_000, 1_000_000, 0, 0, 250_000)] == legs
