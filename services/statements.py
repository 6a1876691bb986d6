"""Statements: written from the entries of a closed month, the same whenever asked.

Lines are not stored. Entries never change, a closed month takes no more of them, and an
issued statement remembers the last entry of the ledger and the digest of its lines: so
it can be written again, and must come out to the octet.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row

from config.network import Network, network_of
from rating.entry import NETWORK, Kind
from rating.months import span_of
from rating.statement import (
    NEXT,
    Line,
    Role,
    State,
    Step,
    SummaryLine,
    is_told,
    lines_in,
    own_account,
    summary_line,
)
from rating.statement_csv import LAYOUT, csv_lines, header
from services.periods import zones_of
from services.statement_records import lookup_of, reference_of
from storage import statements as repository
from storage.database import Database
from storage.entries import lock_head, read_closed
from storage.entry_queries import (
    Balance,
    EntryFilter,
    balances,
    entries_of_book,
)
from storage.loans import has_lent
from storage.network import last_bodies, read_network

_SLICE: Final = 2000
_NO_END: Final = 2**62


class Recipient(NamedTuple):
    """Whose statement, of which month ("2026-11")."""

    role: Role
    name: str
    month: str


class Refusal(StrEnum):
    """Why a statement is not as asked; a stable code."""

    NOT_BEGUN = "month_not_begun"
    NOT_CLOSED = "month_not_closed"
    NOT_OPENED = "statement_not_opened"
    NOT_IN_THIS_STATE = "not_in_this_state"


def recipient_of(network: Network, name: str, month: str) -> Recipient | None:
    """Find who is called so: an ISP, a BSP or the Network Provider; None is nobody."""
    if name == NETWORK:
        return Recipient(Role.NETWORK, name, month)
    if any(isp.name == name for isp in network.isp):
        return Recipient(Role.ISP, name, month)
    if any(bsp.name == name for bsp in network.bsp):
        return Recipient(Role.BSP, name, month)
    return None


def former_recipient(connection: Connection, name: str, month: str) -> Recipient | None:
    """Find who was called so, and left: its last months are still to be settled."""
    for role in (Role.ISP, Role.BSP):
        if last_bodies(connection, role.value, [name]):
            return Recipient(role, name, month)
    return None


def open_statement(database: Database, whose: Recipient, now: int) -> State | Refusal:
    """Open a statement unless there is one; give its state. A month that has not begun
    in any zone has none: what it would tell is not even being booked."""
    with database.write.begin() as connection:
        zones = zones_of(network_of(read_network(connection))) or {"UTC"}
        if now < min(span_of(zone, whose.month).starts_at for zone in zones):
            return Refusal.NOT_BEGUN
        lock_head(connection)
        found = _find(connection, whose)
        if found is not None:
            return State(found.state)
        repository.add_statement(
            connection, whose.name, whose.role, whose.month, State.OPENED, now
        )
    return State.OPENED


def take_step(
    database: Database, whose: Recipient, step: Step, note: str | None, now: int
) -> State | Refusal:
    """Dispute, resolve or settle a statement, or issue one of a closed month."""
    with database.read.connect() as connection:
        found = _find(connection, whose)
        if found is None:
            return Refusal.NOT_OPENED
        before = State(found.state)
        after = NEXT[before, step]
        if after is None:
            return Refusal.NOT_IN_THIS_STATE
        values: dict[str, int | str | None] = {"state": after, "updated_at": now}
        if note is not None:
            values["note"] = note
        if step is Step.ISSUE:
            books = _books(connection, whose, None)
            if _still_open(connection, whose, books):
                return Refusal.NOT_CLOSED
            digest, lines, last = hashlib.sha256(), 0, 0
            for balance in books:
                last = max(last, balance.last_entry_id)
                lines += balance.entries
            for text in csv_of(connection, whose, last):
                digest.update(text.encode())
            values |= {"entry_id": last, "lines": lines, "digest": digest.hexdigest()}
            values["layout"] = LAYOUT
    with database.write.begin() as connection:
        if repository.change_statement(connection, found.id, before, **values):
            return after
    return Refusal.NOT_IN_THIS_STATE


def summary_of(
    connection: Connection, whose: Recipient, until_entry: int | None = None
) -> list[SummaryLine]:
    """Give the sums of a statement, from the sums of blocks: no line is read."""
    return [
        summary_line(
            b.book, b.entries, b.amounts, own_account(whose.role, whose.name, b.book)
        )
        for b in _books(connection, whose, until_entry)
    ]


def lines_of(
    connection: Connection, whose: Recipient, until_entry: int | None = None
) -> Iterator[Line]:
    """Give the lines of a statement, book by book in the order of the summary."""
    last = _NO_END if until_entry is None else until_entry
    for balance in _books(connection, whose, until_entry):
        book = balance.book
        line_of = lines_in(book, own_account(whose.role, whose.name, book))
        entries = entries_of_book(connection, balance, last)
        lookup = lookup_of(whose.role, book.source)
        if lookup is None:
            for entry, posted_at in entries:
                yield line_of(entry, posted_at, reference_of(entry), None)
            continue
        while some := list(islice(entries, lookup.at_once)):
            known = lookup.known(connection, [entry for entry, _ in some])
            for (entry, posted_at), its in zip(some, known, strict=True):
                yield line_of(entry, posted_at, *its)


def csv_of(
    connection: Connection,
    whose: Recipient,
    until_entry: int | None = None,
    layout: int = LAYOUT,
) -> Iterator[str]:
    """Give the statement as CSV (RFC 4180 section 2), in pieces of whole lines."""
    yield header(layout)
    lines = lines_of(connection, whose, until_entry)
    while some := list(islice(lines, _SLICE)):
        yield csv_lines(some, layout)


class Issued(NamedTuple):
    """The last entry of a statement that was issued (None of one that was not), and how
    its CSV is laid out."""

    last_entry: int | None
    layout: int


def as_issued(connection: Connection, whose: Recipient) -> Issued:
    """Give what a statement is shown by: as it was issued, or as it is."""
    found = _find(connection, whose)
    if found is None or found.entry_id is None:
        return Issued(None, LAYOUT)
    return Issued(found.entry_id, found.layout)


class Position(NamedTuple):
    """What a party has of a month in one currency: positive is owed to it."""

    currency: str
    account: str
    owner: str
    amount: int


def settlement_of(connection: Connection, month: str) -> list[Position]:
    """Give everybody's position in a month; those of a currency sum to zero."""
    sums: dict[tuple[str, str, str], int] = {}
    for balance in balances(connection, EntryFilter(month=month)):
        book = balance.book
        owners = (book.tenant, book.tenant, book.party, NETWORK, book.tax_party)
        lends = book.kind == Kind.LOAN
        names = ("subscribers", "isp", "isp" if lends else "bsp", "network", "tax")
        for name, owner, amount in zip(names, owners, balance.amounts, strict=True):
            key = book.currency, name, owner
            sums[key] = sums.get(key, 0) + amount
    return [Position(*key, amount) for key, amount in sorted(sums.items()) if amount]


def state_of(connection: Connection, whose: Recipient) -> State | None:
    """Give the state of a statement; None when there is none."""
    found = _find(connection, whose)
    return None if found is None else State(found.state)


def still_open(connection: Connection, whose: Recipient) -> list[tuple[str, str]]:
    """Give the ISPs and zones whose open month keeps a statement from being issued."""
    return _still_open(connection, whose, _books(connection, whose, None))


def _find(connection: Connection, whose: Recipient) -> Row[Any] | None:
    return repository.find_statement(connection, whose.name, whose.role, whose.month)


def _books(
    connection: Connection, whose: Recipient, until_entry: int | None
) -> list[Balance]:
    role, name, month = whose
    wanted = [EntryFilter(month=month)]
    if role is Role.BSP:
        wanted = [EntryFilter(month=month, party=name)]
    elif role is Role.ISP:
        wanted = [
            EntryFilter(month=month, tenant=name),
            EntryFilter(month=month, party=name),
        ]
    found = {
        balance.id: balance
        for some in wanted
        for balance in balances(connection, some, until_entry)
        if is_told(role, balance.book)
    }
    return sorted(found.values(), key=lambda balance: balance.book)


def _still_open(
    connection: Connection, whose: Recipient, books: list[Balance]
) -> list[tuple[str, str]]:
    """Give where something can be booked yet that the statement would tell: in its
    books, or by an ISP that has none there yet."""
    closed = read_closed(connection)
    concerned = {(b.book.tenant, b.book.zone) for b in books}
    concerned |= _who_may_book(connection, whose)
    return sorted(one for one in concerned if closed.get(one, "") < whose.month)


def _who_may_book(connection: Connection, whose: Recipient) -> set[tuple[str, str]]:
    network = network_of(read_network(connection))
    isps, zones = {isp.name for isp in network.isp}, zones_of(network)
    if whose.role is Role.ISP:
        # What a borrower owes for the hours of a loan is booked when they are over.
        if not _lends(connection, network, whose.name):
            isps &= {whose.name}
    elif whose.role is Role.BSP:
        seller = next((bsp for bsp in network.bsp if bsp.name == whose.name), None)
        isps &= set(seller.isps if seller is not None and seller.isps else isps)
        metered = {meter.tariff for meter in network.meter if meter.bsp == whose.name}
        zones = {tariff.zone for tariff in network.tariff if tariff.name in metered}
        zones |= {seller.zone} if seller is not None else set()
    return {(isp, zone) for isp in isps for zone in zones}


def _lends(connection: Connection, network: Network, name: str) -> bool:
    """Whether other ISPs owe an ISP for addresses, or may come to."""
    priced = any(isp.name == name and isp.lend_price for isp in network.isp)
    lends = any(pool.isp == name and pool.lending for pool in network.pool)
    return (priced and lends) or has_lent(connection, name)
