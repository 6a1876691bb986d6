"""Usage records into charges, retail and wholesale, on running totals in memory.

Who has a batch of guided usage asks which balances it needs that are not in memory,
loads them, has each record rated, and hands on what changed, to be written with the
usage. If that fails, the rater is thrown away and the batch done again with a new one:
like the mediator's sessions, its balances are only ever a copy. A simulation and a
rerating are the same rater, which is told that nothing is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from config.network import Network
from config.settlement import Tax
from rating.balance import Balance, BalanceKey
from rating.charge import Charge, RatableUsage
from rating.fees import topup_charge
from rating.plans import Meter, Plan, Plans, compiled
from rating.quota import QuotaEvent
from rating.rates import COUNTERS, NO_DOUBT, Totals
from rating.rollover import roll, take_back
from rating.samples import Samples, add_to_samples
from rating.shares import figures, shared_out, taxed_apart
from rating.tariff import CompiledTariff, CompiledVersion, Cut, Span

_DAY = timedelta(days=1)


class Unrated(StrEnum):
    """Why a record cannot be rated now; it is kept, and rated when it can be."""

    UNKNOWN_SERVICE = "unknown_service"
    NO_VERSION = "no_version_in_force"
    TOO_MUCH = "more_than_a_line_carries"


class Rated(NamedTuple):
    """What a record came to: the ISP's charges to its customer, the network's to it."""

    retail: list[Charge]
    wholesale: list[Charge]


class StoredBalance(NamedTuple):
    """A balance as the database keeps it."""

    id: int
    key: BalanceKey
    memory: bytes


class Changes(NamedTuple):
    """What a batch changed; each balance is in one list. Samples are to be added."""

    begun: list[Balance]
    counted: list[Balance]
    samples: Samples
    events: list[QuotaEvent]


class Rater:
    """Balances in memory, and what the current batch did to them.

    ``next_balance_id`` goes on from the database. ``again`` is for what was rated
    before: what rolled over then is as it was.
    """

    def __init__(self, *, next_balance_id: int, again: bool = False) -> None:
        self._again = again
        self._next_balance_id = next_balance_id
        self._tariffs: dict[str, CompiledTariff] = {}
        self._tax: tuple[Tax, ...] = ()
        self._plans = Plans(Network(), self._tariffs)
        self._balances: dict[BalanceKey, Balance | None] = {}
        self._begun: dict[int, Balance] = {}
        self._counted: dict[int, Balance] = {}
        self._samples: Samples = {}
        self._events: list[QuotaEvent] = []

    def know(self, network: Network) -> bool:
        """Take the network's tariffs and services, between two batches.

        Gives whether the balances had to be let go, as ``start_again`` does.
        """
        known, self._tax = self._tariffs, network.tax
        self._tariffs = compiled(network, known)
        changed = any(known[name] is not self._tariffs.get(name) for name in known)
        if changed:
            self._balances.clear()  # they refer to what they were compiled by
        self._plans = Plans(network, self._tariffs)
        return changed

    def know_more(self, more: Network) -> None:
        """Take what services were as well, with what they refer to that the network
        does not have, until the network changes."""
        more = replace(more, tax=self._tax)
        self._tariffs.update(compiled(more, self._tariffs))
        self._plans.add(more)

    def plan(self, service: str) -> Plan | None:
        """Give the plan of a service, None when the network has none of that name."""
        return self._plans.get(service)

    def tariff(self, name: str) -> CompiledTariff:
        """Give a tariff by its name; KeyError when the network has none."""
        return self._tariffs[name]

    def missing(self, usages: Iterable[RatableUsage]) -> set[BalanceKey]:
        """Give the balances that these records need and memory does not have.

        Load them, and ``adopt`` all these keys with what the database had of them.
        """
        keys: set[BalanceKey] = set()
        for usage in usages:
            plan = self._plans.get(usage[0])
            if plan is None:
                continue
            retail, wholesale = plan.retail, plan.wholesale
            start, end = usage[4:6]  # by place: it is quicker
            if retail and not retail.start <= start < end <= retail.end:
                keys.update(self._keys(retail, start, end))
            if wholesale and not wholesale.start <= start < end <= wholesale.end:
                keys.update(self._keys(wholesale, start, end))
        return {key for key in keys if key not in self._balances}

    def _keys(self, meter: Meter, start: int, end: int) -> Iterator[BalanceKey]:
        for span in meter.tariff.spans(start, end) or ():
            yield meter.key(span.version.name, span.cut.key)
            if span.version.rolls_over:
                yield from self._key_on(meter, span.cut.first - _DAY)
                yield from self._key_on(meter, span.cut.next)

    def _key_on(self, meter: Meter, day: date) -> Iterator[BalanceKey]:
        version = meter.tariff.version_on(day)
        if version is not None:
            yield meter.key(version.name, meter.tariff.cut_of(day).key)

    def adopt(
        self, keys: Iterable[BalanceKey], balances: Iterable[StoredBalance] = ()
    ) -> None:
        """Take all that the database has of these keys."""
        for key in keys:
            self._balances[key] = None
        for balance_id, key, memory in balances:
            tariff = self._tariffs[key.tariff]
            version = next(v for v in tariff.versions if v.name == key.version)
            first = version.first.fromisoformat(key.period)
            balance = Balance(balance_id, key, tariff, version, tariff.cut_of(first))
            balance.remember(memory)
            self._balances[key] = balance

    def rate(
        self, usage: RatableUsage, zones: frozenset[str] | None = None
    ) -> Rated | Unrated:
        """Rate one record; ``Unrated`` leaves everything as it was.

        ``zones`` says by the tariffs of which zones alone, None by all.
        """
        plan = self._plans.get(usage.service)
        if plan is None:
            return Unrated.UNKNOWN_SERVICE
        start, end = usage.started_at, usage.ended_at
        _, _, retail, wholesale = plan if zones is None else plan.within(zones)
        octets = abs(usage.input_octets + usage.output_octets)
        if octets > NO_DOUBT and any(m.most < octets for m in plan[2:] if m):
            return Unrated.TOO_MUCH
        retail_spans = wholesale_spans = None
        if retail is not None and not retail.start <= start < end <= retail.end:
            retail_spans = retail.tariff.spans(start, end)
            if retail_spans is None:
                return Unrated.NO_VERSION
        if (
            wholesale is not None
            and not wholesale.start <= start < end <= wholesale.end
        ):
            wholesale_spans = wholesale.tariff.spans(start, end)
            if wholesale_spans is None:
                return Unrated.NO_VERSION
        rated = Rated([], [])
        if retail is not None:
            self._apply(retail, retail_spans, usage, rated.retail)
        if wholesale is not None:
            self._apply(wholesale, wholesale_spans, usage, rated.wholesale)
        return rated

    def _apply(
        self,
        meter: Meter,
        spans: Sequence[Span] | None,
        usage: RatableUsage,
        charges: list[Charge],
    ) -> None:
        if meter.sampled:
            add_to_samples(self._samples, meter.tenant, usage)
        if spans is not None and len(spans) == 1:
            self._look_at(meter, spans[0])
        elif spans is not None:
            self._split(meter, spans, usage, charges)
            return
        balance = meter.balance
        assert balance is not None
        self._counted[balance.id] = balance
        balance.use(usage, ((meter.slot, figures(usage)),))
        direct = meter.direct
        if direct is None or not balance.settle_directly(direct, usage, charges):
            self._settle(meter, balance, usage, charges)

    def _look_at(self, meter: Meter, span: Span) -> None:
        """Point the meter at a span, so that the next record finds it there."""
        balance = self._balance(meter, span)
        meter.balance, meter.start, meter.end = balance, span.start, span.end
        meter.slot, meter.base = span.slot, span.slot * COUNTERS
        direct = balance.version.direct[span.slot]
        meter.point_at(None if balance.is_cut_anew else direct)

    def _split(
        self,
        meter: Meter,
        spans: Sequence[Span],
        usage: RatableUsage,
        charges: list[Charge],
    ) -> None:
        parts = taxed_apart(usage, meter.tariff.tax_changes)

        def whose(share: tuple[Span, Totals]) -> tuple[CompiledVersion, Cut, int]:
            span = share[0]
            part = next(at for at, p in enumerate(parts) if span.start < p.ended_at)
            return span.version, span.cut, part

        # Each is settled before the next one opens, which takes over what is left.
        shares = zip(spans, shared_out(usage, spans), strict=True)
        for (_, _, nth), some in groupby(shares, whose):
            own = list(some)
            balance, part = self._balance(meter, own[0][0]), parts[nth]
            self._counted[balance.id] = balance
            balance.use(usage, [(span.slot, share) for span, share in own])
            self._settle(meter, balance, part, charges)

    def _balance(self, meter: Meter, span: Span) -> Balance:
        key = meter.key(span.version.name, span.cut.key)
        balance = self._balances[key]
        if balance is None:
            balance = Balance(
                self._next_balance_id, key, meter.tariff, span.version, span.cut
            )
            self._next_balance_id += 1
            self._balances[key] = self._begun[balance.id] = balance
            if span.version.rolls_over:
                for before in self._key_on(meter, span.cut.first - _DAY):
                    older = self._balances[before]
                    if older is not None:
                        roll(older, balance)
                        self._counted[older.id] = older
        return balance

    def _settle(
        self, meter: Meter, balance: Balance, part: RatableUsage, charges: list[Charge]
    ) -> None:
        at, service, events = part.ended_at, part.service, self._events
        balance.settle(part, at, service, charges, events)
        if self._again or not any(balance.moved):
            return
        for behind in self._key_on(meter, balance.cut.next):
            newer = self._balances[behind]
            if newer is not None and take_back(balance, newer):
                self._counted[newer.id] = newer
                balance.settle(part, at, service, charges, events)

    def count(
        self, usage: RatableUsage, zones: frozenset[str] | None = None
    ) -> Unrated | None:
        """Add one record to its balances; ``settle`` says what all of them came to.

        ``zones`` are as ``rate`` has them. It is for who wants sums alone: by law 6
        they are the same, and much cheaper asked for once. Never mix it with ``rate``
        without settling.
        """
        plan = self._plans.get(usage.service)
        if plan is None:
            return Unrated.UNKNOWN_SERVICE
        _, _, _, _, start, end, seconds, octets_in, octets_out, _, units = usage
        if zones is not None:
            plan = plan.within(zones)
        found: list[tuple[Meter, list[Span] | None]] = []
        for meter in (plan.retail, plan.wholesale):
            if meter is None:
                continue
            spans = None
            if not meter.start <= start < end <= meter.end:
                spans = meter.tariff.spans(start, end)
                if spans is None:
                    return Unrated.NO_VERSION
            found.append((meter, spans))
        for meter, spans in found:
            if spans is not None:
                if len(spans) > 1:
                    for span, share in zip(
                        spans, shared_out(usage, spans), strict=True
                    ):
                        self._balance(meter, span).use(usage, ((span.slot, share),))
                    continue
                self._look_at(meter, spans[0])
            balance = meter.balance
            assert balance is not None
            if balance.version.by_session:
                balance.use(usage, ((meter.slot, figures(usage)),))
                continue
            totals, base = balance.totals, meter.base
            totals[base] += seconds
            totals[base + 1] += octets_in
            totals[base + 2] += octets_out
            totals[base + 3] += units
        return None

    def settle(self, at: int) -> Iterator[tuple[Balance, int]]:
        """Bring the money up to what was counted; give each balance and how much more
        is owed, in micro-units."""
        for balance in self._balances.values():
            if balance is not None:
                charges: list[Charge] = []
                balance.settle(None, at, "", charges, [])
                yield balance, sum(charge.amount for charge in charges)

    def open_period(self, service: str, at: int) -> set[BalanceKey]:
        """Open a service's retail balance of the period at a time, if it is not open.

        What rolls over only does so into a period that is open, used or not
        (``services.opened_periods``). Gives the keys to adopt first, if any; then call
        it again.
        """
        keys = self.missing_of(service, at)
        plan = self._plans[service]
        span = plan.retail.tariff.span_at(at) if plan.retail else None
        if not keys and plan.retail is not None and span is not None:
            self._balance(plan.retail, span)
        return keys

    def missing_of(self, service: str, at: int) -> set[BalanceKey]:
        """Give the keys to adopt before the period at a time can be opened."""
        meter = self._plans[service].retail
        if meter is None or meter.tariff.span_at(at) is None:
            return set()
        return set(self._keys(meter, at, at + 1)) - self._balances.keys()

    def balance(self, service: str, at: int) -> Balance | None:
        """Give a service's retail balance of the period at a time, if in memory."""
        plan = self._plans[service]
        span = plan.retail.tariff.span_at(at) if plan.retail else None
        if plan.retail is None or span is None:
            return None
        return self._balances.get(plan.retail.key(span.version.name, span.cut.key))

    def top_up(self, service: str, topup: str, at: int) -> list[Charge] | Unrated:
        """Add to an allowance of the period at a time; give the charges.

        The balance must be open (``open_period``). The last charge is the price; those
        before it take back what use beyond the allowance had cost.
        """
        balance = self.balance(service, at)
        if balance is None or topup not in balance.version.topups:
            return Unrated.NO_VERSION
        place, quantity, config = balance.version.topups[topup]
        balance.topped[place] += quantity
        balance.grant()
        self._counted[balance.id] = balance
        charges: list[Charge] = []
        balance.settle(None, at, service, charges, self._events)
        charges.append(topup_charge(balance, config, service, at))
        return charges

    def changes(self) -> Changes:
        """Give what the batch changed."""
        counted = [b for b in self._counted.values() if b.id not in self._begun]
        begun = list(self._begun.values())
        return Changes(begun, counted, self._samples, self._events)

    def next_batch(self) -> None:
        """Begin the next batch, when it was taken down what this one changed."""
        self._begun, self._counted = {}, {}
        self._samples, self._events = {}, []

    def __len__(self) -> int:
        """Give how many balances are in memory, about 1.5 KiB each."""
        return len(self._balances)

    def start_again(self, next_balance_id: int) -> None:
        """Let go of every balance; any is only loaded again once it is written."""
        self._next_balance_id = next_balance_id
        self._balances.clear()
        for plan in self._plans.values():
            for meter in (plan.retail, plan.wholesale):
                if meter is not None:
                    meter.forget()
