"""What usage would cost under a tariff: the rater itself, on a network of its own.

The network has one ISP, an offering or contract with the tariff, and a service for each
that the usage names. What comes out is what the ledger would book, summed by line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import msgspec

from config.network import Network
from config.offers import Offering, Service
from config.parties import Isp
from config.tariffs import Tariff
from rating.charge import Charge, RatableUsage
from rating.fees import fees_of
from rating.quota import QuotaEvent
from rating.rater import Rated, Rater, Unrated
from rating.tariff import CompiledTariff
from rating.wholesale import Loan, span_of, wholesale_charges

_ISP = "simulated"
_DAY = timedelta(days=1)
_FOR_EVER = 2**62


class Line(NamedTuple):
    """A line of the bill; the amount in micro-units, before tax."""

    period: str
    version: str
    element: str
    tag: str
    quantity: int
    unit: str
    amount: int


class Bill(NamedTuple):
    """What usage comes to, line by line; ``unrated`` counts records by reason."""

    currency: str
    lines: list[Line]
    events: list[QuotaEvent]
    unrated: dict[Unrated, int]

    @property
    def amount(self) -> int:
        """The sum, in micro-units, before tax."""
        return sum(line.amount for line in self.lines)


class Rule(NamedTuple):
    """What applies at a time: the version, the windows that are open, the rates."""

    version: str
    period: str
    windows: tuple[str, ...]
    rates: tuple[str, ...]
    starts_at: int
    ends_at: int


class Circumstances(NamedTuple):
    """What a bill depends on besides use: the days from which and until which (not
    included) services are billed, the top-ups that each buys (time and name), and the
    addresses that the ISP borrows."""

    billed_from: date | None = None
    billed_until: date | None = None
    topups: tuple[tuple[int, str], ...] = ()
    loans: tuple[Loan, ...] = ()


def simulate(
    tariff: Tariff,
    usages: Iterable[RatableUsage],
    circumstances: Circumstances = Circumstances(),  # noqa: B008  it is a value
) -> Bill:
    """Rate usage, and add the fees and wholesale prices of the periods it is in.

    It is rated in the order of time, whatever order it comes in. A one-off fee is due
    where the first day is known.
    """
    records = sorted(usages, key=lambda usage: usage.ended_at)
    services = sorted({usage.service for usage in records})
    rater = Rater(next_balance_id=1)
    rater.know(_network(tariff, services))
    charges: list[Charge] = []
    unrated: dict[Unrated, int] = {}
    compiled = rater.tariff(tariff.name)
    billed_from, billed_until, topups, loans = circumstances
    cuts = list(_cuts(compiled, records, loans))
    pending = sorted([(start, "") for start, _ in cuts] + list(topups))
    rater.adopt(rater.missing(records))

    def prepare(until: int) -> None:
        while pending and pending[0][0] < until:
            at, topup = pending.pop(0)
            for service in services:
                rater.adopt(rater.open_period(service, at))
                rater.open_period(service, at)
                bought = rater.top_up(service, topup, at) if topup else []
                if isinstance(bought, Unrated):
                    unrated[bought] = unrated.get(bought, 0) + 1
                else:
                    charges.extend(bought)

    for usage in records:
        prepare(usage.ended_at)
        result = rater.rate(usage)
        if isinstance(result, Rated):
            charges += result.retail
            charges += result.wholesale
        else:
            unrated[result] = unrated.get(result, 0) + 1
    prepare(_FOR_EVER)
    changes = rater.changes()
    sessions = _sessions(records)
    for start, end in cuts:
        day = compiled.calendar.day_of(start)
        for service in services:
            charges += fees_of(compiled, service, day, billed_from, billed_until)
        if tariff.isp is None:
            samples = [
                (octets_in, octets_out)
                for (_, at), (octets_in, octets_out) in changes.samples.items()
                if start <= at < end
            ]
            charges += wholesale_charges(compiled, day, samples, sessions, loans)
    return Bill(tariff.currency, _lines(charges), changes.events, unrated)


def rule_at(tariff: Tariff, at: int) -> Rule | None:
    """Say what applies at a time; None before the first version."""
    compiled = CompiledTariff(tariff)
    span = compiled.span_at(at)
    if span is None:
        return None
    rates = tuple(
        rate.element
        for rate in span.version.rates
        if span.slot in rate.slots and not rate.connects
    )
    windows = span.version.slots[span.slot]
    key = span.cut.key
    return Rule(span.version.name, key, windows, rates, span.start, span.end)


def _network(tariff: Tariff, services: Iterable[str]) -> Network:
    wholesale = tariff.isp is None
    if not wholesale:
        tariff = msgspec.structs.replace(tariff, isp=_ISP)
    offering = Offering(
        name=_ISP,
        isp=_ISP,
        down_kbps=1,
        up_kbps=1,
        tariff=None if wholesale else tariff.name,
    )
    return Network(
        isp=(Isp(name=_ISP, wholesale=tariff.name if wholesale else None),),
        tariff=(tariff,),
        offering=(offering,),
        service=tuple(
            Service(name=name, isp=_ISP, line="", offering=_ISP, account=_ISP)
            for name in services
        ),
    )


def _sessions(records: Iterable[RatableUsage]) -> list[tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for usage in records:
        began = min(usage.session_started_at, usage.started_at)
        start, end = found.get(usage.session_id, (began, usage.ended_at))
        begun, ended = min(start, began), max(end, usage.ended_at)
        found[usage.session_id] = begun, ended
    return list(found.values())


def _cuts(
    tariff: CompiledTariff, records: list[RatableUsage], loans: Sequence[Loan]
) -> Iterator[tuple[int, int]]:
    """Give the start and end of every period of a version that was used, or lent in."""
    times = [(usage.started_at, usage.ended_at) for usage in records]
    times += [(loan.lent_at, loan.returned_at) for loan in loans]
    if not times:
        return
    day = tariff.calendar.day_of(min(start for start, _ in times))
    last = tariff.calendar.day_of(max(end for _, end in times) - 1)
    while day <= last:
        if tariff.version_on(day) is None:
            day += _DAY
        else:
            yield span_of(tariff, day)
            day = tariff.cut_of(day).next


def _lines(charges: Iterable[Charge]) -> list[Line]:
    sums: dict[tuple[str, str, str, str, str], list[int]] = {}
    for charge in charges:
        key = (charge.period, charge.version, charge.element, charge.unit, charge.tag)
        line = sums.setdefault(key, [0, 0])
        line[0] += charge.quantity
        line[1] += charge.amount
    return [
        Line(period, version, element, tag, quantity, unit, amount)
        for (period, version, element, unit, tag), (quantity, amount) in sorted(
            sums.items()
        )
        if quantity or amount  # a top-up may have taken all of a line back
    ]
