"""Every metric of Fairlane, in one place: name, type, help and labels.

Base units only (seconds, bytes), no label of a subscriber.  Across processes each
role writes into memory-mapped files of its own (``attach``), named by the role and
not by its pid: a role that is restarted goes on counting where the dead one stopped,
and a crash loop leaves no files behind.  ``attach`` must run before this module is
imported, because the client chooses its storage when a metric is made; the daemon's
entry points see to it.  ``docs/metrics.md`` is made from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

Type = Literal["counter", "gauge", "histogram"]
_Mode = Literal["livemostrecent", "livesum", "max"]

# One fdatasync takes 0.1 ms on a good disk and 10 ms or more on a spinning one.
_COMMIT_SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    1.0,
    5.0,
)
_BATCH_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table, as the documentation shows it."""

    name: str
    type: Type
    help: str
    labels: tuple[str, ...]


TABLE: list[Metric] = []


def _counter(name: str, text: str, *labels: str) -> Counter:
    TABLE.append(Metric(name, "counter", text, labels))
    return Counter(name, text, labels, registry=REGISTRY)


def _gauge(name: str, mode: _Mode, text: str, *labels: str) -> Gauge:
    TABLE.append(Metric(name, "gauge", text, labels))
    return Gauge(name, text, labels, registry=REGISTRY, multiprocess_mode=mode)


def _histogram(
    name: str, buckets: tuple[float, ...], text: str, *labels: str
) -> Histogram:
    TABLE.append(Metric(name, "histogram", text, labels))
    return Histogram(name, text, labels, registry=REGISTRY, buckets=buckets)


BUILD_INFO = _gauge(
    "fairlane_build_info",
    "max",
    "Always 1; the labels say what is running.",
    "version",
    "python",
    "sqlite",
)
READY = _gauge(
    "fairlane_ready",
    "livemostrecent",
    "1 when every role serves and every store is writable, else 0.",
)
ROLE_RESTARTS = _counter(
    "fairlane_role_restarts_total",
    "Roles started again after they died or stopped beating.",
    "role",
)
RADIUS_REQUESTS = _counter(
    "fairlane_radius_requests_total",
    "RADIUS requests from known sources, by what came of them.",
    "type",
    "result",
    "nas",
)
RADIUS_DUPLICATES = _counter(
    "fairlane_radius_duplicates_total",
    "Retransmitted requests, answered again with the same bytes or still in work.",
)
RADIUS_MALFORMED = _counter(
    "fairlane_radius_malformed_total",
    "Datagrams that are not valid RADIUS, by what is wrong with them.",
    "reason",
    "nas",
)
RADIUS_DROPPED = _counter(
    "fairlane_radius_dropped_total",
    "Requests left without an answer, by the reason.",
    "reason",
    "nas",
)
RADIUS_REFUSED = _counter(
    "fairlane_radius_refused_total",
    "Access-Requests that were rejected, by the reason.",
    "reason",
    "nas",
)
RADIUS_UNSIGNED = _counter(
    "fairlane_radius_unsigned_total",
    "Access-Requests without a Message-Authenticator, whatever came of them.",
    "nas",
)
COA_SENT = _counter(
    "fairlane_coa_sent_total",
    "CoA and Disconnect requests sent, retransmissions too.",
    "kind",
    "nas",
)
COA_COMMANDS = _counter(
    "fairlane_coa_commands_total",
    "CoA and Disconnect commands that came to a state.",
    "kind",
    "state",
)
ACCOUNTING_COPIES = _counter(
    "fairlane_accounting_copies_total",
    "Accounting-Requests copied to ISPs, by what came of them.",
    "isp",
    "result",
)
ACCOUNTING_COPIES_LAG_RECORDS = _gauge(
    "fairlane_accounting_copies_lag_records",
    "livemostrecent",
    "Records of all journals that have yet to be looked at for an ISP's copies.",
    "isp",
)
RADIUS_RECEIVE_QUEUE_DROPS = _counter(
    "fairlane_radius_receive_queue_drops_total",
    "Datagrams that the kernel threw away because a receive buffer was full.",
)
RADIUS_UNKNOWN_SOURCE = _counter(
    "fairlane_radius_unknown_source_total",
    "Datagrams from addresses that belong to no NAS.",
)
DHCP_MESSAGES = _counter(
    "fairlane_dhcp_messages_total",
    "DHCP requests by type, and the type of the reply: taken for one that needs none.",
    "type",
    "result",
)
DHCP_ANSWERS = _counter(
    "fairlane_dhcp_answers_total",
    "Replies to DHCP requests, by the reason for them.",
    "result",
    "reason",
)
DHCP_DROPPED = _counter(
    "fairlane_dhcp_dropped_total",
    "DHCP requests left without an answer, by the reason.",
    "reason",
)
DHCP_MALFORMED = _counter(
    "fairlane_dhcp_malformed_total",
    "Datagrams that are no DHCPv4 request, by what is wrong with them.",
    "reason",
)
DHCP_TRUNCATED = _counter(
    "fairlane_dhcp_truncated_total",
    "DHCP requests whose options broke off; they are read as far as that.",
)
DHCP_LEFT_OUT = _counter(
    "fairlane_dhcp_left_out_total",
    "Replies that had no room for option 82 (agent) or other options (options).",
    "what",
)
DHCP_RECEIVE_QUEUE_DROPS = _counter(
    "fairlane_dhcp_receive_queue_drops_total",
    "DHCP datagrams that the kernel threw away because a receive buffer was full.",
)
POOL_ADDRESSES = _gauge(
    "fairlane_pool_addresses",
    "livemostrecent",
    "IPv4 addresses of a pool, by what they are doing.",
    "pool",
    "state",
)
JOURNAL_COMMIT_SECONDS = _histogram(
    "fairlane_journal_commit_seconds",
    _COMMIT_SECONDS,
    "Time to make one batch of the journal durable.",
)
JOURNAL_COMMIT_FAILURES = _counter(
    "fairlane_journal_commit_failures_total",
    "Batches of the journal that could not be made durable; none was answered.",
)
JOURNAL_LAG_RECORDS = _gauge(
    "fairlane_journal_lag_records",
    "livemostrecent",
    "Records of a journal that the ledger role has yet to apply.",
    "journal",
)
JOURNAL_LAG_SECONDS = _gauge(
    "fairlane_journal_lag_seconds",
    "livemostrecent",
    "Age of the oldest record of a journal that the ledger role has yet to apply.",
    "journal",
)
JOURNAL_QUEUE_RECORDS = _gauge(
    "fairlane_journal_queue_records",
    "livesum",
    "Records that wait for the next commit of the journal.",
)
SESSIONS = _gauge(
    "fairlane_sessions",
    "livemostrecent",
    "Sessions in the database that are not closed, by state.",
    "state",
)
USAGE_RECORDS = _counter(
    "fairlane_usage_records_total",
    "Usage records written, by how they were derived.",
    "derived",
)
UNRATED_USAGE = _gauge(
    "fairlane_unrated_usage",
    "livemostrecent",
    "Usage records that wait to be rated, by state and reason.",
    "state",
    "reason",
)
LEDGER_ENTRIES = _counter(
    "fairlane_ledger_entries_total", "Entries posted since the role began.", "kind"
)
STATEMENTS = _gauge(
    "fairlane_statements", "livemostrecent", "Statements by state.", "state"
)
LAST_CLOSE = _gauge(
    "fairlane_ledger_closed_timestamp_seconds", "livemostrecent", "The last close."
)
LEDGER_PROVED = _gauge(
    "fairlane_ledger_proved_entry",
    "livemostrecent",
    "How far the daily proof has read.",
)
LEDGER_PROBLEMS = _gauge(
    "fairlane_ledger_problems", "livemostrecent", "What the daily proof found wrong."
)
UNBOOKED_SALES = _gauge(
    "fairlane_unbooked_address_sales", "livemostrecent", "Addresses sold, not booked."
)
QUOTA_ACTIONS = _counter(
    "fairlane_quota_actions_total", "Quota events carried out.", "kind", "action"
)
QUOTA_EVENTS = _gauge(
    "fairlane_quota_events",
    "livemostrecent",
    "Quota events by kind, action, and effect (or told, due, awaited).",
    *("kind", "action", "effect"),
)
ACCOUNTING_REPORTS = _counter(
    "fairlane_accounting_reports_total",
    "Accounting reports applied to sessions, by Acct-Status-Type and result.",
    "status",
    "result",
)
LEDGER_BATCH_SECONDS = _histogram(
    "fairlane_ledger_batch_seconds",
    _BATCH_SECONDS,
    "Time to apply one batch of journal records to the database.",
)
LEDGER_FAILURES = _counter(
    "fairlane_ledger_failures_total",
    "Batches that the database refused; they are tried again.",
)
OVER_ALLOCATION_REQUESTS = _gauge(
    "fairlane_over_allocation_requests",
    "livemostrecent",
    "Over-allocation requests that are open, by state.",
    "state",
)
OVER_ALLOCATION_ENDED = _counter(
    "fairlane_over_allocation_ended_total",
    "Over-allocation requests that have ended, by how.",
    "state",
)
OVER_ALLOCATION_DECISIONS = _counter(
    "fairlane_over_allocation_decisions_total",
    "Decisions on over-allocation requests, by outcome and reason.",
    "outcome",
    "reason",
)
OVER_ALLOCATION_SECONDS = _histogram(
    "fairlane_over_allocation_decision_seconds",
    _COMMIT_SECONDS,
    "Time to look at all pools and decide what is due, or at one that ran out.",
)
OVER_ALLOCATION_WAIT_SECONDS = _histogram(
    "fairlane_over_allocation_wait_seconds",
    (0.1, 0.5, 1.0, 2.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 86_400.0),
    "Time from the raising of an over-allocation request to its end.",
)
ADDRESS_LOANS = _gauge(
    "fairlane_address_loans",
    "livemostrecent",
    "Blocks of addresses that are lent, by state.",
    "state",
)
POOL_UTILISATION = _gauge(
    "fairlane_pool_utilisation_ratio",
    "livemostrecent",
    "Used part of the addresses that a pool may bind, 0 to 1.",
    "pool",
)
LAST_BACKUP = _gauge(
    "fairlane_last_backup_timestamp_seconds",
    "max",
    "When the last backup of this node was made, in seconds since 1970; 0 for never.",
)
QUARANTINED_RECORDS = _counter(
    "fairlane_quarantined_records_total",
    "Journal records that could not be applied and were put aside, by journal.",
    "journal",
)

ORDER_STEPS = _counter(
    "fairlane_order_steps_total",
    "Orders that the provisioning manager has taken a step further.",
)
ORDER_FAILURES = _counter(
    "fairlane_order_failures_total",
    "Orders whose task became a dead letter by an internal error.",
)
ORDER_CALLS = _counter(
    "fairlane_order_calls_total",
    "Questions to devices, ISPs and BSPs, by what was asked and how it ended.",
    "kind",
    "outcome",
)
MQTT_CONNECTED = _gauge(
    "fairlane_mqtt_connected",
    "livemostrecent",
    "1 while there is a connection to the MQTT broker, else 0.",
)
MQTT_MESSAGES = _counter(
    "fairlane_mqtt_messages_total",
    "MQTT messages handled and acknowledged (in), and published (out).",
    "direction",
)
MQTT_REFUSED = _counter(
    "fairlane_mqtt_refused_total",
    "MQTT messages that could not be taken as an order or a desired state, by code.",
    "code",
)
WEBHOOK_DELIVERIES = _counter(
    "fairlane_webhook_deliveries_total",
    "Events posted to callbacks, by whether they were taken.",
    "result",
)


def documentation() -> str:
    """Return docs/metrics.md: the table as a page."""
    rows = [
        f"| `{row.name}` | {row.type} | {_cell(row.labels)} | {row.help} |"
        for row in sorted(TABLE, key=lambda row: row.name)
    ]
    return "\n".join(
        [
            "# Metrics",
            "",
            "Made from `telemetry/metrics.py` by `python -m telemetry.metrics`; do not",
            "edit. Served at `/metrics` of the HTTP address, for all roles together.",
            "Seconds and records are the units; no label names a subscriber, and `nas`",
            "takes only the names in the network.",
            "",
            "| name | type | labels | what it says |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _cell(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels)


if __name__ == "__main__":
    print(documentation(), end="")
