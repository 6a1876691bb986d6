"""What a holder has used in a period, and what that costs: a function of the totals.

Law 6. The money of a period is computed from the totals of use by slot and from what
was granted, never from records: a record's charges are the value after it less the
value before it, so they add up to the same however the use was cut and in whatever
order it came. Where several rates compete for an allowance or a cap, they get it in the
order that the tariff lists them, not in the order of arrival.

A top-up counts for the whole period that it is bought in. What rolls over is
``rating.rollover``'s matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from rating.charge import Charge, RatableUsage, RatingTag
from rating.pricing import share_of
from rating.quota import QuotaEvent, alerts, told
from rating.rates import COUNTERS, DirectRate, Totals
from rating.tariff import CompiledTariff, CompiledVersion, Cut

SESSIONS_REMEMBERED = 4096
"""A period's sessions whose own totals are kept, where a rate goes by them: a line
that reconnects each ten minutes all month. Of more, those that have not reported for
longest are forgotten, and what they still report counts as a new session's."""

_USAGE, _INCLUDED, _BEYOND = RatingTag
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


Taken = tuple[RatingTag, int, int]
"""What a record took of a rate: how it counts, the quantity, the amount."""


class BalanceKey(NamedTuple):
    """Whose use is added up, by which version, in which period.

    ``holder`` is ``service/NAME``, ``account/NAME`` for what services share, or
    ``isp/NAME`` for wholesale; names have no slash. ``tenant`` is the ISP's name.
    """

    tenant: str
    holder: str
    tariff: str
    version: str
    period: str


class Balance:
    """Running totals of a holder in a period, and the money they come to.

    ``rolled``, ``topped`` and ``moved`` say of each allowance what came from the period
    before, what was bought, and what went to the period after. ``quantities``,
    ``included`` and ``amounts`` are by rate, and follow from the rest. Until it is
    settled, a balance that ``is_cut_anew`` may not be used directly.
    """

    __slots__ = (
        "_alerts",
        "_days",
        "_keeps",
        "_labels",
        "_left",
        "amounts",
        "counted",
        "cut",
        "granted",
        "id",
        "included",
        "is_cut_anew",
        "key",
        "moved",
        "quantities",
        "rolled",
        "sessions",
        "tariff",
        "told",
        "topped",
        "totals",
        "version",
    )

    def __init__(
        self,
        balance_id: int,
        key: BalanceKey,
        tariff: CompiledTariff,
        version: CompiledVersion,
        cut: Cut,
    ) -> None:
        rates, allowances = len(version.rates), len(version.allowances)
        self.id = balance_id
        self.key = key
        self.tariff = tariff
        self.version = version
        self.cut = cut
        self.totals: Totals = [0] * (COUNTERS * len(version.slots))
        self.counted = [0] * rates
        self.rolled = [0] * allowances
        self.topped = [0] * allowances
        self.moved = [0] * allowances
        self.sessions: dict[int, Totals] = {}
        self.told = [0] * len(version.quotas)
        self.quantities = [0] * rates
        self.included = [0] * rates
        self.amounts = [0] * rates
        self._keeps = version.keeps(cut.first)
        names = tariff.name, version.name, cut.key
        self._labels = (*names, tariff.currency, tariff.tax_class)
        self._days = cut.days
        self.is_cut_anew = False
        self.grant()

    def grant(self) -> None:
        """Take notice of what was rolled over, topped up or moved on."""
        self._grant(self.cut.days)

    def _grant(self, days: int) -> None:
        self.granted = [
            (
                allowance.quantity * days // self.cut.of_days
                if allowance.prorate
                else allowance.quantity
            )
            + self.rolled[at]
            + self.topped[at]
            - self.moved[at]
            for at, allowance in enumerate(self.version.allowances)
        ]
        self._left = self._allocate(self.quantities)[1]
        self._alerts = alerts(self)

    def remaining(self) -> Sequence[int]:
        """Give what is left of each allowance; never less than nothing."""
        return self._left

    def left_now(self) -> Sequence[int]:
        """Give what is left with all use in it that is not settled yet."""
        return self._allocate(self._counts())[1]

    def use(self, usage: RatableUsage, shares: Sequence[tuple[int, Totals]]) -> None:
        """Add the shares of a record to their slots, and to its session's where kept.

        ``settle`` then says what that costs.
        """
        totals = self.totals
        for slot, share in shares:
            for counter, value in enumerate(share, slot * COUNTERS):
                totals[counter] += value
        if self.version.by_session:
            self._use_by_session(usage, shares)

    def settle_directly(
        self,
        direct: Sequence[DirectRate],
        usage: RatableUsage,
        charges: list[Charge],
    ) -> bool:
        """Settle a record of one slot that was added, where its rates alone can be;
        False says that ``settle`` is still to be called."""
        for rate in direct:
            taken = self.take(rate)
            if taken is None:
                return False
            if taken:
                charges.append(self.charge(rate, taken, usage))
        return True

    def take(self, rate: DirectRate) -> Taken | tuple[()] | None:
        """Bring one rate up to the totals where that needs no look at the others.

        That is while it stays within an allowance, or depends on nothing but its own
        use: nearly always. Empty says that it has no more use than before, None that
        ``settle`` has to be called.
        """
        place, counted, price, allowance, plain = rate[:5]
        quantity = counted(self.totals)
        before = self.quantities[place]
        more = quantity - before
        if not more:
            return ()
        if allowance >= 0:
            left = self._left
            rest = left[allowance] - more
            if self.included[place] == before and rest > self._alerts[allowance]:
                left[allowance] = rest
                self.included[place] = self.quantities[place] = quantity
                return _INCLUDED, more, 0
            if not plain or left[allowance] or self.moved[allowance]:
                return None
            tag, amount = _BEYOND, price(quantity - self.included[place])
        elif plain and allowance == -1:
            tag, amount = _USAGE, price(quantity)
        else:
            return None
        owed = amount - self.amounts[place]
        self.amounts[place] = amount
        self.quantities[place] = quantity
        return tag, more, owed

    def charge(self, rate: DirectRate, taken: Taken, usage: RatableUsage) -> Charge:
        """Make the charge of what a record took of a rate."""
        tariff, version, period, currency, tax_class = self._labels
        tag, quantity, amount = taken
        return Charge(
            usage.service,
            tariff,
            version,
            rate.element,
            period,
            tag,
            quantity,
            rate.unit,
            amount,
            currency,
            tax_class,
            usage.started_at,
            usage.ended_at,
            usage.usage_id,
        )

    def _use_by_session(
        self, usage: RatableUsage, shares: Sequence[tuple[int, Totals]]
    ) -> None:
        own = self.sessions.pop(usage.session_id, None)
        is_new = own is None
        own = self.sessions[usage.session_id] = own or [0] * len(self.totals)
        if is_new:
            self._connect(usage.session_started_at)
            if len(self.sessions) > SESSIONS_REMEMBERED:
                del self.sessions[next(iter(self.sessions))]
        rates = [
            (at, rate)
            for at, rate in enumerate(self.version.rates)
            if rate.by_session and not rate.connects
        ]
        before = [rate.rounded(rate.measured(own)) for _, rate in rates]
        for slot, share in shares:
            for counter, value in enumerate(share, slot * COUNTERS):
                own[counter] += value
        for (at, rate), was in zip(rates, before, strict=True):
            self.counted[at] += rate.rounded(rate.measured(own)) - was

    def _connect(self, started_at: int) -> None:
        """Count a session at the rates whose time it began in, if in this period."""
        span = self.tariff.span_at(started_at)
        if span is None or span.version is not self.version or span.cut != self.cut:
            return
        for at, rate in enumerate(self.version.rates):
            if rate.connects and span.slot in rate.slots:
                self.counted[at] += 1

    def settle(
        self,
        usage: RatableUsage | None,
        at: int,
        service: str,
        charges: list[Charge],
        events: list[QuotaEvent],
    ) -> None:
        """Bring the money up to the totals; append what that changed.

        ``at`` is when, for what no usage record caused.
        """
        moved = self._settle_all(usage, at, service, charges)
        if self.is_cut_anew:
            self._days, self.is_cut_anew = self.cut.days, False
        # Without usage it is a top-up, and ``grant`` has moved what is left already.
        if self.version.quotas and (moved or usage is None):
            events += told(self, usage, at, service)
            self._alerts = alerts(self)

    def _settle_all(
        self,
        usage: RatableUsage | None,
        at: int,
        service: str,
        charges: list[Charge],
    ) -> bool:
        rates = self.version.rates
        quantities = self._counts()
        included, left = self._allocate(quantities)
        amounts = [
            share_of(rate.price(quantity - free), *keep)
            for rate, quantity, free, keep in zip(
                rates, quantities, included, self._keeps, strict=True
            )
        ]
        for cap in self.version.caps:
            room = cap.amount
            for place in cap.rates:
                amounts[place] = min(amounts[place], room)
                room -= amounts[place]
        moved = left != self._left
        self._left = left
        for place in range(len(rates)):
            now = quantities[place], included[place], amounts[place]
            self._charge(place, *now, usage, at, service, charges)
        return moved

    def _counts(self) -> list[int]:
        """Give what each rate counts of all that was used, settled or not."""
        return [
            self.counted[place]
            if rate.by_session
            else rate.rounded(rate.measured(self.totals))
            for place, rate in enumerate(self.version.rates)
        ]

    def _allocate(self, quantities: Sequence[int]) -> tuple[list[int], list[int]]:
        """Give what of each quantity is included, and what allowances have left."""
        included = [0] * len(quantities)
        left = list(self.granted)
        for at, allowance in enumerate(self.version.allowances):
            for place in allowance.rates:
                taken = min(left[at], quantities[place] - included[place])
                included[place] += taken
                left[at] -= taken
        return included, left

    def _charge(
        self,
        place: int,
        quantity: int,
        included: int,
        amount: int,
        usage: RatableUsage | None,
        at: int,
        service: str,
        charges: list[Charge],
    ) -> None:
        """Append what became of one rate, in one line or, at an edge, in two."""
        more_included = included - self.included[place]
        more = quantity - self.quantities[place] - more_included
        owed = amount - self.amounts[place]
        if not more_included and not more and not owed:
            return
        self.quantities[place] = quantity
        self.included[place] = included
        self.amounts[place] = amount
        rate = self.version.rates[place]
        tariff, version, period, currency, tax_class = self._labels
        beyond = _BEYOND if rate.allowances else _USAGE
        if usage is not None:
            start, end, usage_id = usage.started_at, usage.ended_at, usage.usage_id
        else:
            start, end, usage_id = at, at, None
        charges += [
            Charge(
                service,
                tariff,
                version,
                rate.element,
                period,
                tag,
                part,
                rate.unit,
                amount,
                currency,
                tax_class,
                start,
                end,
                usage_id,
            )
            for tag, part, amount in (
                (_INCLUDED, more_included, 0),
                (beyond, more, owed),
            )
            if part or amount
        ]

    def memory(self) -> bytes:
        """Pack what does not follow from the tariff, for the database."""
        grants = (self.rolled, self.topped, self.moved)
        both = self.totals, self.counted
        return _encode((*both, *grants, self.told, self.sessions, self._days))

    def remember(self, packed: bytes) -> None:
        """Unpack what ``memory`` packed, and settle without a charge."""
        state: list[Any] = _decode(packed)
        self.totals, self.counted, *grants = state[:5]
        self.rolled, self.topped, self.moved = grants
        self.told, self.sessions, *days = state[5:]
        self._days = days[0] if days else self.cut.days
        self._grant(self._days)
        self._settle_all(None, 0, "", [])
        if self._days != self.cut.days:
            # A version announced since has cut the period, and with it what it grants:
            # what that changes is owed with the next use.
            self.grant()
            self.is_cut_anew = True
