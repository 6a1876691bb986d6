"""Addresses lent to an ISP, as rating asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, or_, select

from rating.wholesale import Loan
from storage.overallocation_tables import address_loan

_ROLLED_BACK = "rolled_back"


class LentBy(NamedTuple):
    """Whose addresses they were, "network" for the reserve, at which price an address
    and hour (a decimal, "" for none)."""

    lender: str
    price: str


def loans_to(
    connection: Connection, borrower: str, start: int, end: int
) -> dict[LentBy, list[Loan]]:
    """Give the loans of a span (epoch seconds) to an ISP, by whose and how dear; one
    that has not ended lasts until the span does."""
    found: dict[LentBy, list[Loan]] = {}
    for row in rows_of_loans_to(connection, borrower, start, end):
        found.setdefault(LentBy(row.tenant, row.price), []).append(loan_of(row, end))
    return found


def loan_of(row: Row[Any], end: int) -> Loan:
    """Give a row as rating asks for it, in a span that ends at an epoch second."""
    return Loan(row.last - row.first + 1, row.made_at, row.ended_at or end)


def rows_of_loans_to(
    connection: Connection, borrower: str, start: int, end: int
) -> Iterator[Row[Any]]:
    """Give the rows of the loans of a span to an ISP, in order of their numbers."""
    columns = address_loan.c
    query = select(address_loan).where(
        columns.borrower_tenant == borrower,
        columns.tenant != borrower,
        columns.made_at < end,
        or_(columns.ended_at == 0, columns.ended_at > start),
        columns.outcome != _ROLLED_BACK,
    )
    yield from connection.execute(query.order_by(columns.number))


def has_lent(connection: Connection, lender: str) -> bool:
    """Say whether an ISP has ever lent addresses to another at a price."""
    columns = address_loan.c
    query = select(columns.number).where(
        columns.tenant == lender, columns.borrower_tenant != lender, columns.price != ""
    )
    return connection.execute(query.limit(1)).first() is not None
