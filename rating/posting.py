"""Charges into postings: who owes whom what the rater found.

A tariff's terms say which two accounts its charges move money between. All charges of
one usage record by one tariff make one posting; charges that move nothing (use within
an allowance) make none. Tax is not in it: a charge is a difference of running totals,
down to a micro-unit, and a tax rounded on each would depend on how the usage was cut
(law 6); ``rating.shares`` takes it on the month's running total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from rating.charge import Charge
from rating.entry import Account, Book, Kind, Source
from rating.months import Closed, booked_in, span_at


class Terms(NamedTuple):
    """What the ledger needs to know of a tariff: whose price it is, and its zone.

    ``seller`` is the ISP, the BSP or the lending ISP that is paid, NETWORK for the
    Network Provider; ``tax_party`` is who owes the tax on it.
    """

    kind: Kind
    zone: str
    seller: str
    tax_party: str


SIDES: Final[Mapping[Kind, tuple[Account, Account]]] = {
    Kind.RETAIL: (Account.SUBSCRIBER, Account.ISP),
    Kind.WHOLESALE: (Account.ISP, Account.NETWORK),
    Kind.LOAN: (Account.ISP, Account.PARTY),
    Kind.BSP_USAGE: (Account.SUBSCRIBER, Account.PARTY),
}
"""Who pays and who is paid, by the kind of a rated entry."""

Tenants = Mapping[str, str]
"""The ISP of each service by name, and of each ISP itself, for what an ISP is charged
without a service (95th percentile, simultaneous sessions)."""

Row = tuple[Any, ...]
"""One posting as a plain tuple, in the order of ``rating.entry.Posting``."""

_Detail = tuple[str, str, int, str, int, int, int, str]
_encode = msgspec.json.Encoder().encode


class UnknownTermsError(KeyError):
    """A charge by a tariff, or for a service, that the network does not have."""


class Poster:
    """Turns batches of charges into postings by book.

    ``terms`` and ``tenants`` are looked up by name; ``closed`` says which months are,
    and is replaced when another is.
    """

    def __init__(
        self, terms: Mapping[str, Terms], tenants: Tenants, closed: Closed
    ) -> None:
        self._terms = terms
        self._tenants = tenants
        self.closed = closed

    def postings(
        self, charges: Iterable[Charge], source: Source = Source.USAGE
    ) -> dict[Book, list[Row]]:
        """Give the postings of charges, each a plain tuple in the order of Posting;
        those of one usage record and tariff must lie together. UnknownTermsError when
        the network has no such service or tariff.

        ``source`` says which table the charges' ``usage_id`` is of; a charge without
        one is a fee.
        """
        books: dict[Book, list[Row]] = {}
        ways: dict[tuple[str | None, ...], _Way] = {}
        tenants = self._tenants
        pending: list[_Detail] = []
        way: _Way | None = None
        of: tuple[str, int | None] = "", None
        for charge in charges:
            (service, tariff, version, element, period, tag, quantity, unit) = charge[
                :8
            ]
            (amount, currency, tax_class, started_at, ended_at, usage_id) = charge[8:]
            tenant = tenants.get(service)
            fee = None if usage_id is None else ""
            key = (tenant, tariff, version, tax_class, currency, fee)
            its_way = ways.get(key)
            if its_way is None or not its_way.starts_at <= started_at < its_way.ends_at:
                its_way = self._way(tenant, charge, source)
                ways[key] = its_way
                its_way = its_way._replace(rows=books.setdefault(its_way.book, []))
                ways[key] = its_way
            if its_way is not way or (service, usage_id) != of or fee is None:
                if way is not None:
                    _book(way, of, pending)
                way, of, pending = its_way, (service, usage_id), []
            pending.append(
                (element, tag, quantity, unit, amount, started_at, ended_at, period)
            )
        if way is not None:
            _book(way, of, pending)
        return books

    def _way(self, tenant: str | None, charge: Charge, source: Source) -> _Way:
        terms = self._terms.get(charge.tariff)
        if terms is None or tenant is None:
            missing = f"tariff {charge.tariff!r}" if tenant else repr(charge.service)
            raise UnknownTermsError(f"the network has no {missing}")
        span = span_at(terms.zone, charge.started_at)
        month = booked_in(self.closed, tenant, terms.zone, span.month)
        debit, credit = SIDES[terms.kind]
        book = Book(
            tenant,
            terms.zone,
            month,
            terms.kind.value,
            (Source.FEE if charge.usage_id is None else source).value,
            terms.seller if credit is Account.PARTY else "",
            terms.tax_party,
            charge.tax_class,
            charge.currency,
            f"{charge.tariff}@{charge.version}",
        )
        late_from = None if month == span.month else span.month
        return _Way(
            book,
            [],
            tenant,
            late_from,
            _LEGS[debit, credit],
            span.starts_at,
            span.ends_at,
        )


class _Way(NamedTuple):
    """Where the charges of a tenant and tariff go that began in one month."""

    book: Book
    rows: list[Row]
    tenant: str
    late_from: str | None
    legs: Callable[[int], tuple[int, int, int, int, int]]
    starts_at: int
    ends_at: int


def _book(way: _Way, of: tuple[str, int | None], lines: list[_Detail]) -> None:
    """Add one posting for the charges of one usage record, unless none has money."""
    service, usage_id = of
    amount = lines[0][4]
    if len(lines) > 1:
        amount = sum(line[4] for line in lines)
        if not any(line[4] for line in lines):
            return
    elif not amount:
        return
    way.rows.append(
        (
            None if service == way.tenant else service,
            *way.legs(amount),
            lines[0][5],
            way.late_from,
            usage_id,
            None,
            _encode(lines).decode(),
        )
    )


class Line(msgspec.Struct, array_like=True, frozen=True):
    """One charge within an entry, as the entry's detail keeps it."""

    element: str
    tag: str
    quantity: int
    unit: str
    amount: int
    started_at: int
    ended_at: int
    period: str


def lines_of(detail: str | None) -> list[Line]:
    """Read the charges of one entry; none of an entry that was not rated."""
    return [] if detail is None else msgspec.json.decode(detail, type=list[Line])


_LEGS: Final[Mapping[tuple[Account, Account], Callable[[int], Any]]] = {
    (Account.SUBSCRIBER, Account.ISP): lambda amount: (-amount, amount, 0, 0, 0),
    (Account.SUBSCRIBER, Account.PARTY): lambda amount: (-amount, 0, amount, 0, 0),
    (Account.ISP, Account.PARTY): lambda amount: (0, -amount, amount, 0, 0),
    (Account.ISP, Account.NETWORK): lambda amount: (0, -amount, 0, amount, 0),
}
