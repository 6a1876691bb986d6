"""Fixed amounts: recurring fees by the day, one-off fees, and the price of a top-up.

A month that a service has only in part costs the difference between two shares of the
fee, up to the day it ends and up to the day it begins, so that the days of a month add
up to the month to the micro-unit, however it is cut. Days are counted, not hours: a day
on which the clocks change costs what any other does.
"""

from __future__ import annotations

from datetime import date

from config.quantities import micro_of
from config.tariffs import Fee, TopUp
from rating.balance import Balance
from rating.charge import Charge, RatingTag
from rating.pricing import share_of
from rating.tariff import CompiledTariff, CompiledVersion, Cut


def fees_of(
    tariff: CompiledTariff,
    service: str,
    day: date,
    billed_from: date | None,
    billed_until: date | None,
) -> list[Charge]:
    """Give a service's fees in the period of a day, as its version has it.

    The service is billed from a day on (None: from always) until a day that is not
    billed any more (None: for ever). A period with two versions is asked for twice, by
    a day of each.
    """
    version = tariff.version_on(day)
    if version is None:
        return []
    cut = tariff.cut_of(day)
    first = max(cut.first, billed_from or cut.first)
    last = min(cut.next, billed_until or cut.next)
    if first >= last:
        return []
    charges = []
    for fee in version.config.fee:
        amount = _amount(tariff, fee, cut, first, last, billed_from)
        if amount is not None:
            part, whole = version.kept(fee.name, cut.first)
            kept = share_of(amount, part, whole)
            charges.append(
                _charge(tariff, version, cut, service, fee.name, kept, first, last)
            )
    return charges


def _amount(
    tariff: CompiledTariff,
    fee: Fee,
    cut: Cut,
    first: date,
    last: date,
    billed_from: date | None,
) -> int | None:
    """Say what a fee comes to between two days of a cut; None where it is not due."""
    amount = micro_of(fee.amount)
    if fee.every == "once":
        return amount if first == billed_from else None
    period = tariff.calendar.period_of(cut.first)
    if not fee.prorate:
        # Once a period, by the version of the first day that is billed.
        due = max(period.first, billed_from or period.first)
        return amount if first == due else None
    upto, before = ((day - period.first).days for day in (last, first))
    return share_of(amount, upto, period.days) - share_of(amount, before, period.days)


def topup_charge(balance: Balance, topup: TopUp, service: str, at: int) -> Charge:
    """Give the price of a top-up that was bought at a time."""
    part, whole = balance.version.kept(topup.name, balance.cut.first)
    amount = share_of(micro_of(topup.price), part, whole)
    return Charge(
        service,
        balance.tariff.name,
        balance.version.name,
        topup.name,
        balance.cut.key,
        RatingTag.USAGE,
        1,
        "fee",
        amount,
        balance.tariff.currency,
        balance.tariff.tax_class,
        at,
        at,
        None,
    )


def _charge(
    tariff: CompiledTariff,
    version: CompiledVersion,
    cut: Cut,
    service: str,
    element: str,
    amount: int,
    first: date,
    last: date,
) -> Charge:
    return Charge(
        service,
        tariff.name,
        version.name,
        element,
        cut.key,
        RatingTag.USAGE,
        1,
        "fee",
        amount,
        tariff.currency,
        tariff.tax_class,
        tariff.calendar.midnight(first),
        tariff.calendar.midnight(last),
        None,
    )
