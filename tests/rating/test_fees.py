"""Fees by the day, addresses lent, peaks of sessions, percentiles."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tariffs_made import SERVICE, ZONES, network, rater_of

from config.quantities import zone_of
from rating.calendar import Calendar
from rating.charge import Charge
from rating.fees import fees_of
from rating.samples import percentile
from rating.tariff import CompiledTariff
from rating.wholesale import Loan, address_seconds, peak_of, wholesale_charges

DAYS = st.dates(date(2025, 1, 1), date(2028, 12, 31))
ONE_DAY = timedelta(days=1)


def tariff_of(version: dict[str, Any], **head: Any) -> CompiledTariff:
    """A compiled tariff with one version."""
    return rater_of(network(version, **head)).tariff("home")


def amounts(charges: list[Charge]) -> list[tuple[str, int]]:
    """What each charge is for, and how much."""
    return [(charge.element, charge.amount) for charge in charges]


FEES = {
    "fee": [
        {"name": "subscription", "amount": "29.90"},
        {"name": "hire", "amount": "5", "prorate": False},
        {"name": "activation", "amount": "25", "every": "once"},
    ]
}


@given(
    DAYS, st.integers(1, 31), st.integers(0, 10**9), st.sampled_from(ZONES), st.data()
)
def test_a_month_is_the_sum_of_its_days_and_of_any_parts(
    day: date, anchor: int, micro: int, zone: str, data: st.DataObject
) -> None:
    """To the micro-unit, whatever the zone's clocks do in between."""
    fee = {"name": "subscription", "amount": f"{micro / 1e6:.6f}"}
    tariff = tariff_of({"fee": [fee]}, anchor_day=anchor, zone=zone)
    cut = tariff.cut_of(day)
    days = [cut.first + n * ONE_DAY for n in range(cut.days + 1)]
    some = data.draw(st.sets(st.sampled_from(days)))
    for cuts in (days, sorted({days[0], *some, days[-1]})):
        parts = [
            charge.amount
            for start, end in pairwise(cuts)
            for charge in fees_of(tariff, SERVICE, day, start, end)
        ]
        assert micro == sum(parts)
        assert all(part >= 0 for part in parts)


@given(DAYS, st.integers(1, 31), st.sampled_from(ZONES))
def test_periods_follow_each_other_without_gap_or_overlap(
    day: date, anchor: int, zone: str
) -> None:
    """Every day is in one period, which begins on the anchor or a month's last day."""
    calendar = Calendar(zone_of(zone), anchor)
    period = calendar.period_of(day)
    assert period.first <= day < period.next
    assert period.next == calendar.period_of(period.next).first
    assert period.first == calendar.period_of(period.next - ONE_DAY).first
    last_of_month = (period.first + ONE_DAY).day == 1
    assert period.first.day == anchor or (last_of_month and period.first.day < anchor)
    assert 27 <= period.days <= 34


@given(DAYS, st.sampled_from(ZONES))
def test_a_day_has_23_to_25_hours_and_its_segments_cover_it(
    day: date, zone: str
) -> None:
    """Segments touch, each with one offset, from midnight to midnight."""
    calendar = tariff_of({}, zone=zone).calendar
    segments = calendar.segments(day)
    assert calendar.midnight(day) == segments[0].start
    assert calendar.midnight(day + ONE_DAY) == segments[-1].end
    assert all(one.end == next_.start for one, next_ in pairwise(segments))
    assert 82_800 <= segments[-1].end - segments[0].start <= 90_000
    for segment in segments:
        assert day == calendar.day_of(segment.start) == calendar.day_of(segment.end - 1)


def test_fees_are_for_the_days_that_a_service_is_billed() -> None:
    """From the 16th: half of November, the hire whole, and the activation once."""
    tariff = tariff_of(FEES)
    november, december = date(2026, 11, 20), date(2026, 12, 20)
    first, last = date(2026, 11, 16), date(2026, 12, 2)
    assert [
        ("subscription", 14_950_000),
        ("hire", 5_000_000),
        ("activation", 25_000_000),
    ] == amounts(fees_of(tariff, SERVICE, november, first, None))
    assert [("subscription", 964_516), ("hire", 5_000_000)] == amounts(
        fees_of(tariff, SERVICE, december, first, last)
    )
    assert [] == fees_of(tariff, SERVICE, date(2027, 1, 5), first, last)
    assert [] == fees_of(tariff, SERVICE, date(2019, 1, 5), None, None)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=12))
def test_the_peak_is_the_most_sessions_that_any_second_sees(
    sessions: list[tuple[int, int]],
) -> None:
    """Second by second, as a person would count."""
    counts = [
        sum(start <= second < end for start, end in sessions)
        for second in range(10, 40)
    ]
    assert max(counts) == peak_of(sessions, 10, 40)


@given(
    st.lists(st.integers(0, 100), max_size=30),
    st.integers(0, 30),
    st.integers(1, 100),
)
def test_a_percentile_is_no_less_than_that_share_of_all_samples(
    values: list[int], absent: int, percent: int
) -> None:
    """The lowest sample that enough samples do not exceed; absent ones are 0."""
    count = len(values) + absent
    if not count:
        return
    height = percentile(values, count, percent)
    everything = values + [0] * absent
    assert 100 * sum(v <= height for v in everything) >= percent * count
    assert 100 * sum(v < height for v in everything) < percent * count


def test_addresses_are_paid_for_by_the_hours_of_their_loan_in_the_period() -> None:
    """256 addresses for 90 minutes and 1 for 30 in November: 384.5 address-hours."""
    loan = {"name": "addresses", "price": "0.002"}
    made = network({}, wholesale={"loan": [loan]})
    tariff = rater_of(made).tariff("access")
    day = date(2026, 11, 5)
    start = tariff.calendar.midnight(date(2026, 11, 1))
    loans = [
        Loan(256, start - 3600, start + 5400),
        Loan(1, start + 100, start + 1900),
        Loan(9, start - 3600, start),
    ]
    charges = wholesale_charges(tariff, day, (), (), loans)
    assert [("addresses", 769_000)] == amounts(charges)
    assert 384.5 * 3600 == charges[0].quantity == address_seconds(loans, start, 2**40)
