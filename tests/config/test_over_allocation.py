"""Promises of addresses that cannot be kept are found in the network file."""

from __future__ import annotations

import pytest

from config.over_allocation import OverAllocation
from config.over_allocation_checks import find_promises
from config.schema import DhcpSettings

POOL = {"name": "a", "area": "x", "prefixes": ["10.0.0.0/28"]}


def found(**tables: object) -> list[str]:
    """The messages about a document."""
    return [str(finding.message) for finding in find_promises(tables)]


def test_a_guarantee_beyond_the_pool_needs_a_reserve_behind_it() -> None:
    """Each address of a reserve stands for one pool's guarantee only."""
    pools = [{**POOL, "guaranteed": 24}, {**POOL, "name": "b", "guaranteed": 32}]
    here = {"name": "r", "area": "x", "prefixes": ["10.1.0.0/28"]}
    everywhere = {"name": "s", "prefixes": ["10.2.0.0/29"]}
    assert [] == found(pool=pools, reserve=[here, everywhere])
    (message,) = found(pool=pools, reserve=[here])
    assert message.endswith("reserve lacks 8 to stand for the rest")
    assert 2 == len(found(pool=pools, reserve=[{**here, "area": "y"}]))


def test_a_reserve_stands_for_a_guarantee_in_whole_blocks() -> None:
    """What is shorter than a block cannot be granted, and half a block not at all."""
    policy = [{"block_prefix_length": 28}]
    two = [{**POOL, "guaranteed": 24}, {**POOL, "name": "b", "guaranteed": 24}]
    one = {"name": "r", "area": "x", "prefixes": ["10.1.0.0/28"]}
    (message,) = found(pool=two, reserve=[one], over_allocation=policy)
    assert message.endswith("reserve lacks 16 to stand for the rest")
    more = {**one, "prefixes": ["10.1.0.0/28", "10.1.0.16/29", "10.1.0.24/29"]}
    assert found(pool=two, reserve=[more], over_allocation=policy)
    more = {**one, "prefixes": ["10.1.0.0/27"]}
    assert [] == found(pool=two, reserve=[more], over_allocation=policy)


@pytest.mark.parametrize(
    "row",
    [
        {"low_percent": 80},
        {"warn_percent": 75},
        {"high_percent": 97},
        {"critical_clear_percent": 97},
        {"high_clear_percent": 70},
        {"loan_seconds": 600},
    ],
)
def test_marks_that_would_flap_are_found(row: dict[str, int]) -> None:
    """A mark is cleared below itself, the low one is well below the high one, and a
    loan's term is not shorter than its leases."""
    assert found(over_allocation=[row])
    assert [] == found(over_allocation=[{}])


def test_leases_have_no_least_time_above_a_pool_s_own() -> None:
    """The policy's least time of a lease is held against each pool's, its area's where
    it has none, and the hour that holds where neither says; a walled garden lends
    nothing, and a policy that does not say is no mistake."""
    policy = {"lease_seconds_min": 600}
    short = {**POOL, "lease_seconds": 300}
    said = "600 is more than the lease time of pool 'a', 300"
    assert [said] == found(over_allocation=[policy], pool=[short])
    area = {"name": "x", "lease_seconds": 300}
    assert [said] == found(over_allocation=[policy], pool=[POOL], area=[area])
    assert [] == found(over_allocation=[policy], pool=[POOL])
    assert [] == found(over_allocation=[{}], pool=[short])
    garden = {**short, "walled_garden": True}
    assert [] == found(over_allocation=[policy], pool=[garden])
    (hour,) = found(over_allocation=[{"lease_seconds_min": 3601}], pool=[POOL])
    assert hour.endswith("pool 'a', 3600")


def test_a_reserve_is_not_called_like_a_pool() -> None:
    """Who owns a block is told by name."""
    reserve = {"name": "a", "prefixes": ["10.1.0.0/28"]}
    assert ["'a' is the name of a pool already"] == found(
        pool=[POOL], reserve=[reserve]
    )


def test_there_is_one_policy_and_names_must_be_known() -> None:
    """A second policy, an unknown area and an unknown ISP are named."""
    assert 3 == len(
        found(
            over_allocation=[{}, {}],
            area=[{"name": "x"}],
            isp=[{"name": "aurora", "never_lend_to": ["auroar"]}],
            pool=[{**POOL, "routable_in": ["x", "z"]}],
        )
    )


def test_the_defaults_are_those_agreed_on() -> None:
    """Marks and where they clear, times in seconds, parts in per cent."""
    policy = OverAllocation()
    marks = {
        "warn": (policy.warn_percent, policy.warn_clear_percent),
        "high": (policy.high_percent, policy.high_clear_percent),
        "critical": (policy.critical_percent, policy.critical_clear_percent),
    }
    assert {"warn": (80, 75), "high": (90, 80), "critical": (97, 92)} == marks
    assert (30, 15 * 60) == (policy.high_seconds, policy.high_exhaustion_seconds)
    assert (120, 70) == (policy.critical_exhaustion_seconds, policy.low_percent)
    assert (3600, 600) == (policy.low_seconds, policy.lease_seconds_min)
    growth = policy.growth_half_life_seconds, policy.growth_mean_seconds
    assert (300, 3600) == growth
    assert (125, 115) == (policy.demand_percent, policy.lender_percent)
    assert (600, 3600) == (policy.lead_seconds, policy.slow_start_seconds)
    rationing = policy.rationing_percent, policy.rationing_seconds
    assert (5, 20, 3600) == (policy.emergency_percent, *rationing)
    approval = policy.approval_urgent_seconds, policy.approval_normal_seconds
    assert (120, 1800) == approval
    assert (600, 30) == (policy.cancel_seconds, policy.requeue_seconds)
    assert (86_400, 60) == (policy.queue_seconds, policy.activation_seconds)
    waits = policy.back_off_seconds, policy.back_off_seconds_max
    assert (3, 300, 3600) == (policy.activation_attempts, *waits)
    assert (600, 600) == (policy.ageing_seconds, policy.declined_seconds)
    assert (120, 80) == (policy.quarantine_seconds, policy.term_ending_percent)
    lease = policy.lease_percent_of_loan, policy.lease_percent_of_notice
    assert (25, 50) == lease
    assert 2 == DhcpSettings().parked_seconds
