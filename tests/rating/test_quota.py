"""Top-ups, quota events, and whether the network obeyed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tariffs_made import SERVICE, money, network, rated, rater_of, usage

from rating.charge import Charge, RatableUsage
from rating.quota import Action, Effect, Kind, QuotaEvent, effect
from rating.rater import Rater, Unrated

GB = 10**9
START = 1_793_520_000  # 2026-11-01T08:00Z
VERSION: dict[str, Any] = {
    "rate": [{"name": "data", "measure": "out", "price": "1", "per": "1 GB"}],
    "allowance": [
        {"name": "free", "quantity": "10 GB", "rates": ["data"], "rollover": "4 GB"}
    ],
    "topup": [
        {"name": "more", "allowance": "free", "quantity": "5 GB", "price": "2.50"}
    ],
    "quota": [
        {
            "name": "fair use",
            "allowance": "free",
            "thresholds": [50, 80],
            "action": "throttle",
            "down_kbps": 1000,
        }
    ],
}


AFTER = START + 1


def record(nth: int, gigabytes: float, month: int = 0) -> RatableUsage:
    """A ten-minute record; each month after the first is 31 days on."""
    start = START + month * 31 * 86_400 + nth * 600
    return usage(start, start + 600, 0, int(gigabytes * GB), usage_id=nth)


def opened() -> Rater:
    """A rater whose balance of November is open."""
    rater = rater_of(network(VERSION))
    rater.adopt(rater.open_period(SERVICE, START))
    assert set() == rater.open_period(SERVICE, START)
    return rater


def bought(rater: Rater, at: int = START) -> list[Charge]:
    """The charges of one top-up."""
    charges = rater.top_up(SERVICE, "more", at)
    assert not isinstance(charges, Unrated)
    return charges


def told(rater: Rater) -> list[tuple[Kind, int, int, Action]]:
    """The events until now."""
    events = rater.changes().events
    return [(e.kind, e.percent, e.remaining, e.action) for e in events]


def test_thresholds_are_told_once_and_exhaustion_with_its_action() -> None:
    """50, 80 and then 100 per cent, whose record says what to do; then silence."""
    rater = opened()
    rated(rater, [record(nth, 1) for nth in range(15)])
    assert [
        (Kind.THRESHOLD, 50, 5 * GB, Action.NONE),
        (Kind.THRESHOLD, 80, 2 * GB, Action.NONE),
        (Kind.EXHAUSTED, 100, 0, Action.THROTTLE),
    ] == told(rater)
    event = rater.changes().events[-1]
    assert (f"service/{SERVICE}", 1000, None, 9) == (
        event.holder,
        event.down_kbps,
        event.up_kbps,
        event.usage_id,
    )


def test_a_leap_over_several_thresholds_tells_them_all() -> None:
    """One record may pass them together; none is left out."""
    rater = opened()
    rated(rater, [record(0, 30)])
    assert [50, 80, 100] == [percent for _, percent, _, _ in told(rater)]


def test_a_topup_restores_and_what_was_paid_beyond_the_allowance_comes_back() -> None:
    """It counts for the whole period: 12 GB used, 2 paid; 5 more cover those 2."""
    rater = opened()
    charges = rated(rater, [record(0, 12)])
    assert 2_000_000 == sum(charge.amount for charge in charges)
    more = bought(rater)
    assert [("data", -2_000_000), ("more", 2_500_000)] == [
        (c.element, c.amount) for c in more if c.amount
    ]
    assert (Kind.RESTORED, 80, 3 * GB, Action.THROTTLE) == told(rater)[-1]
    charges += more + rated(rater, [record(1, 4)])
    assert (Kind.EXHAUSTED, 100, 0, Action.THROTTLE) == told(rater)[-1]
    assert {
        ("2026-11-01", "2020-01-01", "data"): 1_000_000,
        ("2026-11-01", "2020-01-01", "more"): 2_500_000,
    } == money(charges)


@given(
    st.lists(st.integers(0, 6), max_size=6),
    st.integers(0, 3),
    st.randoms(use_true_random=False),
)
def test_when_a_topup_is_bought_makes_no_difference_to_the_money(
    gigabytes: list[int], topups: int, rng: Any
) -> None:
    """Before, between or after the use of its period: the same sum for each element."""
    steps: list[int | None] = [*range(len(gigabytes)), *([None] * topups)]
    sums = []
    for _ in range(2):
        rater = opened()
        charges: list[Charge] = []
        for step in steps:
            if step is None:
                charges += bought(rater)
            else:
                charges += rated(rater, [record(step, gigabytes[step])])
        sums.append(money(charges))
        rng.shuffle(steps)
    assert sums[0] == sums[1]


def test_what_rolls_over_is_used_first_goes_no_further_and_is_never_had_twice() -> None:
    """7 GB used of 10: 3 roll into December; late use of November then pays."""
    rater = opened()
    rated(rater, [record(0, 7)])
    for month in (1, 2):
        at = record(0, 0, month).started_at
        rater.adopt(rater.open_period(SERVICE, at))
        rater.open_period(SERVICE, at)
    december = rater.balance(SERVICE, record(0, 0, 1).started_at)
    january = rater.balance(SERVICE, record(0, 0, 2).started_at)
    assert december is not None
    assert january is not None
    # Of December's 13 the 3 that came expire; of its own 10 no more than 4 roll on.
    assert ([9 * GB], [14 * GB]) == (list(december.remaining()), january.granted)
    # Late use of November has it back, as nobody used it, and then pays.
    late = rated(rater, [record(1, 3), record(2, 1)])
    assert 1_000_000 == sum(charge.amount for charge in late)
    assert ([6 * GB], [6 * GB]) == (december.granted, list(december.remaining()))


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.randoms(use_true_random=False),
)
def test_what_rolls_over_makes_no_use_dearer_by_coming_late(
    november: list[int], december: list[int], rng: Any
) -> None:
    """Two months' records, in any order, cost together no more than what is beyond
    each month's own allowance; and what they do in order of time, where the second
    month has enough of its own. No allowance is had twice."""
    records = [record(n, gigabytes) for n, gigabytes in enumerate(november)]
    then = [record(n, gigabytes, 1) for n, gigabytes in enumerate(december)]
    rater = opened()
    in_order = money(rated(rater, [*records, *then]))
    mixed = [*records, *then]
    rng.shuffle(mixed)
    rater = opened()
    found = money(rated(rater, mixed))
    beyond = max(sum(november) - 10, 0) + max(sum(december) - 10, 0)
    assert sum(found.values()) <= 1_000_000 * beyond
    if sum(december) <= 10:
        assert found == in_order
    for month in (0, 1):
        balance = rater.balance(SERVICE, record(0, 0, month).started_at)
        assert balance is None or min(balance.granted) >= 0


SHARED_RATES: dict[str, Any] = {
    "rate": [
        {"name": "up", "measure": "in", "price": "1", "per": "1 GB"},
        {"name": "down", "measure": "out", "price": "1", "per": "1 GB"},
    ],
    "allowance": [
        {"name": "first", "quantity": "2 GB", "rates": ["up"], "priority": 1},
        {"name": "both", "quantity": "4 GB", "rates": ["up", "down"]},
    ],
}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=4),
    st.lists(st.sampled_from(["1 GB", "2 GB", "4 GB"]), min_size=2, max_size=2),
)
def test_an_allowance_comes_back_for_another_one_s_sake(
    november: list[tuple[int, int]], rollovers: list[str]
) -> None:
    """Use in and out goes by an allowance of its own and one that both share: what
    rolled out of the first comes back to late use, too, where the shared one is used up
    by what it would have been for; so the money is as in order of time."""
    allowances = [
        a | {"rollover": r}
        for a, r in zip(SHARED_RATES["allowance"], rollovers, strict=True)
    ]
    made = network(SHARED_RATES | {"allowance": allowances})
    records = [
        usage(START + n * 600, START + n * 600 + 600, i * GB, o * GB, usage_id=n)
        for n, (i, o) in enumerate(november)
    ]
    sums = []
    for december_is_open in (False, True):
        rater = rater_of(made)
        for month in (0, 1)[: 1 + december_is_open]:
            at = record(0, 0, month).started_at
            rater.adopt(rater.open_period(SERVICE, at))
            rater.open_period(SERVICE, at)
        sums.append(money(rated(rater, records)))
    assert sums[0] == sums[1]


def test_a_record_over_a_period_s_end_uses_what_is_left_before_it_rolls_over() -> None:
    """As two records would, if its NAS had cut it there: 10 GB are left and no more
    than 4 may go, of which the 8 before midnight leave 2."""
    midnight = record(0, 0, 1).started_at - 86_400
    midnight -= midnight % 86_400 + 3600  # Berlin's first of December
    whole = usage(midnight - 600, midnight + 600, 0, 16 * GB)
    halves = [
        usage(midnight - 600, midnight, 0, 8 * GB),
        usage(midnight, midnight + 600, 0, 8 * GB),
    ]
    for records in ([whole], halves):
        rater = opened()
        charges = rated(rater, records)
        december = rater.balance(SERVICE, midnight)
        assert december is not None
        assert (0, [12 * GB], [4 * GB]) == (
            sum(charge.amount for charge in charges),
            december.granted,
            list(december.remaining()),
        )


def test_a_topup_of_a_period_that_is_not_open_is_refused() -> None:
    """There is no balance to add it to, and none is made up."""
    assert Unrated.NO_VERSION is rater_of(network(VERSION)).top_up(
        SERVICE, "more", START
    )


def event_of(action: Action, **values: Any) -> QuotaEvent:
    """An event that says what to do."""
    rater = opened()
    rated(rater, [record(0, 30)])
    return rater.changes().events[-1]._replace(action=action, **values)


@pytest.mark.parametrize(
    ("action", "started_at", "octets_out", "expected"),
    [
        (Action.THROTTLE, START, 10**10, Effect.TOO_EARLY),
        (Action.THROTTLE, AFTER, 1000 * 125 * 600, Effect.CONFIRMED),
        (Action.THROTTLE, AFTER, 1000 * 125 * 600 * 11 // 10, Effect.CONFIRMED),
        (Action.THROTTLE, AFTER, 1000 * 125 * 600 * 11 // 10 + 1, Effect.FAILED),
        (Action.BLOCK, AFTER, 0, Effect.CONFIRMED),
        (Action.BLOCK, AFTER, 1, Effect.FAILED),
        (Action.WALLED_GARDEN, AFTER, 10**10, Effect.CONFIRMED),
        (Action.BUY, AFTER, 10**10, Effect.NOT_VISIBLE),
    ],
)
def test_the_next_interim_says_whether_the_network_obeyed(
    action: Action, started_at: int, octets_out: int, expected: Effect
) -> None:
    """A record that began after the action shows its speed, or that nothing came."""
    shown = usage(started_at, started_at + 600, 0, octets_out)
    assert expected == effect(event_of(action), START, shown)
