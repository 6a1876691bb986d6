"""Months of the ledger: levies on their running totals, and their closing.

A month closes for an ISP and a zone when it is over and everything in it is levied, and
those before it that are still open close with it, levied as well; in the transaction
that closes it nobody else can post, so nothing slips in between. It closes for every
ISP whether it has entries or not: a purchase that comes late would be booked in it
otherwise, behind a BSP's statement that was issued.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

from sqlalchemy import Connection

from config.network import Network
from rating.entry import Book, Kind, Posting, Source
from rating.levies import (
    Basis,
    Cut,
    bases_of,
    basis_of,
    book_of,
    levied,
    owed_by,
    total_of,
)
from rating.months import span_of
from rating.taxes import Taxes, TaxSpan
from services.levied import bsps_of, cut_of
from storage.balances import lock_balances
from storage.database import Database
from storage.entries import close_month, lock_head, post, read_closed
from storage.entry_queries import (
    Balance,
    EntryFilter,
    balances,
    months_of,
    months_upto,
    totals_of_services,
)

_SLICE: Final = 5000
"""Levies posted in one transaction at most."""

_ROUNDS: Final = 10
"""Times that a month is levied again because something was booked meanwhile."""


class Refusal(StrEnum):
    """Why a month was not closed; a stable code."""

    NOT_OVER = "month_not_over"
    CLOSED = "month_closed_already"
    STILL_BOOKED = "month_still_booked"


class Closing(NamedTuple):
    """What became of a month of one tenant and zone; closed without a refusal."""

    tenant: str
    zone: str
    month: str
    refusal: Refusal | None


@dataclass(slots=True)
class _Share:
    """A basis, the book of its levies, how it is cut while each rate of tax holds, the
    books it is in and the one of its levies by id, and the last entry in that which we
    know of (0 when there is none)."""

    basis: Basis
    book: Book
    cuts: list[tuple[TaxSpan, Cut]]
    charged: list[int]
    levies: list[int]
    last_levy: int


def levy_month(
    database: Database,
    network: Network,
    month: str,
    now: int,
    tenant: str | None = None,
) -> int:
    """Post the tax and commissions on a month so far; give how many entries.

    Doing it again posts what came since, which is nothing when nothing came. ``now`` is
    in epoch seconds.
    """
    with database.read.connect() as connection:
        wanted = months_of(connection, month)
    return sum(
        _levy(database, network, whose, zone, month, now)
        for whose, zone, closed in wanted
        if not closed and tenant in (None, whose)
    )


def close_months(
    database: Database,
    network: Network,
    month: str,
    now: int,
    tenant: str | None = None,
) -> list[Closing]:
    """Levy and close a month of every ISP, or of one; say what became of each that has
    entries in it."""
    with database.read.connect() as connection:
        wanted = {(whose, zone) for whose, zone, _ in months_of(connection, month)}
    empty = {(isp.name, zone) for isp in network.isp for zone in zones_of(network)}
    for whose, zone in sorted(empty - wanted):
        if tenant in (None, whose):
            _close(database, network, whose, zone, month, now)
    return [
        Closing(whose, zone, month, _close(database, network, whose, zone, month, now))
        for whose, zone in sorted(wanted)
        if tenant in (None, whose)
    ]


def zones_of(network: Network) -> set[str]:
    """Give the zones in which an ISP's money may be booked."""
    sellers = {bsp.zone for bsp in network.bsp}
    return sellers | {tariff.zone for tariff in network.tariff}


def _close(
    database: Database, network: Network, tenant: str, zone: str, month: str, now: int
) -> Refusal | None:
    if now < span_of(zone, month).ends_at:
        return Refusal.NOT_OVER
    for _ in range(_ROUNDS):
        with database.read.connect() as connection:
            before = read_closed(connection).get((tenant, zone), "")
            if month <= before:
                return Refusal.CLOSED
            seen = months_upto(connection, tenant, zone, before, month)
        levied = [_levy(database, network, tenant, zone, one, now) for one in seen]
        if any(levied):
            continue  # what was booked while it was levied is levied too
        with database.write.begin() as connection:
            lock_balances(connection)  # usage is rated by which months are closed
            lock_head(connection)
            if month <= read_closed(connection).get((tenant, zone), ""):
                return Refusal.CLOSED
            if months_upto(connection, tenant, zone, before, month) == seen:
                close_month(connection, tenant, zone, month, now)
                return None
    return Refusal.STILL_BOOKED


def _levy(
    database: Database, network: Network, tenant: str, zone: str, month: str, now: int
) -> int:
    posted = 0
    with database.read.connect() as connection:
        for share in _shares(connection, network, tenant, zone, month):
            missing = _missing(connection, share)
            while some := list(islice(missing, _SLICE)):
                if not _post(database, share, some, now):
                    return posted
                posted += len(some)
    return posted


def _post(database: Database, share: _Share, postings: list[Posting], now: int) -> bool:
    """Post levies unless another run has posted such; say whether they were."""
    basis, book = share.basis, share.book
    with database.write.begin() as connection:
        head = lock_head(connection)
        closed = read_closed(connection).get((basis.tenant, basis.zone), "")
        own = _levies_in(_month_of(connection, basis.tenant, basis.month), book)
        last = max((b.last_entry_id for b in own), default=0)
        if basis.month <= closed or last != share.last_levy:
            return False
        share.last_levy = post(connection, head, {book: postings}, now).last_entry_id
    return True


def _month_of(connection: Connection, tenant: str, month: str) -> list[Balance]:
    return balances(connection, EntryFilter(tenant=tenant, month=month))


def _levies_in(found: list[Balance], book: Book) -> list[Balance]:
    return [balance for balance in found if balance.book == book]


def _shares(
    connection: Connection, network: Network, tenant: str, zone: str, month: str
) -> Iterator[_Share]:
    taxes = Taxes(network.tax)
    found = [b for b in _month_of(connection, tenant, month) if b.book.zone == zone]
    charged: dict[Basis, list[int]] = {}
    for balance in found:
        for basis in bases_of(balance.book):
            charged.setdefault(basis, []).append(balance.id)
    sellers = {b.party for b in charged if b.kind == Kind.BSP_USAGE}
    bsps = bsps_of(connection, network, sellers)
    for basis, books in charged.items():
        bsp = bsps.get(basis.party)
        party = owed_by(basis, "bsp" if bsp is None else bsp.tax_owed_by)
        others = {b.book.tax_party for b in found if _is_levied_on(b.book, basis)}
        for whom in sorted({party, *others}):
            spans = taxes.spans(basis.tax_class, whom, zone)
            # Whoever owed the tax before, and does no more, is given all of it back.
            cuts = [
                (span, cut_of(bsp, span.rate) if whom == party else Cut(0))
                for span in spans
            ]
            book = book_of(basis, whom)
            own = _levies_in(found, book)
            last = max((b.last_entry_id for b in own), default=0)
            yield _Share(basis, book, cuts, books, [b.id for b in own], last)


def _is_levied_on(book: Book, basis: Basis) -> bool:
    return book.source == Source.PERIOD and basis_of(book) == basis


def _missing(connection: Connection, share: _Share) -> Iterator[Posting]:
    starts_at = span_of(share.basis.zone, share.basis.month).starts_at
    changes = [span.since for span, _ in share.cuts[1:]]
    totals = totals_of_services(connection, share.charged, share.levies, changes)
    for service, place, amounts, before in totals:
        span, cut = share.cuts[place]
        # It is found again by its time, so that has to lie in the span it is on.
        at = min(max(starts_at, span.since), span.until - 1)
        total = total_of(share.basis, amounts)
        more = levied(share.basis, cut, service, total, before, at)
        if more is not None:
            yield more
