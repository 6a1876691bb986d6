"""How over-allocation requests are decided, for the whole network: one row of numbers.

Percentages are of a pool's addresses unless they say otherwise, durations are seconds.
Each mark has a lower one that clears it, so that a pool beside a mark does not flap.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.row import Count, Row
from config.values import Name

Percent = Annotated[int, Meta(ge=0, le=100)]
Part = Annotated[int, Meta(ge=1, le=100)]
Growth = Annotated[int, Meta(ge=100, le=1000)]
Seconds = Annotated[int, Meta(ge=1, le=400 * 86_400)]


class OverAllocation(Row, frozen=True, kw_only=True):
    """The policy of the Network Provider; what is not written has these defaults."""

    name: Name = "network"
    block_prefix_length: Annotated[int, Meta(ge=20, le=30)] = 26
    """Prefix length of the blocks that change hands (IPv4)."""

    warn_percent: Percent = 80
    """Above it leases of new bindings get shorter and an event is published."""
    warn_clear_percent: Percent = 75
    high_percent: Percent = 90
    """Above it for ``high_seconds`` a request is raised."""
    high_clear_percent: Percent = 80
    high_seconds: Seconds = 30
    high_exhaustion_seconds: Seconds = 900
    """A request is raised when this is left until exhaustion, however full it is."""
    critical_percent: Percent = 97
    """Above it, or after one failure to allocate, the request is urgent."""
    critical_clear_percent: Percent = 92
    critical_exhaustion_seconds: Seconds = 120
    low_percent: Percent = 70
    """Below it, measured as if a block were gone, a borrowed block goes back."""
    low_seconds: Seconds = 3600
    lease_seconds_min: Seconds = 600
    """Leases get no shorter than this under pressure or in a borrowed block."""

    growth_half_life_seconds: Seconds = 300
    growth_mean_seconds: Seconds = 3600
    demand_percent: Growth = 125
    """Of what is used, this is asked for."""
    lead_seconds: Seconds = 600
    """On top of the time that approvals took, growth is provided for so long."""
    slow_start_seconds: Seconds = 3600
    """Requests that recur within this time ask for twice as much each."""
    blocks_per_request_max: Annotated[int, Meta(ge=1, le=1024)] = 64

    declined_seconds: Seconds = 600
    """A pool above ``critical_percent`` tries addresses again that were declined so
    long ago."""

    reserve_auto_max: Count = 256
    """Addresses that the reserve grants on one request without being asked."""
    emergency_percent: Percent = 5
    """Of a reserve, only for pools below their guarantee."""
    rationing_percent: Percent = 20
    """With less of a reserve left, it grants one block a pool at a time."""
    rationing_seconds: Seconds = 3600
    """How long a rationed pool waits for its next block."""
    lender_percent: Growth = 115
    """Of what a lender uses, it keeps this for itself."""

    approval_urgent_seconds: Seconds = 120
    approval_normal_seconds: Seconds = 1800
    approval_default: Literal["deny", "emergency_block"] = "deny"
    """What happens when nobody answers an escalated request in time."""
    cancel_seconds: Seconds = 600
    """A request is withdrawn when the pressure is gone for so long."""
    requeue_seconds: Seconds = 30
    queue_seconds: Seconds = 86_400
    activation_seconds: Seconds = 60
    """The network has so long to make a block reachable."""
    activation_attempts: Annotated[int, Meta(ge=1, le=10)] = 3
    back_off_seconds: Seconds = 300
    """After a request that ended with nothing (denied, withdrawn, failed, or expired in
    the queue) a pool asks again after this time, doubled each time."""
    back_off_seconds_max: Seconds = 3600
    ageing_seconds: Seconds = 600
    """A request that waits so long moves up by one class."""
    pending_max: Annotated[int, Meta(ge=1, le=1000)] = 16
    """Open requests an ISP may have."""

    loan_seconds: Seconds = 7 * 86_400
    term_ending_percent: Part = 80
    """Of its term, after which it is seen whether a loan goes on."""
    lease_percent_of_loan: Part = 25
    lease_percent_of_notice: Part = 50
    """Leases in a borrowed block are no longer than these parts of the loan's term and
    of the notice, from the first day: so it drains in time."""
    recall_notice_seconds: Seconds = 3600
    """A lender has its addresses back after this time and one lease."""
    quarantine_seconds: Seconds = 120
    return_margin: Count = 16
    """Addresses that a pool has free, beyond those it must move, to return a block."""
