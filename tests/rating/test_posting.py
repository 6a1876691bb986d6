"""Charges into legs, and what is levied on them: sums, months, and no order."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_network import NOVEMBER, ZONES, charge
from tariffs_made import network, rater_of, usage

from rating.entry import Book, Kind, Source
from rating.levies import Basis, Cut, bases_of, levied, levy, total_of
from rating.months import booked_in, following, span_at, span_of
from rating.posting import Poster, UnknownTariffError, detail_of
from rating.rater import Rated

AMOUNTS = st.integers(-(10**9), 10**9)
CUT = Cut(2_500, 1_000, 500)


def basis(kind: Kind = Kind.BSP_USAGE, *, wholesale: bool = False) -> Basis:
    """What is levied on filmhouse's or aurora's charges."""
    common = ("aurora", "UTC", "2026-11", kind.value, "filmhouse", "standard", "EUR")
    return Basis(*common, wholesale)


@given(st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=20))
def test_every_posting_sums_to_zero(amounts: list[tuple[int, int]]) -> None:
    """Whatever was charged, and the charges are all in the legs."""
    poster = Poster(ZONES, {})
    for number, (retail, wholesale) in enumerate(amounts, start=1):
        poster.usage(
            "aurora",
            [charge(retail, usage_id=number)],
            [charge(wholesale, tariff="wholesale", usage_id=number)],
        )
    rows = [row for some in poster.take().values() for row in some]
    assert all(sum(row[1:6]) == 0 for row in rows)
    assert -sum(r for r, _ in amounts) == sum(row[1] for row in rows)
    assert sum(w for _, w in amounts) == sum(row[4] for row in rows)


@given(
    st.sampled_from([(Kind.BSP_USAGE, False), (Kind.ACCESS, True), (Kind.LOAN, False)]),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=12),
    st.randoms(),
)
def test_levies_do_not_depend_on_how_often_they_are_taken(
    what: tuple[Kind, bool], parts: list[int], random: object
) -> None:
    """Taken after each part they add up to one levy on the whole, and asked again for
    the same total there is nothing more (law 6)."""
    its_basis = basis(what[0], wholesale=what[1])
    total, so_far = 0, (0, 0, 0, 0, 0)
    for part in parts:
        total += part
        more = levied(its_basis, CUT, "s", total, so_far, NOVEMBER)
        if more is not None:
            assert sum(more[1:6]) == 0
            s, i, p, n, t = (a + b for a, b in zip(so_far, more[1:6], strict=True))
            so_far = s, i, p, n, t
        assert levied(its_basis, CUT, "s", total, so_far, NOVEMBER) is None
    assert levy(its_basis, CUT, sum(parts)) == so_far


def test_a_combined_entry_is_the_basis_of_both_taxes() -> None:
    """The ISP's on what its subscriber was charged, the Network Provider's on its."""
    poster = Poster(ZONES, {})
    poster.usage("aurora", [charge(1000)], [charge(300, tariff="wholesale")])
    ((book, (row,)),) = poster.take().items()
    assert {True: 300, False: 1000} == {
        b.wholesale: total_of(b, row[1:6]) for b in bases_of(book)
    }
    assert [] == list(bases_of(book._replace(source=Source.PERIOD)))


def test_charges_of_two_months_are_booked_in_each() -> None:
    """A record over midnight of the tariff's zone, not of UTC, makes two entries."""
    before = int(datetime(2026, 11, 30, 22, 55, tzinfo=UTC).timestamp())
    behind = int(datetime(2026, 11, 30, 23, 5, tzinfo=UTC).timestamp())
    poster = Poster(ZONES, {})
    poster.usage("aurora", [charge(5, at=before), charge(7, at=behind)], [])
    taken = {
        book.month: [row[2] for row in rows] for book, rows in poster.take().items()
    }
    assert {"2026-11": [5], "2026-12": [7]} == taken


def test_the_charges_stay_with_their_entry() -> None:
    """Peak and off-peak of one record are one posting with two lines."""
    poster = Poster(ZONES, {})
    poster.usage("aurora", [charge(5), charge(7, element="night", tag="usage")], [])
    ((_, (row,)),) = poster.take().items()
    assert [("volume", 5), ("night", 7)] == [
        (line.element, line.amount) for line in detail_of(row[-1]).lines
    ]


def test_other_currencies_are_other_entries() -> None:
    """Legs of one entry are in one currency."""
    poster = Poster(ZONES, {})
    poster.usage("aurora", [charge(5)], [charge(2, tariff="wholesale", currency="NOK")])
    assert {"EUR", "NOK"} == {book.currency for book in poster.take()}


def test_money_by_an_unknown_tariff_is_never_guessed() -> None:
    """It is an error before anything is booked."""
    with pytest.raises(UnknownTariffError, match="absent"):
        Poster(ZONES, {}).usage("aurora", [charge(1, tariff="absent")], [])


@pytest.mark.parametrize(
    ("month", "next_month"), [("2026-11", "2026-12"), ("2026-12", "2027-01")]
)
def test_months_follow_one_another(month: str, next_month: str) -> None:
    """Over the year's end too; each ends where the next begins."""
    assert next_month == following(month)
    assert span_of("Europe/Oslo", next_month).starts_at == (
        span_of("Europe/Oslo", month).ends_at
    )


def test_a_month_is_longer_by_an_hour_when_clocks_go_back() -> None:
    """October of Oslo has 31 days and an hour."""
    span = span_of("Europe/Oslo", "2026-10")
    assert 31 * 86_400 + 3600 == span.ends_at - span.starts_at
    assert span == span_at("Europe/Oslo", span.ends_at - 1)


def test_closing_moves_what_is_late_to_the_first_open_month() -> None:
    """Not to its own, and not for another zone or tenant."""
    closed = {("aurora", "UTC"): "2026-11"}
    assert "2026-12" == booked_in(closed, "aurora", "UTC", "2026-09")
    assert "2026-12" == booked_in(closed, "aurora", "UTC", "2026-12")
    assert "2026-09" == booked_in(closed, "borealis", "UTC", "2026-09")


def test_books_name_what_their_entries_have_in_common() -> None:
    """A fee is told from use, a loan has its lender, a BSP's use its BSP."""
    poster = Poster(ZONES, {})
    poster.fees("aurora", [charge(9, usage_id=None)])
    poster.fees(
        "aurora", [charge(4, tariff="wholesale", usage_id=None)], wholesale=True
    )
    poster.loan("aurora", "borealis", [charge(3, tariff="wholesale", usage_id=None)])
    poster.bsp_usage("aurora", "filmhouse", [charge(8, tariff="films")])
    found = {
        (b.kind, b.source, b.party): rows[0][1:6] for b, rows in poster.take().items()
        if b.tariff
    }  # fmt: skip
    assert {
        ("access", "fee", ""): (-9, 9, 0, 0, 0),
        ("loan", "fee", "borealis"): (0, -3, 3, 0, 0),
        ("bsp_usage", "bsp_usage", "filmhouse"): (-8, 0, 8, 0, 0),
    } == found
    assert Book._fields[:3] == ("tenant", "zone", "month")


def test_use_that_took_no_time_is_of_one_month() -> None:
    """It is of the second that it names: rated by the month that it is booked in."""
    rate = {"name": "data", "measure": "sum", "price": "1", "per": "1 GB"}
    midnight = int(datetime(2026, 12, 1, tzinfo=ZoneInfo("Europe/Berlin")).timestamp())
    rater, record = (
        rater_of(network({"rate": [rate]})),
        usage(midnight, midnight, 10**9),
    )
    rater.adopt(rater.missing([record]))
    outcome = rater.rate(record)
    assert isinstance(outcome, Rated)
    poster = Poster({"home": "Europe/Berlin"}, {})
    poster.usage("aurora", *outcome, midnight)
    assert [book.month for book in poster.take()] == ["2026-12"]
    assert [line.period for line in outcome.retail] == ["2026-12-01"]
