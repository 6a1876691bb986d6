"""The fixed charge of a period that an entry of the ledger is of, as it stands now."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from rating.entry import Entry, Source
from rating.posting import detail_of
from storage.periodic_charges import PeriodicCharge, charge_behind


def fee_behind(connection: Connection, entry: Entry) -> PeriodicCharge | None:
    """Look it up; None for an entry that is of no fee, and for a top-up."""
    book, posting = entry.book, entry.posting
    detail = detail_of(posting.detail)
    lines = detail.lines or detail.wholesale
    if book.source != Source.FEE or not lines:
        return None
    [line] = lines
    if line.started_at == line.ended_at:
        return None  # a top-up, which may be called like a fee
    tariff = (book.tariff or book.wholesale_tariff).rpartition("@")[0]
    key = book.tenant, posting.service or "", tariff, line.period, line.element
    day = datetime.fromtimestamp(posting.at, ZoneInfo(book.zone)).date().isoformat()
    return charge_behind(connection, key, day)
