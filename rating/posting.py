"""Charges into postings: who owes whom what the rater found.

One usage record makes one entry, with the legs of everyone whom it concerns: what the
subscriber owes its ISP, and what the ISP owes the Network Provider for the same octets.
Charges that move nothing (use within an allowance, which nobody is charged for) make
none. Tax is not in it: a charge is a difference of running totals, down to a
micro-unit, and a tax rounded on each would depend on how the usage was cut (law 6);
``rating.levies`` takes it on the month's running total.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from rating.balance import Taken
from rating.charge import Charge, RatableUsage
from rating.entry import Book, Kind, Source
from rating.months import Closed, booked_in, span_at
from rating.plans import Meter

Row = tuple[Any, ...]
"""One posting as a plain tuple, in the order of ``rating.entry.Posting``."""

Legs = tuple[int, int, int, int, int]

_encode = msgspec.json.Encoder().encode


class UnknownTariffError(KeyError):
    """A charge by a tariff that the network does not have."""


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


class Detail(msgspec.Struct, array_like=True, frozen=True):
    """The charges in an entry: by the book's tariff, and by its wholesale tariff; and
    why, of what somebody took back."""

    lines: tuple[Line, ...]
    wholesale: tuple[Line, ...] = ()
    reason: str = ""


class _Way(NamedTuple):
    """Where charges by the same tariffs go that began within the same month."""

    book: Book
    rows: list[Row]
    late_from: str | None
    starts_at: int
    ends_at: int


class Poster:
    """Turns charges into postings by book, a batch at a time.

    ``zones`` has the zone of each tariff by name, ``closed`` the months that are.
    """

    def __init__(self, zones: Mapping[str, str], closed: Closed) -> None:
        self._zones = zones
        self._closed = closed
        self._books: dict[Book, list[Row]] = {}
        self._ways: dict[tuple[str, ...], _Way] = {}

    def usage(
        self,
        tenant: str,
        retail: Sequence[Charge],
        wholesale: Sequence[Charge],
        began_at: int | None = None,
    ) -> None:
        """Add what one usage record was rated at, in one entry where that can be: its
        charges are of one month, one rate of tax, one zone and one currency.

        It is booked in the month in which the record ``began_at``, though a change of
        tax may have left a charge of a part that began later; None is when each did.
        """
        if len(retail) == 1 == len(wholesale) and retail[0][11] == wholesale[0][11]:
            one, other = retail[0], wholesale[0]
            amount, owed = one[8], other[8]
            if not amount and not owed:
                return
            at = one[11] if began_at is None else began_at
            key = tenant, one[1], one[2], other[1], other[2]
            way = self._ways.get(key)
            if way is None or not way.starts_at <= at < way.ends_at:
                way = self._way(key, tenant, one, other, at)
            if way is not None:
                detail = _encode((_lines(retail), _lines(wholesale))).decode()
                way.rows.append(
                    _combined(way, one[0], amount, owed, one[11], one[13], detail)
                )
                return
        for charges, book_of in ((retail, _retail), (wholesale, _wholesale)):
            for some in self._apart(charges, began_at):
                self._add(tenant, some, Source.USAGE, book_of, began_at)

    def direct(
        self,
        tenant: str,
        usage: RatableUsage,
        retail: Meter,
        taken: Taken,
        wholesale: Meter,
        other_taken: Taken,
    ) -> None:
        """Add what a record took of the only rates of two meters: as ``usage`` with
        the two charges that it comes to."""
        tag, quantity, amount = taken
        other_tag, other_quantity, owed = other_taken
        if not amount and not owed:
            return
        service, usage_id, _, _, start, end = usage[:6]
        one, other = retail.balance, wholesale.balance
        rate, other_rate = retail.only, wholesale.only
        assert one is not None
        assert other is not None
        assert rate is not None
        assert other_rate is not None
        retail_by, wholesale_by = one.version.name, other.version.name
        key = tenant, one.tariff.name, retail_by, other.tariff.name, wholesale_by
        way = self._ways.get(key)
        if way is None or not way.starts_at <= start < way.ends_at:
            charge = one.charge(rate, taken, usage)
            other_charge = other.charge(other_rate, other_taken, usage)
            way = self._way(key, tenant, charge, other_charge, start)
            if way is None:
                self.usage(tenant, [charge], [other_charge], start)
                return
        detail = (
            f'[[{rate.heads[tag]}{quantity},"{rate.unit}",{amount},'
            f'{start},{end},"{one.cut.key}"]],'
            f"[{other_rate.heads[other_tag]}{other_quantity},"
            f'"{other_rate.unit}",{owed},{start},{end},"{other.cut.key}"]]]'
        )
        way.rows.append(_combined(way, service, amount, owed, start, usage_id, detail))

    def fees(
        self, tenant: str, charges: Sequence[Charge], *, wholesale: bool = False
    ) -> None:
        """Add charges that no single usage record caused, an entry each: an ISP's fees
        to its subscribers, or what the Network Provider charges the ISP ``tenant``."""
        for charge in charges:
            book_of = _wholesale if wholesale else _retail
            self._add(tenant, [charge], Source.FEE, book_of)

    def loan(self, borrower: str, lender: str, charges: Sequence[Charge]) -> None:
        """Add what an ISP owes another for addresses that it was lent."""
        for charge in charges:
            self._add(
                borrower, [charge], Source.FEE, partial(_third, Kind.LOAN, lender)
            )

    def bsp_usage(
        self,
        tenant: str,
        bsp: str,
        charges: Sequence[Charge],
        began_at: int | None = None,
    ) -> None:
        """Add what a subscriber of the ISP ``tenant`` owes a BSP for metered use that
        ``began_at``, as ``usage`` has it."""
        book_of = partial(_third, Kind.BSP_USAGE, bsp)
        for some in self._apart(charges, began_at):
            self._add(tenant, some, Source.BSP_USAGE, book_of, began_at)

    def take(self) -> dict[Book, list[Row]]:
        """Give the postings so far, and begin anew."""
        taken = {book: rows for book, rows in self._books.items() if rows}
        self._books, self._ways = {}, {}
        return taken

    def _apart(
        self, charges: Sequence[Charge], began_at: int | None
    ) -> list[list[Charge]]:
        """Charges of one usage record by tariff, version, month and tax, in order."""
        parts: dict[tuple[str, str, str, int], list[Charge]] = {}
        for charge in charges:
            month = self._month(charge, began_at)
            key = charge.tariff, charge.version, month, charge.started_at
            parts.setdefault(key, []).append(charge)
        return list(parts.values())

    def _month(self, charge: Charge, began_at: int | None) -> str:
        at = charge.started_at if began_at is None else began_at
        return span_at(self._zone(charge), at).month

    def _add(
        self,
        tenant: str,
        charges: Sequence[Charge],
        source: Source,
        book_of: Callable[[str, str, str, Source, Charge], tuple[Book, _Sides]],
        began_at: int | None = None,
    ) -> None:
        if not any(charge.amount for charge in charges):
            return
        first = charges[0]
        zone = self._zone(first)
        own = self._month(first, began_at)
        month = booked_in(self._closed, tenant, zone, own)
        book, sides = book_of(tenant, zone, month, source, first)
        lines = _lines(charges)
        detail = ((), lines) if book.wholesale_tariff else (lines,)
        self._books.setdefault(book, []).append(
            (
                first.service or None,
                *sides(sum(charge.amount for charge in charges)),
                first.started_at,
                None if own == month else own,
                first.usage_id,
                None,
                _encode(detail).decode(),
            )
        )

    def _zone(self, charge: Charge) -> str:
        zone = self._zones.get(charge.tariff)
        if zone is None:
            raise UnknownTariffError(f"the network has no tariff {charge.tariff!r}")
        return zone

    def _way(
        self, key: tuple[str, ...], tenant: str, one: Charge, other: Charge, at: int
    ) -> _Way | None:
        """Find the way of a retail and a wholesale charge of a record that began at a
        time, None when they part."""
        zone = self._zone(one)
        if self._zone(other) != zone or one.currency != other.currency:
            return None
        span = span_at(zone, at)
        month = booked_in(self._closed, tenant, zone, span.month)
        book, _ = _retail(tenant, zone, month, Source.USAGE, one)
        book = book._replace(
            wholesale_tariff=_version(other), wholesale_tax_class=other.tax_class
        )
        late_from = None if month == span.month else span.month
        rows = self._books.setdefault(book, [])
        way = _Way(book, rows, late_from, span.starts_at, span.ends_at)
        self._ways[key] = way
        return way


def _combined(
    way: _Way,
    service: str,
    amount: int,
    owed: int,
    at: int,
    usage_id: int | None,
    detail: str,
) -> Row:
    """Make one posting of what is owed retail, and of what is owed wholesale for it."""
    isp = amount - owed
    return service, -amount, isp, 0, owed, 0, at, way.late_from, usage_id, None, detail


_Sides = Callable[[int], Legs]


def _retail(
    tenant: str, zone: str, month: str, source: Source, charge: Charge
) -> tuple[Book, _Sides]:
    book = _book(tenant, zone, month, Kind.ACCESS, source, charge)
    return book, lambda amount: (-amount, amount, 0, 0, 0)


def _wholesale(
    tenant: str, zone: str, month: str, source: Source, charge: Charge
) -> tuple[Book, _Sides]:
    book = _book(tenant, zone, month, Kind.ACCESS, source, charge)._replace(
        tariff="",
        tax_class="",
        wholesale_tariff=_version(charge),
        wholesale_tax_class=charge.tax_class,
    )
    return book, lambda amount: (0, -amount, 0, amount, 0)


def _third(
    kind: Kind,
    party: str,
    tenant: str,
    zone: str,
    month: str,
    source: Source,
    charge: Charge,
) -> tuple[Book, _Sides]:
    """A third party is paid: by the subscriber for use, by the ISP for a loan."""
    book = _book(tenant, zone, month, kind, source, charge)._replace(party=party)
    if kind is Kind.LOAN:
        return book, lambda amount: (0, -amount, amount, 0, 0)
    return book, lambda amount: (-amount, 0, amount, 0, 0)


def _book(
    tenant: str, zone: str, month: str, kind: Kind, source: Source, charge: Charge
) -> Book:
    return Book(
        tenant=tenant,
        zone=zone,
        month=month,
        kind=kind.value,
        source=source.value,
        party="",
        tax_party="",
        tax_class=charge.tax_class,
        currency=charge.currency,
        tariff=_version(charge),
        wholesale_tariff="",
        wholesale_tax_class="",
    )


def _version(charge: Charge) -> str:
    return f"{charge.tariff}@{charge.version}"


def _lines(charges: Sequence[Charge]) -> list[tuple[Any, ...]]:
    """The fields of Line, in its order, of each charge."""
    return [
        (c[3], c[5], c[6], c[7], c[8], c[11], c[12], c[4])  # by place: it is quicker
        for c in charges
    ]


def detail_of(text: str | None) -> Detail:
    """Read the charges in an entry; none of one that was not rated by a tariff."""
    return Detail(()) if text is None else msgspec.json.decode(text, type=Detail)


def with_reason(text: str | None, reason: str) -> str:
    """Give an entry's detail with a reason in it."""
    return _encode(msgspec.structs.replace(detail_of(text), reason=reason)).decode()


assert Charge._fields == (
    "service", "tariff", "version", "element", "period", "tag", "quantity", "unit",
    "amount", "currency", "tax_class", "started_at", "ended_at", "usage_id",
)  # fmt: skip
