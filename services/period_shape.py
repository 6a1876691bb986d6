"""What an ISP owes for the shape of its use in a period, from what is kept of it.

The charging and the explaining of a charge come here both: so what is shown is worked
out by what booked it. Traffic is read as samples, sessions as spans, loans by who lent
and how dear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection

from config.quantities import micro_of
from rating.charge import Charge, RatingTag
from rating.entry import NETWORK
from rating.pricing import share_of
from rating.tariff import CompiledTariff, Cut
from rating.wholesale import Loan, address_seconds, span_of, wholesale_charges
from services.isp_sessions import sessions_of
from storage.balances import samples_of
from storage.loans import LentBy, loans_to

_AMOUNT: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")


class Owed(NamedTuple):
    """A charge, and the ISP that it is owed to; None is the Network Provider."""

    charge: Charge
    lender: str | None


class Traffic(NamedTuple):
    """An ISP's samples and loans in a span; whether it has any, it had a part."""

    samples: Sequence[tuple[int, int]]
    loans: Mapping[LentBy, Sequence[Loan]]


def traffic_of(connection: Connection, isp: str, start: int, end: int) -> Traffic:
    """Read what an ISP's percentiles and loans are worked out from."""
    samples = list(samples_of(connection, isp, start, end))
    return Traffic(samples, loans_to(connection, isp, start, end))


def owed_for(
    connection: Connection,
    isp: str,
    tariff: CompiledTariff,
    part: Cut,
    traffic: Traffic,
) -> list[Owed]:
    """Give what an ISP owes by a tariff for a part of a period, ``traffic`` of which is
    known."""
    start, end = span_of(tariff, part.first, part)
    reserve = [
        loan
        for lent_by, some in traffic.loans.items()
        if lent_by.lender == NETWORK
        for loan in some
    ]
    charges = wholesale_charges(
        tariff,
        part.first,
        traffic.samples,
        sessions_of(connection, isp, start, end),
        reserve,
        part,
    )
    return [Owed(charge, None) for charge in charges] + [
        *_lent(tariff, part, traffic.loans)
    ]


def name_of_loan(lender: str, price: str) -> str:
    """Give the element of a charge for what an ISP lent at a price."""
    return f"addresses of {lender} at {price}"


def _lent(
    tariff: CompiledTariff, part: Cut, loans: Mapping[LentBy, Sequence[Loan]]
) -> Iterator[Owed]:
    """Give what other ISPs are owed for their addresses, at the price of the loan: an
    amount for an address and hour. Other words are an agreement that is not ours."""
    start, end = span_of(tariff, part.first, part)
    version = tariff.version_on(part.first)
    assert version is not None
    for (lender, price), some in loans.items():
        if lender == NETWORK or not _AMOUNT.fullmatch(price):
            continue
        lent = address_seconds(some, start, end)
        charge = Charge(
            "",
            tariff.name,
            version.name,
            name_of_loan(lender, price),
            part.key,
            RatingTag.USAGE,
            lent,
            "address_seconds",
            share_of(micro_of(price), lent, 3600),
            tariff.currency,
            tariff.tax_class,
            start,
            end,
            None,
        )
        yield Owed(charge, lender)
