"""One entry explained: from its legs by way of rates and charges to the packets.

Each step is looked up where it is kept: the charges in the entry, the rate in the
network, the usage record and its session in the database, the packets in the journals.
What is gone (usage that was rolled up, packets beyond the journal's retention, a tariff
that was deleted) is said to be gone; nothing is made up in its place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Row, select

from config.network import Network
from config.tariffs import Tariff
from rating.entry import Account, Entry, Kind, Source
from rating.posting import Line, detail_of
from rating.taxes import Taxes
from services.fee_behind import fee_behind
from services.levied import Basis, Levied, basis_behind, levied_now
from services.packets_behind import Journals, Packet, packets_behind
from services.shape_explained import Shape, is_of_shape, shape_behind
from services.statement_records import entries_of_events
from storage.bsp_usage import find_records
from storage.entry_queries import find_entry, reversed_by
from storage.lease_tables import address_sale
from storage.periodic_charges import PeriodicCharge
from storage.settlement_tables import purchase, purchase_event
from storage.tables import session, usage

_SHAPING = (("allowance", "rates"), ("cap", "rates"), ("discount", "elements"))


class Leg(NamedTuple):
    """What an entry does to one account; a negative amount is owed by its owner."""

    account: str
    owner: str
    amount: int


class Priced(NamedTuple):
    """One charge, the tariff and version it is by, and its rate as the network has it
    (None when the network has that version no more), with what else of the version
    shapes its price: allowances, caps and discounts."""

    tariff: str
    line: Line
    rate: dict[str, Any] | None
    shaped_by: list[dict[str, Any]]


class Explanation(NamedTuple):
    """An entry and everything behind it; ``gone`` says in words what is not there.

    ``made_by`` is the id of the event that made an entry of a purchase; ``fee`` what of
    a fee is charged for its period in all, now.
    """

    entry: Entry
    posted_at: int
    reversed_by: int | None
    legs: list[Leg]
    charges: list[Priced]
    usage: dict[str, Any] | None
    session: dict[str, Any] | None
    purchase: dict[str, Any] | None
    made_by: str | None
    fee: PeriodicCharge | None
    sale: dict[str, Any] | None
    events: list[dict[str, Any]]
    basis: Basis | None
    levied: Levied | None
    shape: Shape | None
    packets: list[Packet]
    gone: list[str]


def explain(
    connection: Connection,
    network: Network,
    journals: Journals,
    entry_id: int,
    *,
    whole: bool = False,
) -> Explanation | None:
    """Explain an entry, None when there is none.

    Of the samples, sessions and loans behind what an ISP pays for the shape of its use
    those that decided are given, or all with ``whole``.

    Raises JournalError when a journal cannot be read.
    """
    found = find_entry(connection, entry_id)
    if found is None:
        return None
    entry, posted_at = found
    gone: list[str] = []
    charges = list(_priced(network, entry, gone))
    used = its_session = bought = sale = shape = made_by = None
    events: list[dict[str, Any]] = []
    packets: list[Packet] = []
    number = entry.posting.source_id
    if entry.book.source == Source.USAGE and number is not None:
        used, its_session = _usage(connection, number)
        if used is None:
            gone.append(f"usage record {number} was rolled up with others of its day")
        elif its_session is not None:
            packets = packets_behind(journals, used, its_session, gone)
    elif entry.book.source == Source.PURCHASE and number is not None:
        bought, events = _purchase(connection, number)
        made_by = entries_of_events(
            (e["event_id"], e["action"], e["answer"], (bought or {}).get("entry_id"))
            for e in events
        ).get(entry_id)
    elif entry.book.source == Source.ADDRESS_SALE and number is not None:
        query = select(address_sale).where(address_sale.c.id == number)
        sale = _plain(connection.execute(query).one_or_none())
    elif entry.book.source == Source.BSP_USAGE and number is not None:
        events = [dict(row._mapping) for row in find_records(connection, number)]
    for priced in charges:
        if is_of_shape(entry, priced.line):
            shape = shape_behind(
                connection, network, journals, entry, priced.line, gone, whole=whole
            )
    basis = levied = None
    if entry.book.source == Source.PERIOD:
        basis = basis_behind(connection, Taxes(network.tax), entry)
        levied = levied_now(connection, network, entry, basis)
    return Explanation(
        entry,
        posted_at,
        reversed_by(connection, entry_id),
        list(legs_of(entry)),
        charges,
        used,
        its_session,
        bought,
        made_by,
        None if shape is not None else fee_behind(connection, entry),
        sale,
        events,
        basis,
        levied,
        shape,
        packets,
        gone,
    )


def legs_of(entry: Entry) -> Iterator[Leg]:
    """Give the legs that move something, each with whose account it is."""
    book, posting = entry.book, entry.posting
    owners = {
        Account.SUBSCRIBER: posting.service or "",
        Account.ISP: book.tenant,
        Account.PARTY: book.party,
        Account.NETWORK: "network",
        Account.TAX: book.tax_party,
    }
    for (account, owner), amount in zip(owners.items(), posting[1:6], strict=True):
        if amount:
            yield Leg(account.value, owner, amount)


def _priced(network: Network, entry: Entry, gone: list[str]) -> Iterator[Priced]:
    detail = detail_of(entry.posting.detail)
    tariffs = {tariff.name: tariff for tariff in network.tariff}
    book = entry.book
    for named, lines in (
        (book.tariff, detail.lines),
        (book.wholesale_tariff, detail.wholesale),
    ):
        for line in lines:
            name, _, version = named.partition("@")
            rate, shaped_by = _rate(tariffs.get(name), version, line.element)
            if rate is None and book.kind != Kind.LOAN:  # whose price is in its name
                gone.append(f"the network has no {line.element} in {named} any more")
            yield Priced(named, line, rate, shaped_by)


def _rate(
    tariff: Tariff | None, version: str, element: str
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    if tariff is None:
        return None, []
    for its_version in tariff.version:
        if its_version.valid_from == version:
            body = msgspec.to_builtins(its_version)
            shaped_by = [
                {"is": kind, **row}
                for kind, over in _SHAPING
                for row in body.get(kind, ())
                if element in row[over]
            ]
            for kind in ("rate", "fee", "topup", "percentile", "peak", "loan"):
                for row in body.get(kind, ()):
                    if row["name"] == element:
                        return {"is": kind, **row}, shaped_by
    return None, []


def _usage(
    connection: Connection, number: int
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    row = connection.execute(select(usage).where(usage.c.id == number)).one_or_none()
    if row is None or row.rolled_up:
        return None, None
    query = select(session).where(session.c.id == row.session_id)
    its_session = connection.execute(query).one_or_none()
    return dict(row._mapping), _plain(its_session)


def _purchase(
    connection: Connection, number: int
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    row = connection.execute(
        select(purchase).where(purchase.c.id == number)
    ).one_or_none()
    query = select(purchase_event).where(purchase_event.c.purchase_id == number)
    events = connection.execute(query.order_by(purchase_event.c.received_at))
    return _plain(row), [dict(event._mapping) for event in events]


def _plain(row: Row[Any] | None) -> dict[str, Any] | None:
    return None if row is None else dict(row._mapping)
