"""Fees, and what an ISP owes for the shape of its use: charged once a period.

A period's fees are charged when it begins, for all of it; what is charged is kept by
tenant, service, tariff, period and element, so that a run may be repeated, killed or
late. What a service owes is a function of what it ever was (``services.fee_stays``):
when it ends or gets another tariff within a period, or a version that was not known
then cuts it, the difference to what was charged is, which is negative. A percentile, a
peak and the hours of loans are known when a period has ended, and are charged some
hours later, when the usage that was on its way has come.

A service pays from the period that its ``billed_from`` is in, but for no more than the
one before that in which it was added; without one, from that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection

from config.network import Network
from config.quantities import day_of
from rating.charge import Charge
from rating.fees import fees_of
from rating.posting import Poster
from rating.tariff import CompiledTariff, Cut
from rating.wholesale import part_of, span_of
from services.fee_stays import Stay, Terms, stays_of
from services.period_shape import owed_for, traffic_of
from services.wholesale_held import wholesale_held
from storage.database import Database
from storage.entries import lock_head, post, read_closed
from storage.network import States, states_of, touched_since
from storage.periodic_charges import (
    PeriodicCharge,
    charges_of,
    charges_of_isp,
    charges_of_shape,
    end_charges,
    insert_charges,
    services_charged,
)

SETTLED_AFTER_SECONDS: Final = 6 * 3600
"""How long after a period its shape is charged: NAS retry, journals are applied."""

_PERIODS_BACK: Final = 3
"""Ended periods whose shape is looked at: the daemon may have been down that long."""

_LOOK_BACK_SECONDS: Final = (_PERIODS_BACK + 1) * 31 * 86_400
"""A tariff that an ISP left longer ago has no such period any more."""

_MONTH: Final = timedelta(days=31)
"""No period is longer."""

_DAY: Final = timedelta(days=1)


class _Due(NamedTuple):
    """What is to be charged, if anything, its key, whose tariff it is by, and the ISP
    that is paid where it is neither for the subscriber nor for the network."""

    charge: Charge | None
    row: PeriodicCharge
    wholesale: bool
    is_new: bool
    lender: str | None = None


class PeriodicCharges:
    """The fixed charges of one network; make a new one when the network changes."""

    def __init__(self, network: Network) -> None:
        self._tariffs = {t.name: CompiledTariff(t) for t in network.tariff}
        self._zones = {t.name: t.zone for t in network.tariff}
        self._wholesale_of = {isp.name: isp.wholesale for isp in network.isp}
        self._terms = Terms(network)
        self._services = {service.name for service in network.service}
        self._names: list[str] | None = None
        self._begun: dict[tuple[str, date, date | None], list[Charge]] = {}

    def charge_services(
        self, database: Database, now: int, after: str, limit: int
    ) -> str | None:
        """Charge the fees of the next services behind a name, in one transaction.

        Gives the name to go on behind, or None when there are no more. ``now`` is in
        epoch seconds.
        """
        with database.write.begin() as connection:
            if self._names is None:
                since = now - _LOOK_BACK_SECONDS
                gone = touched_since(connection, "service", since, ("delete",))
                self._names = sorted(self._services | gone.keys())
            first = bisect_right(self._names, after)
            some = self._names[first : first + limit]
            charged = services_charged(connection, after, limit)
            names = sorted({*some, *(n for n in charged if n)})[:limit]
            if not names:
                return None
            rows = charges_of(connection, names)
            states = states_of(connection, "service", names)
            self._terms.look_up(connection, states)
            due: list[_Due] = []
            for name, ever in states.items():
                had = rows.get(name, ())
                due += _told_apart(self._due(name, ever, had, now), had)
            self._post(connection, due, now)
        return names[-1] if len(names) == limit else None

    def charge_isps(self, database: Database, now: int) -> None:
        """Charge the ISPs for the shape of their use in periods that have ended."""
        since = now - _LOOK_BACK_SECONDS
        with database.read.connect() as connection:
            held = wholesale_held(connection, self._wholesale_of, since)
        for isp, tariffs in held.items():
            for name, begun, ended in tariffs:
                tariff = self._tariffs.get(name)
                if tariff is None:
                    continue  # it has left the network, with its prices
                for day in self._ended(tariff, now):
                    part = part_of(tariff, day, begun, ended)
                    if part is None:
                        continue
                    with database.write.begin() as connection:
                        due = self._shape(connection, isp, tariff, part, now)
                        self._post(connection, due, now)

    def _post(self, connection: Connection, due: Sequence[_Due], now: int) -> None:
        if not due:
            return
        insert_charges(connection, [d.row for d in due if d.is_new])
        end_charges(connection, [d.row for d in due if not d.is_new])
        head = lock_head(connection)
        poster = Poster(self._zones, read_closed(connection))
        for charge, row, wholesale, _, lender in due:
            if charge is None:
                continue
            if lender is not None:
                poster.loan(row.tenant, lender, [charge])
                continue
            poster.fees(row.tenant, [charge], wholesale=wholesale)
        post(connection, head, poster.take(), now)

    def _due(
        self, name: str, ever: States, rows: Sequence[PeriodicCharge], now: int
    ) -> Iterator[_Due]:
        """Charge what a service owes by what it ever was, less what it was charged."""
        stays = stays_of(ever, self._terms, self._tariffs, now)
        # Nobody is told late of older periods, but they are charged all the same.
        since = date.min
        if rows:
            last = max(day_of(row.period) for row in rows)
            bound = datetime.fromtimestamp(now - _LOOK_BACK_SECONDS, UTC).date()
            since = min(last, bound)
        found = {self._key(row): row for row in rows if row.tariff in self._tariffs}
        for stay in stays:
            tariff = self._tariffs[stay.tariff]
            today = tariff.calendar.day_of(now)
            day = max(stay.since, since)
            while day <= today and (stay.next is None or day < stay.next):
                cut = tariff.cut_of(day)
                yield from self._period(tariff, name, stay, cut, found, now)
                day = cut.next
        open_ = {(stay.isp, stay.tariff) for stay in stays if stay.next is None}
        for row in found.values():
            tariff = self._tariffs[row.tariff]
            cut = tariff.cut_of(day_of(row.period))
            if cut.next > since:
                yield from self._taken_away(tariff, row)
            elif row.last_day is None and (row.tenant, row.tariff) not in open_:
                ended = row._replace(last_day=cut.next.isoformat())
                yield _Due(None, ended, False, is_new=False)

    def _key(self, row: PeriodicCharge) -> tuple[str, ...]:
        """Say what a charge is of, of its service: two within a period have each its
        own first day."""
        day = row.first_day or ""
        first = day if day >= row.period else ""
        return row.tenant, row.tariff, row.period, row.element, first

    def _fees(
        self, tariff: CompiledTariff, day: date, first: date | None
    ) -> list[Charge]:
        """Give the fees of any service that is billed from a day on; most of a tariff's
        services begin a period alike."""
        key = tariff.name, day, first
        found = self._begun.get(key)
        if found is None:
            found = self._begun[key] = fees_of(tariff, "", day, first, None)
        return found

    def _period(
        self,
        tariff: CompiledTariff,
        service: str,
        stay: Stay,
        cut: Cut,
        found: dict[tuple[str, ...], PeriodicCharge],
        now: int,
    ) -> Iterator[_Due]:
        """Charge a period that has begun, or the difference to what was charged of it:
        a service may have left since, a version been announced that cuts it."""
        whole = self._fees(tariff, cut.first, stay.first)
        until = None if stay.next is None else min(stay.next, cut.next)
        owed = whole
        if until is not None and until < cut.next:
            owed = fees_of(tariff, "", cut.first, stay.first, until)
        amounts = {fee.element: fee.amount for fee in owed}
        last_day = None if until is None else until.isoformat()
        for fee in whole:
            charge = fee._replace(service=service)
            row = _row(stay.isp, charge, stay.first, now)
            had = found.pop(self._key(row), None)
            amount = amounts.get(fee.element)
            if had is not None:
                had, before = had._replace(last_day=last_day), had
                if had != before or had.amount != (amount or 0):
                    yield _changed(tariff, charge, had, amount or 0)
            elif amount is not None:
                row = row._replace(amount=amount, last_day=last_day)
                charge = charge._replace(amount=amount)
                yield _Due(charge, row, _is_wholesale(tariff), is_new=True)

    def _taken_away(
        self, tariff: CompiledTariff, row: PeriodicCharge
    ) -> Iterator[_Due]:
        """Give back what was charged of days that are another's, as is known now."""
        first = day_of(row.first_day) if row.first_day else None
        for fee in self._fees(tariff, day_of(row.period), first):
            if fee.element == row.element and (row.amount or row.last_day is None):
                charge = fee._replace(service=row.service)
                ended = row._replace(last_day=row.first_day or row.period)
                yield _changed(tariff, charge, ended, 0)

    def _ended(self, tariff: CompiledTariff, now: int) -> list[date]:
        """Give a day of each of the last periods that have ended, the oldest first."""
        days: list[date] = []
        day = tariff.calendar.day_of(now - SETTLED_AFTER_SECONDS)
        while len(days) < _PERIODS_BACK and tariff.version_on(day) is not None:
            day = tariff.cut_of(day).first - _DAY
            if tariff.version_on(day) is not None:
                days.append(day)
        return days[::-1]

    def _shape(
        self,
        connection: Connection,
        isp: str,
        tariff: CompiledTariff,
        part: Cut,
        now: int,
    ) -> list[_Due]:
        day = part.first
        start, end = span_of(tariff, day, part)
        whole = tariff.cut_of(day)
        charged = charges_of_isp(connection, isp, tariff.name, whole.key)
        if self._is_charged(connection, isp, part):
            return []
        traffic = traffic_of(connection, isp, start, end)
        if not traffic.samples and not charged and not traffic.loans:
            return []  # it was no ISP of this network then
        days = part.first.isoformat(), part.next.isoformat()
        return [
            _Due(
                charge,
                _row(isp, charge, None, now, days),
                lender is None,
                True,
                lender,
            )
            for charge, lender in owed_for(connection, isp, tariff, part, traffic)
        ]

    def _is_charged(self, connection: Connection, isp: str, part: Cut) -> bool:
        """Say whether the shape of an ISP's use was charged for some day of a part, by
        whichever tariff: of a charge that does not say its days, for its period."""
        since = (part.first - _MONTH).isoformat()
        for row in charges_of_shape(connection, isp, since):
            tariff, first = self._tariffs.get(row.tariff), day_of(row.period)
            if row.last_day is not None:
                next_ = day_of(row.last_day)
            else:
                next_ = first + _DAY if tariff is None else tariff.cut_of(first).next
            if first < part.next and part.first < next_:
                return True
        return False


def _told_apart(due: Iterable[_Due], rows: Sequence[PeriodicCharge]) -> Iterator[_Due]:
    """Let charges of one element of a period be a second apart: when they were charged
    is part of their key."""
    taken = {row[:5] + row[9:10] for row in rows}
    for one in due:
        if one.is_new:
            row = one.row
            while (key := row[:5] + row[9:10]) in taken:
                row = row._replace(charged_at=row.charged_at + 1)
            taken.add(key)
            one = one._replace(row=row)
        yield one


def _changed(
    tariff: CompiledTariff, charge: Charge, row: PeriodicCharge, amount: int
) -> _Due:
    """Charge the difference to what a fee comes to now. Of one that was taken back by
    hand only what is still owed can be given back, and nothing is charged anew."""
    more = amount - row.stands
    if row.taken_back:
        more = min(0, more)
    row = row._replace(amount=amount, taken_back=amount - row.stands - more)
    due = charge._replace(amount=more)
    return _Due(due, row, _is_wholesale(tariff), is_new=False)


def _is_wholesale(tariff: CompiledTariff) -> bool:
    return tariff.config.isp is None


def _row(
    tenant: str,
    charge: Charge,
    first: date | None,
    now: int,
    days: tuple[str, str] | None = None,
) -> PeriodicCharge:
    return PeriodicCharge(
        tenant,
        charge.service,
        charge.tariff,
        charge.period,
        charge.element,
        charge.version,
        days[0] if days else None if first is None else first.isoformat(),
        days[1] if days else None,
        charge.amount,
        now,
    )
