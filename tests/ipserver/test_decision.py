"""The decision on a request: which way is taken, in the order in which they hurt."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from config.over_allocation import OverAllocation
from ipserver.decision import (
    Decision,
    Outcome,
    Recallable,
    Snapshot,
    Source,
    back_off,
    decide,
)
from ipserver.over_allocation_request import Option

BLOCK = 16
ASKED = Snapshot(
    now=1000,
    pool="a",
    tenant="aurora",
    need=BLOCK,
    block=BLOCK,
    urgent=False,
    guaranteed=0,
    burst_cap=1000,
    committed=64,
    capacity=64,
    demand=80,
    borrow_policy="auto",
    sources=(),
    recallable=(),
    coming_back=0,
    rationed_until=0,
    refusals=0,
    policy=OverAllocation(block_prefix_length=28),
)


def reserve(lendable: int) -> Source:
    """A reserve of 320 addresses, of which it still has so many."""
    return Source("r", "reserve", "network", lendable // BLOCK, lendable, 320)


def isp(name: str = "borealis", lendable: int = 32, consent: Any = "auto") -> Source:
    """Another ISP's pool."""
    kind: Any = "own" if name == "aurora" else "isp"
    return Source(
        f"{name}-pool", kind, name, lendable // BLOCK, lendable, consent=consent
    )


def decided(*sources: Source, **changes: Any) -> Decision:
    """What becomes of a request with these sources."""
    return decide(structs.replace(ASKED, sources=sources, **changes))


@pytest.mark.parametrize(
    ("sources", "changes", "reason", "option"),
    [
        ([reserve(320)], {}, "granted_reserve", ("r", 1)),
        ([reserve(320)], {"need": 40}, "granted_reserve", ("r", 3)),
        ([reserve(320)], {"burst_cap": 80, "need": 40}, "granted_reserve", ("r", 1)),
        # In want: one block, whatever is asked; its last twentieth to nobody.
        ([reserve(63)], {"need": 40}, "granted_reserve", ("r", 1)),
        ([reserve(31), isp()], {}, "granted_borrowed", ("borealis-pool", 1)),
        ([reserve(63), isp()], {"rationed_until": 1001}, "granted_borrowed", None),
        ([isp(lendable=16), isp("cirrus", 32)], {"need": 32}, "granted_borrowed", None),
        # Its own pool elsewhere before another's, and without anybody's policy.
        ([isp(), isp("aurora")], {"borrow_policy": "never"}, "granted_own", None),
        # And before the reserve, which is everybody's.
        ([reserve(320), isp("aurora")], {}, "granted_own", ("aurora-pool", 1)),
        # Below its guarantee: at once, from the last twentieth as well.
        ([reserve(16)], {"guaranteed": 80}, "granted_emergency", ("r", 1)),
        (
            [reserve(320), isp()],
            {"guaranteed": 112, "need": 48},
            "granted_reserve",
            None,
        ),
    ],
)
def test_what_can_be_granted_by_itself_is(
    sources: list[Source],
    changes: dict[str, Any],
    reason: str,
    option: tuple[str, int] | None,
) -> None:
    """From the reserve, its own, a lender that agreed beforehand; within the cap."""
    made = decided(*sources, **changes)
    assert (Outcome.GRANT, reason) == (made.outcome, made.reason)
    assert made.chosen is not None
    if option is not None:
        assert Option(*option, ()) == made.chosen


def test_who_can_spare_most_lends() -> None:
    """Of two that could, by name where both could the same."""
    made = decided(isp("cirrus", 48), isp("borealis", 32))
    assert made.chosen == Option("cirrus-pool", 1, ())
    made = decided(isp("cirrus", 32), isp("borealis", 32))
    assert made.chosen == Option("borealis-pool", 1, ())


@pytest.mark.parametrize(
    ("sources", "changes", "parties"),
    [
        ([reserve(320)], {"need": 272}, [("network",)]),
        ([isp(consent="ask")], {}, [("borealis",)]),
        ([isp()], {"borrow_policy": "ask"}, [("aurora",)]),
        (
            [isp(consent="ask"), isp("cirrus", consent="ask")],
            {"borrow_policy": "ask"},
            [("borealis", "aurora"), ("cirrus", "aurora")],
        ),
        ([reserve(63)], {"rationed_until": 1001}, [("network",)]),
    ],
)
def test_who_must_agree_is_asked(
    sources: list[Source], changes: dict[str, Any], parties: list[tuple[str, ...]]
) -> None:
    """All who could help at once, each with the parties whose word it needs."""
    made = decided(*sources, **changes)
    assert Outcome.ASK is made.outcome
    assert parties == [option.parties for option in made.options]


@pytest.mark.parametrize(
    ("sources", "changes", "reason"),
    [
        ([], {}, "exhausted"),
        ([reserve(16)], {}, "exhausted"),
        ([isp(lendable=15)], {}, "exhausted"),
        ([isp(consent="never")], {}, "policy"),
        ([isp()], {"borrow_policy": "never"}, "policy"),
        ([reserve(320)], {"burst_cap": 79}, "cap"),
    ],
)
def test_a_denial_has_its_reason_and_the_time_to_ask_again(
    sources: list[Source], changes: dict[str, Any], reason: str
) -> None:
    """Nothing there, a policy, the cap: told apart."""
    made = decided(*sources, **changes)
    assert (Outcome.DENY, reason, 300) == (made.outcome, made.reason, made.retry_after)


def test_a_pool_below_its_guarantee_is_never_denied_and_nobody_is_asked() -> None:
    """The loans of who is furthest above its own guarantee are recalled, as many as it
    takes, and of nobody who is not above.
    """
    loans = (
        Recallable(1, BLOCK, own=False, over_guarantee=16),
        Recallable(2, BLOCK, own=False, over_guarantee=48),
        Recallable(3, BLOCK, own=False, over_guarantee=32),
        Recallable(4, BLOCK, own=False, over_guarantee=0),
    )
    below = {"guaranteed": 96, "demand": 96, "need": 32}
    made = decided(isp(consent="ask"), recallable=loans, **below)
    assert (Outcome.QUEUE, (2, 3)) == (made.outcome, made.recalls)
    coming = decided(recallable=loans, coming_back=BLOCK, **below)
    assert (2,) == coming.recalls
    nobody = decided(recallable=loans[3:], **below)
    assert (Outcome.QUEUE, ()) == (nobody.outcome, nobody.recalls)


def test_what_a_pool_has_lent_itself_comes_back_first() -> None:
    """It waits for that, unless it is urgent: then a block bridges the notice."""
    lent = (Recallable(7, BLOCK, own=True, over_guarantee=0),)
    made = decided(reserve(320), recallable=lent)
    assert (Outcome.QUEUE, "recalling", (7,)) == (
        *(made.outcome, made.reason),
        made.recalls,
    )
    made = decided(reserve(320), recallable=lent, urgent=True)
    assert (Outcome.GRANT, (7,)) == (made.outcome, made.recalls)


def test_the_wait_after_denials_doubles_up_to_an_hour() -> None:
    """5, 10, 20, 40 minutes, then an hour, however often."""
    policy = OverAllocation()
    waits = [back_off(refusals, policy) // 60 for refusals in (0, 1, 2, 3, 4, 10**6)]
    assert [5, 10, 20, 40, 60, 60] == waits


def test_who_is_called_back_for_a_guarantee_keeps_its_own() -> None:
    """One block of each of two that are a block above theirs, not two of the first."""
    loans = tuple(
        Recallable(number, BLOCK, own=False, over_guarantee=BLOCK, borrower=borrower)
        for number, borrower in ((1, "x"), (2, "x"), (3, "z"), (4, "z"))
    )
    below = {"guaranteed": 112, "capacity": 64, "demand": 112, "need": 48}
    told = decided(recallable=loans, **below)
    assert (Outcome.QUEUE, (1, 3)) == (told.outcome, told.recalls)
