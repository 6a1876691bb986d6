"""The metrics of addresses: DHCP, pools, over-allocation requests and loans."""

from __future__ import annotations

from typing import Final

from telemetry.metric_table import counter, gauge, histogram

_DECISION_SECONDS: Final = (
    *(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)

DHCP_MESSAGES = counter(
    "fairlane_dhcp_messages_total",
    "DHCP requests by type, and the type of the reply: taken for one that needs none.",
    "type",
    "result",
)
DHCP_ANSWERS = counter(
    "fairlane_dhcp_answers_total",
    "Replies to DHCP requests, by the reason for them.",
    "result",
    "reason",
)
DHCP_DROPPED = counter(
    "fairlane_dhcp_dropped_total",
    "DHCP requests left without an answer, by the reason.",
    "reason",
)
DHCP_MALFORMED = counter(
    "fairlane_dhcp_malformed_total",
    "Datagrams that are no DHCPv4 request, by what is wrong with them.",
    "reason",
)
DHCP_TRUNCATED = counter(
    "fairlane_dhcp_truncated_total",
    "DHCP requests whose options broke off; they are read as far as that.",
)
DHCP_LEFT_OUT = counter(
    "fairlane_dhcp_left_out_total",
    "Replies that had no room for option 82 (agent) or other options (options).",
    "what",
)
DHCP_ALLOCATION_SECONDS = histogram(
    "fairlane_dhcp_allocation_seconds",
    (0.00001, 0.000025, *_DECISION_SECONDS),
    "Time to decide one DHCP request and make its reply, the mean of one turn's.",
)
DHCP_RECEIVE_QUEUE_DROPS = counter(
    "fairlane_dhcp_receive_queue_drops_total",
    "DHCP datagrams that the kernel threw away because a receive buffer was full.",
)
POOL_ADDRESSES = gauge(
    "fairlane_pool_addresses",
    "livemostrecent",
    "IPv4 addresses of a pool, by what they are doing.",
    "pool",
    "state",
)
OVER_ALLOCATION_REQUESTS = gauge(
    "fairlane_over_allocation_requests",
    "livemostrecent",
    "Over-allocation requests that are open, by state.",
    "state",
)
OVER_ALLOCATION_ENDED = counter(
    "fairlane_over_allocation_ended_total",
    "Over-allocation requests that have ended, by how.",
    "state",
)
OVER_ALLOCATION_DECISIONS = counter(
    "fairlane_over_allocation_decisions_total",
    "Decisions on over-allocation requests, by outcome and reason.",
    "outcome",
    "reason",
)
OVER_ALLOCATION_SECONDS = histogram(
    "fairlane_over_allocation_decision_seconds",
    _DECISION_SECONDS,
    "Time to look at all pools and decide what is due, or at one that ran out.",
)
OVER_ALLOCATION_WAIT_SECONDS = histogram(
    "fairlane_over_allocation_wait_seconds",
    (0.1, 0.5, 1.0, 2.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 86_400.0),
    "Time from the raising of an over-allocation request to its end.",
)
ADDRESS_LOANS = gauge(
    "fairlane_address_loans",
    "livemostrecent",
    "Blocks of addresses that are lent, by state.",
    "state",
)
POOL_UTILISATION = gauge(
    "fairlane_pool_utilisation_ratio",
    "livemostrecent",
    "Used part of the addresses that a pool may bind, 0 to 1.",
    "pool",
)
