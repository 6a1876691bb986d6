"""Addresses that were sold become entries, each once."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import msgspec
from rated_site import NETWORK, NOON
from sqlalchemy import select, update

from config.network import Network, bodies
from rating.statement import Role
from services.address_sales import book_sales
from services.periods import close_months
from services.statements import Recipient, lines_of
from storage.address_sales import count_waiting_sales
from storage.database import Database
from storage.entry_queries import EntryFilter, list_entries
from storage.lease_tables import SALE_COLUMNS, address_sale
from storage.leases import add_sales


def sell(database: Database, *sales: tuple[str, int]) -> None:
    """Write sales to services, at prices, as the address server's journal says."""
    rows = []
    for service, price in sales:
        row: dict[str, Any] = dict.fromkeys(SALE_COLUMNS, 0)
        row |= {"at": NOON, "kind": "sale", "month": "2026-11", "line": "harbour-101"}
        row |= {"service": service, "isp": "aurora", "tenant": "aurora"}
        row |= {"price_micro": price}
        rows.append(tuple(row.values()))
    with database.write.begin() as connection:
        add_sales(connection, rows)


def book(database: Database, network: Network, limit: int = 10) -> None:
    """Book all that waits."""
    behind: int | None = 0
    while behind is not None:
        with database.write.begin() as connection:
            behind = book_sales(
                connection,
                network,
                bodies(network),
                behind=behind,
                limit=limit,
                now=NOON,
            )


def booked(database: Database) -> list[tuple[Any, ...]]:
    """Give month, currency and legs of each entry."""
    with database.read.connect() as connection:
        return [
            (e.book.month, e.book.currency, *e.posting[1:6])
            for e, _ in list_entries(connection, EntryFilter())
        ]


def test_a_sold_address_is_booked_once_with_its_tax(database: Database) -> None:
    """1.00 and the tax of its day, in the tariff's currency and month; one that was
    free makes no entry; doing it again, in slices of one, books nothing twice."""
    sell(database, ("aurora-101", 1_000_000), ("aurora-101", 0))
    for _ in range(2):
        book(database, NETWORK, limit=1)
    assert [("2026-11", "EUR", -1_250_000, 1_000_000, 0, 0, 250_000)] == booked(
        database
    )
    with database.read.connect() as connection:
        states = list(connection.scalars(select(address_sale.c.state)))
        assert (["rated"] * 2, 0) == (states, count_waiting_sales(connection))


def test_a_sale_that_nobody_has_a_price_list_for_waits_with_its_reason(
    database: Database,
) -> None:
    """Money is never guessed: it is booked when its offering has a tariff, and does not
    keep the others."""
    without = msgspec.structs.replace(
        NETWORK,
        offering=tuple(
            msgspec.structs.replace(row, tariff=None) if row.name == "home-500" else row
            for row in NETWORK.offering
        ),
    )
    sell(database, ("aurora-101", 1_000_000))
    book(database, without)
    with database.read.connect() as connection:
        query = select(address_sale.c.state, address_sale.c.reason)
        assert [("guided", "no_tariff")] == [
            tuple(r) for r in connection.execute(query)
        ]
    assert [] == booked(database)
    book(database, NETWORK)
    assert 1 == len(booked(database))


def test_a_sale_of_a_closed_month_goes_into_the_next(database: Database) -> None:
    """It is marked with the month that it is of."""
    sell(database, ("aurora-101", 1_000_000))
    book(database, NETWORK)
    close_months(database, NETWORK, "2026-11", NOON + 30 * 86_400)
    sell(database, ("aurora-101", 2_000_000))
    book(database, NETWORK)
    with database.read.connect() as connection:
        last, _ = list(list_entries(connection, EntryFilter()))[-1]
    assert ("2026-12", "2026-11") == (last.book.month, last.posting.late_from)


def test_an_isp_s_statement_names_the_address_that_was_sold(
    database: Database,
) -> None:
    """It is what the ISP has it by; our number of the sale is nobody's but ours."""
    sell(database, ("aurora-101", 1_000_000))
    with database.write.begin() as connection:
        address = int(IPv4Address("100.64.0.9"))
        connection.execute(update(address_sale).values(address=address))
    book(database, NETWORK)
    with database.read.connect() as connection:
        [line] = lines_of(connection, Recipient(Role.ISP, "aurora", "2026-11"))
    assert ('["100.64.0.9"]', 1_000_000) == (line.records, line.amount)
