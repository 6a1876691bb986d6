"""The direct way of an ordinary record against the way of every record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import assume, given
from hypothesis import strategies as st
from tariffs_made import (
    QUARTER,
    STARTS,
    document,
    in_quarters,
    network,
    rates,
    usage,
    versions,
)

from config.network import Network
from config.network_checks import find_conflicts
from rating.charge import RatableUsage
from rating.direct import Direct, DirectRater
from rating.entry import Book
from rating.posting import Poster, Row
from rating.rater import Changes, Rated, Unrated

GB = 10**9
Rate = Callable[[DirectRater, RatableUsage], Direct | Rated | Unrated]


@st.composite
def plain(draw: st.DrawFn) -> dict[str, Any]:
    """A version of one rate, and perhaps an allowance with a quota on it."""
    measure = draw(st.sampled_from(["in", "out", "sum", "seconds"]))
    rate = draw(rates(None, measure, 'data "\u00f6"'))
    if measure == "seconds":
        rate = {"name": rate["name"], "measure": measure, "price": "1", "per": "1 min"}
    made: dict[str, Any] = {"rate": [rate]}
    if measure != "seconds" and draw(st.booleans()):
        size = {"quantity": "1 MB", "rates": [rate["name"]]}
        made["allowance"] = [{"name": "included", **size}]
        thresholds = {"allowance": "included", "thresholds": [40]}
        made["quota"] = [{"name": "fair", **thresholds}] * draw(st.integers(0, 1))
    return made


@st.composite
def both(draw: st.DrawFn) -> Network:
    """A network with a retail and a wholesale tariff, mostly of the plain kind."""
    some = st.sampled_from([plain, plain, plain, versions])
    retail, wholesale = draw(draw(some)()), draw(draw(some)())
    made = document(retail, wholesale=wholesale)
    made["tariff"][1]["zone"] = draw(st.sampled_from(["Europe/Berlin", "UTC"]))
    assume(not find_conflicts(made))
    return msgspec.convert(made, Network)


@st.composite
def crowded(draw: st.DrawFn) -> list[RatableUsage]:
    """Records of one service, most of them in the same few quarter hours."""
    octets = st.integers(0, 300_000)
    places = st.sampled_from([8, 8, 9, 94, 94, 96, 97, 97])
    records = st.tuples(places, octets, octets, st.just(QUARTER))
    drawn = draw(st.lists(records, min_size=6, max_size=20))
    return in_quarters(draw(st.sampled_from(STARTS)), drawn)


def booked(
    made: Network, records: Sequence[RatableUsage], rate: Rate
) -> tuple[dict[Book, list[Row]], Changes, list[tuple[int, bytes]]]:
    """What records are posted as, what they changed, and what balances remember."""
    rater = DirectRater(next_balance_id=1)
    rater.know(made)
    poster = Poster({tariff.name: tariff.zone for tariff in made.tariff}, {})
    for record in records:
        rater.adopt(rater.missing([record]))
        outcome = rate(rater, record)
        if isinstance(outcome, Rated):
            poster.usage("aurora", *outcome, record.started_at)
        elif isinstance(outcome, tuple):
            poster.direct("aurora", record, *outcome)
    changes = rater.changes()
    kept = [(b.id, b.memory()) for b in (*changes.begun, *changes.counted)]
    return poster.take(), changes, kept


@given(both(), crowded())
def test_the_direct_way_comes_to_the_same_as_the_way_of_every_record(
    made: Network, records: list[RatableUsage]
) -> None:
    """To the octet of each entry, balance, sample and event."""
    postings, changes, kept = booked(made, records, DirectRater.rate_directly)
    expected, changed, remembered = booked(made, records, DirectRater.rate)
    assert expected == postings
    assert remembered == kept
    assert (changed.samples, changed.events) == (changes.samples, changes.events)


def test_a_record_of_one_span_and_one_rate_of_each_tariff_goes_the_direct_way() -> None:
    """But for the first of its period, and at the edge of an allowance or a quota."""
    rate = {"name": "data", "measure": "sum", "price": "1", "per": "1 GB"}
    made = network(
        {
            "rate": [rate],
            "allowance": [{"name": "included", "quantity": "5 GB", "rates": ["data"]}],
            "quota": [{"name": "fair", "allowance": "included", "thresholds": [40]}],
        },
        wholesale={
            "rate": [rate],
            "allowance": [{"name": "free", "quantity": "3500 MB", "rates": ["data"]}],
        },
    )
    records = [
        usage(STARTS[0] + at * QUARTER, STARTS[0] + (at + 1) * QUARTER, GB, usage_id=at)
        for at in range(8)
    ]
    seen = []

    def rate_directly(
        rater: DirectRater, record: RatableUsage
    ) -> Direct | Rated | Unrated:
        outcome = rater.rate_directly(record)
        seen.append(type(outcome) is tuple)
        return outcome

    rows, changes, _ = booked(made, records, rate_directly)
    # 40 % are reached with the second, all of it with the fifth; all of wholesale's
    # with the fourth.
    assert [False, False, True, False, False, True, True, True] == seen
    assert [40, 100] == [event.percent for event in changes.events]
    assert booked(made, records, DirectRater.rate)[0] == rows


def test_a_record_behind_the_wholesale_tariff_s_month_is_of_the_next_one() -> None:
    """Though the retail tariff's, in another zone, goes on."""
    rate = {"name": "data", "measure": "sum", "price": "1", "per": "1 GB"}
    written = document({"rate": [rate]}, wholesale={"rate": [rate]})
    written["tariff"][1]["zone"] = "UTC"
    made = msgspec.convert(written, Network)
    midnight = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
    records = [
        usage(midnight + at * QUARTER, midnight + (at + 1) * QUARTER, GB, usage_id=at)
        for at in (-3, -2, 1, 2)
    ]
    booked_directly = booked(made, records, DirectRater.rate_directly)
    assert booked(made, records, DirectRater.rate)[::2] == booked_directly[::2]
