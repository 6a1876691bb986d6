"""What a statement's recipient has a line by in its own records, looked up in slices.

A BSP sent events and gave each its own id: a line of metered use comes from several, a
line of a purchase from the one that captured or refunded it. An ISP has an address that
was sold by the address. None of this changes once its entry is booked, so that an
issued statement comes out the same. Whose records they are not is not told of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address
from typing import Final, NamedTuple

import msgspec
from sqlalchemy import Connection

from rating.entry import Entry, Source
from rating.posting import detail_of
from rating.purchase import Action
from rating.statement import Role
from storage import statements as repository


class Known(NamedTuple):
    """The reference of a line, and the recipient's own ids behind it, as a JSON array;
    None where there are none."""

    reference: str | None
    records: str | None = None


class Lookup(NamedTuple):
    """What finds out by what entries are known, and how many of them at once."""

    known: Callable[[Connection, Sequence[Entry]], list[Known]]
    at_once: int


class _Answer(msgspec.Struct):
    entry: int | None = None


def reference_of(entry: Entry) -> str:
    """Give what a line is called by: our own number of what is behind it; of a fee, or
    of what a month's total was levied, what anybody can put together who has the
    tariff: service, tariff, element and period, or service, kind, party and tax class.
    """
    _, book, posting = entry
    number, service = posting.source_id, posting.service or ""
    if number is not None:
        return f"{book.source}-{number}"
    detail = detail_of(posting.detail)
    for line in detail.lines or detail.wholesale:
        tariff = (book.tariff or book.wholesale_tariff).partition("@")[0]
        return f"{book.source}-{service}:{tariff}:{line.element}:{line.period}"
    of = book.tax_class or f"wholesale {book.wholesale_tax_class}"
    return f"{book.source}-{service}:{book.kind}:{book.party}:{of}:{book.month}"


def lookup_of(role: Role, source: str) -> Lookup | None:
    """Give what is to be looked up of entries of a source for a recipient; None is
    nothing, ``reference_of`` is all there is."""
    return _LOOKUPS.get((role, source))


def _of_usage(connection: Connection, entries: Sequence[Entry]) -> list[Known]:
    events = dict(repository.usage_events(connection, _ids(entries)))
    return [
        Known(reference_of(entry), _array(events.get(entry.posting.source_id or 0)))
        for entry in entries
    ]


def _of_purchases(connection: Connection, entries: Sequence[Entry]) -> list[Known]:
    found = repository.purchase_references(connection, _ids(entries))
    return [Known(found.get(entry.posting.source_id or 0)) for entry in entries]


def _with_events(connection: Connection, entries: Sequence[Entry]) -> list[Known]:
    events = repository.purchase_events(connection, _ids(entries))
    made = entries_of_events(events)
    return [
        known._replace(records=_array([made[entry.id]] if entry.id in made else None))
        for entry, known in zip(
            entries, _of_purchases(connection, entries), strict=True
        )
    ]


def entries_of_events(
    events: Iterable[tuple[str, str, str, int | None]],
) -> dict[int, str]:
    """Give the id of the event that made each entry, of events of purchases: id,
    action, answer, and the entry that the purchase was captured by."""
    made: dict[int, str] = {}
    for event_id, action, answer, captured_by in events:
        entry = msgspec.json.decode(answer, type=_Answer).entry
        if entry is None and action == Action.SALE:
            entry = captured_by  # it had no price at first, and was booked after a fix
        if entry is not None:
            made[entry] = event_id
    return made


def _of_addresses(connection: Connection, entries: Sequence[Entry]) -> list[Known]:
    sold = repository.sold_addresses(connection, _ids(entries))
    found = []
    for entry in entries:
        address = sold.get(entry.posting.source_id or 0)
        own = None if address is None else [str(IPv4Address(address))]
        found.append(Known(reference_of(entry), _array(own)))
    return found


def _ids(entries: Sequence[Entry]) -> list[int]:
    ids = {entry.posting.source_id for entry in entries}
    return sorted(number for number in ids if number is not None)


def _array(ids: list[str] | None) -> str | None:
    return None if ids is None else _encode(ids).decode()


_encode = msgspec.json.Encoder().encode

_LOOKUPS: Final = {
    # Each line may come from as many events as were rated at once.
    (Role.BSP, Source.BSP_USAGE.value): Lookup(_of_usage, 200),
    (Role.BSP, Source.PURCHASE.value): Lookup(_with_events, 1000),
    (Role.ISP, Source.PURCHASE.value): Lookup(_of_purchases, 2000),
    (Role.NETWORK, Source.PURCHASE.value): Lookup(_of_purchases, 2000),
    (Role.ISP, Source.ADDRESS_SALE.value): Lookup(_of_addresses, 2000),
}
