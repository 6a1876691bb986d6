"""What a percentile, a peak of sessions or the hours of loans was worked out from.

It is worked out again, by what charged it (``services.period_shape``), and what comes
out is told beside what was booked: use that came later, and whatever else has changed
since, shows as a difference, and is never shown in place of what was charged. A month
has 8,928 samples and an ISP any number of sessions: those that decided are given, and
how many there are; with ``whole`` all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nlargest
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row

from config.network import Network
from config.tariffs import PercentileRate
from rating.entry import NETWORK, Entry, Kind, Source
from rating.posting import Line
from rating.samples import SAMPLE_SECONDS, Samples, add_to_samples, rank_of
from rating.tariff import CompiledTariff
from rating.wholesale import (
    OCTETS,
    Peak,
    address_seconds,
    height_of,
    part_of,
    peak_in,
)
from services.isp_sessions import open_at, sessions_of
from services.packets_behind import Journals, Packet, packets_behind
from services.period_shape import name_of_loan, owed_for, traffic_of
from storage.balances import timed_samples_of
from storage.loans import loan_of, rows_of_loans_to
from storage.session_rows import ratable_of
from storage.usage_queries import rated_usage_over

_AROUND: Final = 3
"""Samples that are shown on either side of the one that decided."""

_RECORDS: Final = 5
"""Usage records that are shown of a sample, with their packets."""

_LISTED: Final = 20
"""Sessions and loans that are shown."""


class Ranked(NamedTuple):
    """A sample: its place from the lowest, when it starts, and what was measured."""

    rank: int
    started_at: int
    input_octets: int
    output_octets: int
    octets: int


class Behind(NamedTuple):
    """A usage record in a sample, the octets of it that are, and its packets."""

    usage: dict[str, Any]
    octets: int
    packets: list[Packet]


class Percentile(NamedTuple):
    """How a percentile came about: of ``samples``, ``discarded`` are above it.

    ``measured`` is in, out or sum. Without a ``decisive`` sample it is one in which
    nothing was used. ``shown`` are samples in order of rank; ``records`` the largest of
    ``records_in_all`` of the decisive one, which together have ``octets_kept`` of it.
    """

    percent: int
    measured: str
    samples: int
    discarded: int
    bits_per_second: int
    decisive: Ranked | None
    shown: list[Ranked]
    records: list[Behind]
    records_in_all: int
    octets_kept: int


class Together(NamedTuple):
    """The peak, with sessions that were open at it."""

    peak: Peak
    sessions: list[dict[str, Any]]


class Lent(NamedTuple):
    """A loan within the period: its block, whose it was, and its address-seconds."""

    number: int
    first: int
    last: int
    owner: str
    borrower: str
    price: str
    lent_at: int
    returned_at: int
    address_seconds: int


class Shape(NamedTuple):
    """What is behind a charge, and what it comes to by that now, which is what was
    booked unless ``has_changed``. One of the last three is there."""

    quantity: int
    amount: int
    has_changed: bool
    percentile: Percentile | None
    together: Together | None
    loans: list[Lent]
    loans_in_all: int


def is_of_shape(entry: Entry, line: Line) -> bool:
    """Say whether a charge is for the shape of an ISP's use in a period."""
    units = ("bits_per_second", "sessions", "address_seconds")
    return entry.book.source == Source.FEE and line.unit in units


def shape_behind(
    connection: Connection,
    network: Network,
    journals: Journals,
    entry: Entry,
    line: Line,
    gone: list[str],
    *,
    whole: bool,
) -> Shape | None:
    """Look up what a charge of an entry was worked out from; None without its tariff.

    Raises JournalError when a journal cannot be read.
    """
    named = entry.book.wholesale_tariff or entry.book.tariff
    name, _, version = named.partition("@")
    found = next((t for t in network.tariff if t.name == name), None)
    if found is None or all(v.valid_from != version for v in found.version):
        if entry.book.kind == Kind.LOAN:  # of others it is said with their rate
            gone.append(f"loans: the network has no {named} any more, nor its periods")
        return None
    tariff, isp = CompiledTariff(found), entry.book.tenant
    start, end = line.started_at, line.ended_at
    part = part_of(tariff, tariff.calendar.day_of(start), start, end)
    assert part is not None  # it has the day on which the charge begins
    traffic = traffic_of(connection, isp, start, end)
    lender = entry.book.party if entry.book.kind == Kind.LOAN else None
    now = next(
        (
            owed.charge
            for owed in owed_for(connection, isp, tariff, part, traffic)
            if (owed.charge.element, owed.lender) == (line.element, lender)
        ),
        None,
    )
    percentile = together = None
    loans: list[Lent] = []
    if line.unit == "bits_per_second":
        in_force = tariff.version_on(part.first)
        rates = () if in_force is None else in_force.config.percentile
        for rate in (rate for rate in rates if rate.name == line.element):
            timed = list(timed_samples_of(connection, isp, start, end))
            percentile = _percentile(rate, timed, (end - start) // SAMPLE_SECONDS)
            percentile = _with_records(
                connection, isp, journals, percentile, gone, whole=whole
            )
    elif line.unit == "sessions":
        peak = peak_in(sessions_of(connection, isp, start, end), start, end)
        limit = None if whole else _LISTED
        some = open_at(connection, isp, peak.since, limit) if peak.sessions else []
        together = Together(peak, some)
    else:
        rows_ = rows_of_loans_to(connection, isp, start, end)
        loans = list(_lent(rows_, line.element, lender, start, end))
    quantity, amount = (now.quantity, now.amount) if now is not None else (0, 0)
    return Shape(
        quantity,
        amount,
        (quantity, amount) != (line.quantity, line.amount),
        percentile,
        together,
        loans if whole else loans[:_LISTED],
        len(loans),
    )


def _percentile(
    rate: PercentileRate, timed: list[tuple[int, int, int]], count: int
) -> Percentile:
    """Give all samples that are there by their rank, and the one that decided."""
    octets, way = height_of(rate, [sample[1:] for sample in timed], count)
    measured = sorted((OCTETS[way](s[1:]), *s) for s in timed)
    lowest = count - len(measured) + 1  # below are those in which nothing was used
    ranked = [
        Ranked(rank, at, i, o, its)
        for rank, (its, at, i, o) in enumerate(measured, start=lowest)
    ]
    rank = rank_of(count, rate.percentile)
    decisive = ranked[rank - lowest] if rank >= lowest else None
    assert octets == (0 if decisive is None else decisive.octets)
    bits = octets * 8 // SAMPLE_SECONDS
    return Percentile(
        rate.percentile, way, count, count - rank, bits, decisive, ranked, [], 0, 0
    )


def _with_records(
    connection: Connection,
    isp: str,
    journals: Journals,
    found: Percentile,
    gone: list[str],
    *,
    whole: bool,
) -> Percentile:
    decisive = found.decisive
    rank = found.samples - found.discarded if decisive is None else decisive.rank
    near = [s for s in found.shown if whole or abs(s.rank - rank) <= _AROUND]
    if decisive is None:
        return found._replace(shown=near)
    at = decisive.started_at
    rows = rated_usage_over(connection, isp, at, at + SAMPLE_SECONDS)
    count = kept = 0

    def shares() -> Iterator[tuple[int, int, Row[Any]]]:
        nonlocal count, kept
        for row in rows:
            octets = _share(row, at, found.measured)
            count, kept = count + 1, kept + octets
            yield octets, -row.id, row

    some = nlargest(_RECORDS, shares())
    behind = []
    for octets, _, row in some:
        used = dict(row._mapping)
        missing: list[str] = []
        if row.rolled_up:
            missing.append(f"usage record {row.id} is rolled up: others are in it")
            packets = []
        else:
            packets = packets_behind(journals, used, used, missing)
        gone += [word for word in missing if word not in gone]
        behind.append(Behind(used, octets, packets))
    if kept != decisive.octets:
        gone.append(
            f"usage records: those that are kept have {kept} octets of the"
            f" {decisive.octets} in the sample"
        )
    return found._replace(
        shown=near, records=behind, records_in_all=count, octets_kept=kept
    )


def _share(row: Row[Any], at: int, measured: str) -> int:
    """Give what of a usage record is in the sample that starts at a time."""
    samples: Samples = {}
    used = ratable_of(row, row.service or "", row.session_started_at)
    add_to_samples(samples, "", used)
    octets_in, octets_out = samples.get(("", at), (0, 0))
    return OCTETS[measured]((octets_in, octets_out))


def _lent(
    rows: Iterable[Row[Any]], element: str, lender: str | None, start: int, end: int
) -> Iterator[Lent]:
    for row in rows:
        if lender is None:
            is_its = row.tenant == NETWORK
        else:
            is_its = name_of_loan(row.tenant, row.price) == element
        if is_its:
            loan = loan_of(row, end)
            yield Lent(
                row.number,
                row.first,
                row.last,
                row.tenant,
                row.borrower,
                row.price,
                max(loan.lent_at, start),
                min(loan.returned_at, end),
                address_seconds([loan], start, end),
            )
