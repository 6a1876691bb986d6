"""An entry taken back by a person, with the reason: the correction of what nothing else
corrects.

It is a reversal in the first open month; tax and commissions on it follow with the next
levy, and a new entry, if there is to be one, comes the way that such entries come. What
has a way of its own to be corrected is refused, because two ways would undo each other:
network usage is rated again, a purchase is refunded, a levy follows what it is on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from sqlalchemy import Connection

from rating.entry import Entry, Source, reversal
from rating.months import booked_in
from rating.posting import detail_of, with_reason
from services.fee_behind import fee_behind
from storage.database import Database
from storage.entries import lock_head, post, read_closed
from storage.entry_queries import find_entry, reversed_by
from storage.periodic_charges import PeriodicCharge, end_charges

MAX_REASON: Final = 500
"""Letters; it is in the ledger for ever."""


class Refusal(StrEnum):
    """Why an entry is not taken back; a stable code."""

    UNKNOWN = "entry_unknown"
    REVERSED = "entry_reversed_already"
    REVERSAL = "entry_is_a_reversal"
    RATED = "usage_is_rated_again"
    REFUNDED = "purchase_is_refunded"
    LEVIED = "levy_follows_its_basis"
    GIVEN_BACK = "fee_given_back_in_part"


class Correction(NamedTuple):
    """A reversal, as it is or (in a dry run) would be in the ledger."""

    undone: Entry
    undo: Entry


_OWN_WAYS: Final = {
    Source.USAGE: Refusal.RATED,
    Source.PURCHASE: Refusal.REFUNDED,
    Source.PERIOD: Refusal.LEVIED,
}


def take_back(
    database: Database, entry_id: int, reason: str, now: int, *, dry_run: bool = False
) -> Correction | Refusal:
    """Reverse an entry; ``now`` is in epoch seconds. A dry run writes nothing."""
    with database.write.begin() as connection:
        head = lock_head(connection)
        found = find_entry(connection, entry_id)
        if found is None:
            return Refusal.UNKNOWN
        entry, _ = found
        if entry.posting.reverses is not None:
            return Refusal.REVERSAL
        if reversed_by(connection, entry_id) is not None:
            return Refusal.REVERSED
        refusal = _OWN_WAYS.get(Source(entry.book.source))
        if refusal is not None:
            return refusal
        fee = _without(connection, entry)
        if fee is not None and fee.stands < 0:
            return Refusal.GIVEN_BACK
        book = entry.book
        closed = read_closed(connection)
        month = booked_in(closed, book.tenant, book.zone, book.month)
        book, posting = reversal(entry, month)
        posting = posting._replace(detail=with_reason(posting.detail, reason))
        undo = Entry(head.entry_id + 1, book, posting)
        if not dry_run:
            post(connection, head, {book: [posting]}, now)
            if fee is not None:
                end_charges(connection, [fee])
    return Correction(entry, undo)


def _without(connection: Connection, entry: Entry) -> PeriodicCharge | None:
    """Give the fixed charge that an entry is of, as it is without the entry: so that
    what is taken back is not given back once more when the service ends."""
    row = fee_behind(connection, entry)
    if row is None:
        return None
    detail = detail_of(entry.posting.detail)
    [line] = detail.lines or detail.wholesale
    return row._replace(taken_back=row.taken_back + line.amount)
