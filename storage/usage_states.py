"""How far the rating of usage has come, in TMF635's words.

What was not rated is kept with its state (``received``, ``guided``, ``rejected``,
``recycled``) and the reason; what was is found in the ledger: ``rated``, ``rerated``
when an entry of it was reversed, and ``billed`` when the month that it is booked in is
closed. Usage that moves no money has no entry, and is ``rated``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sqlalchemy import Connection, select, update

from rating.entry import Kind, Source
from storage.balances import REJECTED
from storage.entries import read_closed
from storage.rating_tables import unrated_usage
from storage.settlement_tables import block, book, entry

RECYCLED: Final = "recycled"
WAITING: Final = ("received", "guided", REJECTED, RECYCLED)
STATES: Final = (*WAITING, "rated", "rerated", "billed")


class Status(NamedTuple):
    """A state, and why it is not rated."""

    state: str
    reason: str | None


RATED: Final = Status("rated", None)


def states_of(connection: Connection, first: int, last: int) -> dict[int, Status]:
    """Give the states of usage from one id to another; others are ``RATED``."""
    found: dict[int, Status] = {}
    closed = read_closed(connection)
    runs = block.join(
        entry, entry.c.id.between(block.c.first_entry_id, block.c.last_entry_id)
    ).join(book, book.c.id == block.c.book_id)
    query = (
        select(
            entry.c.source_id,
            entry.c.reverses,
            book.c.tenant,
            book.c.zone,
            book.c.month,
        )
        .select_from(runs)
        .where(
            book.c.source == Source.USAGE,
            book.c.kind == Kind.ACCESS,
            block.c.first_source_id <= last,
            block.c.last_source_id >= first,
            entry.c.source_id.between(first, last),
        )
        .order_by(entry.c.id)
    )
    reversed_ones = set()
    for number, reverses, tenant, zone, month in connection.execute(query):
        if reverses is not None:
            reversed_ones.add(number)
        is_billed = month <= closed.get((tenant, zone), "")
        again = "rerated" if number in reversed_ones else "rated"
        found[number] = Status("billed" if is_billed else again, None)
    ids = unrated_usage.c.usage_id
    waits = select(ids, unrated_usage.c.state, unrated_usage.c.reason)
    for number, state, reason in connection.execute(
        waits.where(ids.between(first, last))
    ):
        found[number] = Status(state, reason)
    return found


def recycle_rejected(connection: Connection, tenant: str | None = None) -> int:
    """Have what was rejected tried again, of one tenant or of all; give how many."""
    columns = unrated_usage.c
    again = update(unrated_usage).where(columns.state == REJECTED)
    if tenant is not None:
        again = again.where(columns.tenant == tenant)
    return connection.execute(again.values(state=RECYCLED)).rowcount
