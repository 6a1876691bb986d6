"""The rater's laws, and the fast rater against the slow one."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_rater import SlowRater
from tariffs_made import (
    SERVICE,
    STARTS,
    money,
    network,
    quarters,
    rated,
    rater_of,
    tariffs,
    usage,
)

from config.network import Network
from rating.balance import SESSIONS_REMEMBERED
from rating.charge import RatableUsage, RatingTag
from rating.rater import Rater, StoredBalance, Unrated
from rating.rates import NO_DOUBT

GB = 10**9


def parted(records: list[RatableUsage], rng: random.Random) -> list[RatableUsage]:
    """The same use in any number of records, in any order."""
    parts = []
    for record in records:
        start, end = record.started_at, record.ended_at
        count = min(rng.randint(0, 3), end - start - 1)
        cuts = [start, *sorted(rng.sample(range(start + 1, end), count)), end]
        octets = [record.input_octets, record.output_octets]
        for nth, (begun, ended) in enumerate(pairwise(cuts)):
            last = nth == len(cuts) - 2
            taken = [o if last else rng.randint(0, o) for o in octets]
            octets = [o - t for o, t in zip(octets, taken, strict=True)]
            parts.append(
                record._replace(
                    started_at=begun,
                    ended_at=ended,
                    seconds=ended - begun,
                    input_octets=taken[0],
                    output_octets=taken[1],
                )
            )
    rng.shuffle(parts)
    return parts


@given(tariffs(), quarters())
def test_the_fast_rater_charges_what_the_slow_one_does(
    made: Network, records: list[RatableUsage]
) -> None:
    """Windows, zones, holidays, versions, tiers, allowances, caps: all alike."""
    slow = SlowRater(made.tariff[0])
    slow.use(records)
    expected = {
        (period, version, element): amount
        for (period, version), amounts in slow.money().items()
        for element, amount in amounts.items()
        if amount
    }
    assert expected == money(rated(rater_of(made), records))


@given(tariffs(), quarters(), st.randoms(use_true_random=False))
def test_use_costs_the_same_however_it_is_cut_and_in_any_order(
    made: Network, records: list[RatableUsage], rng: random.Random
) -> None:
    """Law 6: to the micro-unit, for each rate of each period."""
    whole = money(rated(rater_of(made), records))
    assert whole == money(rated(rater_of(made), parted(records, rng)))


@given(tariffs(), quarters(), st.randoms(use_true_random=False))
def test_a_rater_that_starts_again_goes_on_where_it_was(
    made: Network, records: list[RatableUsage], rng: random.Random
) -> None:
    """What the database keeps of a balance is all there is to it."""
    whole = money(rated(rater_of(made), records))
    place = rng.randint(0, len(records))
    first = rater_of(made)
    charges = rated(first, records[:place])
    stored = [
        StoredBalance(b.id, b.key, b.memory())
        for b in (*first.changes().begun, *first.changes().counted)
    ]
    second = Rater(next_balance_id=len(stored) + 1)
    second.know(made)
    second.adopt([balance.key for balance in stored], stored)
    charges += rated(second, records[place:])
    assert whole == money(charges)


@given(tariffs(monotone=True), quarters())
def test_more_use_never_costs_less(made: Network, records: list[RatableUsage]) -> None:
    """Where no volume tier makes it all cheaper, no record brings the total down."""
    rater = rater_of(made)
    for record in records:
        assert sum(charge.amount for charge in rated(rater, [record])) >= 0


@given(tariffs(), quarters())
def test_allowances_are_never_negative_and_nothing_is_lost(
    made: Network, records: list[RatableUsage]
) -> None:
    """What charges count is what balances count, and included is what is used up."""
    rater = rater_of(made)
    charges = rated(rater, records)
    for balance in rater.changes().begun:
        used = 0
        for granted, left in zip(balance.granted, balance.remaining(), strict=True):
            assert 0 <= left <= granted
            used += granted - left
        own = [c for c in charges if (c.version, c.period) == balance.key[3:]]
        included = sum(c.quantity for c in own if c.tag is RatingTag.INCLUDED)
        assert used == included == sum(balance.included)
        assert sum(balance.quantities) == sum(c.quantity for c in own)
        assert sum(balance.amounts) == sum(c.amount for c in own)


@given(
    tariffs(),
    st.sampled_from(STARTS),
    st.integers(1, 5 * 86_400),
    st.integers(0, NO_DOUBT // 2),
    st.integers(0, NO_DOUBT // 2),
)
def test_no_octet_is_lost_where_a_record_is_split(
    made: Network, start: int, length: int, octets_in: int, octets_out: int
) -> None:
    """The slots of all periods have what the record had, over days of any length."""
    rater = rater_of(made)
    rated(rater, [usage(start, start + length, octets_in, octets_out)])
    totals = [0, 0, 0, 0]
    for balance in rater.changes().begun:
        for place, value in enumerate(balance.totals):
            totals[place % 4] += value
    assert [length, octets_in, octets_out, 0] == totals


@given(tariffs(), st.sampled_from(STARTS), st.integers(1, 5 * 86_400), st.data())
def test_a_record_cut_where_the_tariff_cuts_costs_what_the_whole_does(
    made: Network, start: int, length: int, data: st.DataObject
) -> None:
    """A NAS that reports at the boundaries and one that does not bill alike."""
    octets = data.draw(st.integers(0, 10**12))
    whole = usage(start, start + length, octets, 3 * octets)
    rater = rater_of(made)
    spans = rater.tariff("home").spans(start, start + length)
    assert spans is not None
    cuts = [start, *[span.end for span in spans[:-1]], start + length]
    parts, before = [], 0
    for begun, ended in pairwise(cuts):
        upto = octets * (ended - start) // length
        upto_out = 3 * octets * (ended - start) // length
        out_before = 3 * octets * (begun - start) // length
        parts.append(usage(begun, ended, upto - before, upto_out - out_before))
        before = upto
    assert money(rated(rater, [whole])) == money(rated(rater_of(made), parts))


BY_SESSION: dict[str, Any] = {
    "window": [{"name": "night", "start": "22:00", "end": "06:00"}],
    "rate": [
        {
            "name": name,
            "measure": "seconds",
            "price": "0.60",
            "per": "1 h",
            "increment": "10 min",
            "minimum": "20 min",
            "counted": "session",
            "connect_fee": "0.05",
            **window,
        }
        for name, window in (("day", {}), ("night", {"window": "night"}))
    ],
}


@given(
    st.lists(
        st.tuples(st.integers(0, 500), st.lists(st.integers(1, 900), min_size=1)),
        min_size=1,
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
def test_a_session_is_rounded_once_however_many_interims_report_it(
    sessions: list[tuple[int, list[int]]], rng: random.Random
) -> None:
    """Increment, minimum and connect fee go by the session, in any order of records."""
    records, whole = [], []
    for nth, (quarter, lengths) in enumerate(sessions):
        start = at = STARTS[0] + quarter * 900
        for length in lengths:
            records.append(
                usage(at, at + length, session_id=nth, session_started_at=start)
            )
            at += length
        whole.append(usage(start, at, session_id=nth))
    made = network(BY_SESSION)
    expected = money(rated(rater_of(made), whole))
    rng.shuffle(records)
    assert expected == money(rated(rater_of(made), records))
    assert 50_000 * len(sessions) <= sum(expected.values())


def test_a_session_that_goes_on_is_not_forgotten_for_those_that_ended() -> None:
    """One reports all the time beside more short ones than are kept: each pays its
    connect fee once."""
    version = {"rate": [rate(name="data", connect_fee="1")]}
    short = range(2, SESSIONS_REMEMBERED + 10)
    start = STARTS[0]
    records = [
        usage(start + nth, start + nth + 1, session_id=each, session_started_at=start)
        for nth in short
        for each in (1, nth)
    ]
    charges = rated(rater_of(network(version)), records)
    assert (1 + len(short)) * 1_000_000 == sum(money(charges).values())


def test_a_day_that_a_zone_skipped_has_no_use_and_loses_none() -> None:
    """Samoa had no 30 December 2011: a record goes on from the 29th to the 31st."""
    made = network(
        {"valid_from": "2011-01-01", "rate": [rate(name="data")]}, zone="Pacific/Apia"
    )
    last = int(datetime(2011, 12, 30, 10, tzinfo=UTC).timestamp())
    charges = rated(rater_of(made), [usage(last - 60, last + 60, 0, 2 * GB)])
    assert 200_000 == sum(charge.amount for charge in charges)


def test_use_before_the_first_version_is_kept_and_not_rated() -> None:
    """Money is never guessed: there is no price for it, and nothing is counted."""
    made = network({"valid_from": "2026-06-01", "rate": [rate(name="data")]})
    rater = rater_of(made)
    record = usage(STARTS[0], STARTS[0] + 600, 1, 1)
    rater.adopt(rater.missing([record]))
    assert rater.rate(record) is Unrated.NO_VERSION
    assert rater.rate(record._replace(service="stranger")) is Unrated.UNKNOWN_SERVICE
    assert rater.changes().begun == rater.changes().counted == []


def rate(**values: Any) -> dict[str, Any]:
    """A rate of 10 cents a GB."""
    return {"measure": "sum", "price": "0.10", "per": "1 GB", **values}


@pytest.mark.parametrize(
    ("price", "gigabytes", "is_rated"),
    [
        ("1", 10**7, True),
        ("1", 10**7 + 1, False),
        ("9000", 111_111, True),
        ("9000", 111_112, False),
        ("1", -(10**7), True),
        ("1", -(10**7) - 1, False),
    ],
)
def test_a_record_has_what_a_line_carries_and_an_entry_has_room_for(
    price: str, gigabytes: int, *, is_rated: bool
) -> None:
    """10 PB, or a thousand million of the currency; more is kept and not rated, and so
    is the correction that takes it back."""
    rater = rater_of(network({"rate": [rate(name="data", price=price)]}))
    record = usage(STARTS[0], STARTS[0] + 600, GB, (gigabytes - 1) * GB)
    rater.adopt(rater.missing([record]))
    assert (rater.rate(record) is not Unrated.TOO_MUCH) == is_rated


def test_both_tariffs_rate_a_record_or_neither_does() -> None:
    """Wholesale without a version in force leaves retail uncharged too."""
    made = network(
        {"rate": [rate(name="data")]},
        wholesale={"valid_from": "2030-01-01", "rate": [rate(name="transport")]},
    )
    rater = rater_of(made)
    record = usage(STARTS[0], STARTS[0] + 600, GB, GB)
    rater.adopt(rater.missing([record]))
    assert rater.rate(record) is Unrated.NO_VERSION
    assert rater.changes().begun == []


def test_wholesale_tiers_are_for_all_of_an_isps_services_together() -> None:
    """Each service's use takes the ISP's total on."""
    names = [SERVICE, "aurora-102"]
    made = network(
        {"rate": [rate(name="data")]},
        services=[{"name": name} for name in names],
        wholesale={
            "rate": [rate(name="transport", tiers=[{"above": "1 GB", "price": "0.05"}])]
        },
    )
    rater = rater_of(made)
    amounts = []
    for name in names:
        record = usage(STARTS[0], STARTS[0] + 600, 0, GB, service=name)
        rater.adopt(rater.missing([record]))
        result = rater.rate(record)
        assert not isinstance(result, Unrated)
        amounts.append([charge.amount for charge in result.wholesale])
    assert [[100_000], [50_000]] == amounts
