"""Fees, and what an ISP owes for the shape of its use: charged once a period.

A period's fees are charged when it begins, for all of it; what is charged is kept by
tenant, service, tariff, period and element, so that a run may be repeated, killed or
late. When a service ends or gets another tariff within a period, or a version that was
not known then cuts it, the difference to what it should have paid is charged, which is
negative. A percentile, a peak and the hours of
loans are known when a period has ended, and are charged some hours later, when the
usage that was on its way has come.

A service that never was charged before pays from the period that its ``billed_from`` is
in, but for no more than the one before this; without one, from this.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Final, NamedTuple

from sqlalchemy import Connection

from config.network import Network
from config.offers import Service
from config.quantities import day_of
from rating.charge import Charge
from rating.fees import fees_of
from rating.posting import Poster
from rating.tariff import CompiledTariff, Cut
from rating.wholesale import part_of, span_of
from services.period_shape import owed_for, traffic_of
from services.wholesale_held import wholesale_held
from storage.database import Database
from storage.entries import lock_head, post, read_closed
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
    """What is to be charged: the charge, its key, whose tariff it is by, and the ISP
    that is paid where it is neither for the subscriber nor for the network."""

    charge: Charge
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
        self._retail_of = {o.name: o.tariff for o in network.offering}
        self._services = {s.name: s for s in network.service}
        self._names = sorted(self._services)
        self._begun: dict[tuple[str, date, date | None], list[Charge]] = {}

    def charge_services(
        self, database: Database, now: int, after: str, limit: int
    ) -> str | None:
        """Charge the fees of the next services behind a name, in one transaction.

        Gives the name to go on behind, or None when there are no more. ``now`` is in
        epoch seconds.
        """
        first = bisect_right(self._names, after)
        some = self._names[first : first + limit]
        with database.write.begin() as connection:
            gone = services_charged(connection, after, limit)
            names = sorted({*some, *(n for n in gone if n)})[:limit]
            if not names:
                return None
            charged = charges_of(connection, names)
            due = [item for name in names for item in self._due(name, charged, now)]
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
            if lender is not None:
                poster.loan(row.tenant, lender, [charge])
                continue
            poster.fees(row.tenant, [charge], wholesale=wholesale)
        post(connection, head, poster.take(), now)

    def _due(
        self, name: str, charged: Mapping[str, list[PeriodicCharge]], now: int
    ) -> Iterator[_Due]:
        service = self._services.get(name)
        by_payer: dict[tuple[str, str], list[PeriodicCharge]] = {}
        for row in charged.get(name, ()):
            by_payer.setdefault((row.tenant, row.tariff), []).append(row)
        wanted = self._wanted(service)
        former = {
            key: rows
            for key, rows in by_payer.items()
            if key not in wanted and key[1] in self._tariffs
        }
        for (_, tariff), rows in former.items():
            yield from self._end(self._tariffs[tariff], rows, now)
        if service is None:
            return
        for key in wanted:
            compiled = self._tariffs[key[1]]
            others = [
                row
                for (_, other), rows in former.items()
                if _is_wholesale(self._tariffs[other]) == _is_wholesale(compiled)
                for row in rows
            ]
            rows = by_payer.get(key, [])
            yield from self._begin(compiled, service, rows, others, now)

    def _wanted(self, service: Service | None) -> list[tuple[str, str]]:
        """Give the tariffs that a service is charged by, each behind its ISP: another
        ISP's service of the same name pays anew, even by the same tariff."""
        if service is None:
            return []
        both = (
            self._retail_of.get(service.offering),
            self._wholesale_of.get(service.isp),
        )
        return [(service.isp, name) for name in both if name is not None]

    def _begin(
        self,
        tariff: CompiledTariff,
        service: Service,
        rows: Sequence[PeriodicCharge],
        others: Sequence[PeriodicCharge],
        now: int,
    ) -> Iterator[_Due]:
        """Charge the periods that have begun and are not charged yet."""
        today = tariff.calendar.day_of(now)
        if tariff.version_on(today) is None:
            return
        standing = [row for row in rows if row.last_day is None]
        first = day_of(service.billed_from) if service.billed_from else None
        if standing:
            last = standing[-1]
            same = [row for row in standing if row.period == last.period]
            yield from self._cut_since(tariff, same)
            first = day_of(last.first_day) if last.first_day else None
            day = tariff.cut_of(day_of(last.period)).next
        elif others or rows:  # it changed its tariff today, or came back
            day = first = today if first is None else max(first, today)
        else:
            this = tariff.cut_of(today).first
            before = this - _DAY
            earliest = this
            if first is not None and tariff.version_on(before) is not None:
                earliest = tariff.cut_of(before).first
            day = max(first or this, earliest)
        while day <= today:
            cut = tariff.cut_of(day)
            for fee in self._fees(tariff, day, first):
                charge = fee._replace(service=service.name)
                row = _row(service.isp, charge, first, now)
                yield _Due(charge, row, _is_wholesale(tariff), is_new=True)
            day = cut.next

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

    def _cut_since(
        self, tariff: CompiledTariff, rows: Sequence[PeriodicCharge]
    ) -> Iterator[_Due]:
        """Charge the difference where a version that was added later, or was taken away
        before it began, has changed how long a period is that was charged."""
        for row in rows:
            first = day_of(row.first_day) if row.first_day else None
            for charge in self._fees(tariff, day_of(row.period), first):
                if charge.element == row.element and charge.amount != row.amount:
                    more = charge._replace(service=row.service)
                    yield _changed(tariff, more, row, charge.amount)

    def _end(
        self, tariff: CompiledTariff, rows: Sequence[PeriodicCharge], now: int
    ) -> Iterator[_Due]:
        """Give back what was charged of this period for days from today on."""
        today = tariff.calendar.day_of(now)
        for row in rows:
            if row.last_day is not None:
                continue
            day = day_of(row.period)
            first = day_of(row.first_day) if row.first_day else None
            whole = fees_of(tariff, row.service, day, first, None)
            until = min(today, tariff.cut_of(day).next)
            part = fees_of(tariff, row.service, day, first, until)
            kept = sum(c.amount for c in part if c.element == row.element)
            ended = row._replace(last_day=until.isoformat())
            for charge in whole:
                if charge.element == row.element:
                    yield _changed(tariff, charge, ended, kept)

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
