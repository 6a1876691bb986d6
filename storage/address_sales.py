"""Sales of addresses as they wait for the ledger, and what became of them.

Everything works in the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, text, update

from storage.lease_tables import SALE_WAITS, address_sale

BOOKED: Final = "rated"
"""TMF635's state of what is in the ledger, or was free."""


class AddressSale(NamedTuple):
    """One address sold: its number, when (epoch seconds), to whom, for how many
    micro-units before tax."""

    id: int
    at: int
    isp: str
    service: str
    price_micro: int


def waiting_sales(connection: Connection, behind: int, limit: int) -> list[AddressSale]:
    """The next sales behind a number that are not booked."""
    columns = [address_sale.c[name] for name in AddressSale._fields]
    query = select(*columns).where(text(SALE_WAITS), address_sale.c.id > behind)
    rows = connection.execute(query.order_by(address_sale.c.id).limit(limit))
    return [AddressSale._make(row) for row in rows]


def count_waiting_sales(connection: Connection) -> int:
    """How many sales are not booked."""
    query = select(func.count()).select_from(address_sale).where(text(SALE_WAITS))
    found: int = connection.execute(query).scalar_one()
    return found


def mark(connection: Connection, states: Sequence[tuple[int, str, str | None]]) -> None:
    """Write the state of sales by their numbers, and why where there is a reason."""
    statement = (
        update(address_sale)
        .where(address_sale.c.id == bindparam("which"))
        .values(state=bindparam("is_now"), reason=bindparam("why"))
    )
    rows = [{"which": n, "is_now": state, "why": why} for n, state, why in states]
    connection.execute(statement, rows)
