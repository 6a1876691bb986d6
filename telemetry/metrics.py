"""Every metric of Fairlane but those of addresses, which have a module of their own.

How they are made, and kept across processes, is in ``telemetry.metric_table``.
``docs/metrics.md`` is made from all of them by running this module.
"""

from __future__ import annotations

from typing import Final

from telemetry import address_metrics  # noqa: F401  they are in the table as well
from telemetry.metric_table import (
    REGISTRY,
    TABLE,
    counter,
    documentation,
    gauge,
    histogram,
)

__all__ = ["REGISTRY", "TABLE", "documentation"]

# One fdatasync takes 0.1 ms on a good disk and 10 ms or more on a spinning one.
_COMMIT_SECONDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01),
    *(0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
)
_BATCH_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)

BUILD_INFO = gauge(
    "fairlane_build_info",
    "max",
    "Always 1; the labels say what is running.",
    "version",
    "python",
    "sqlite",
)
READY = gauge(
    "fairlane_ready",
    "livemostrecent",
    "1 when every role serves and every store is writable, else 0.",
)
ROLE_RESTARTS = counter(
    "fairlane_role_restarts_total",
    "Roles started again after they died or stopped beating.",
    "role",
)
RADIUS_REQUESTS = counter(
    "fairlane_radius_requests_total",
    "RADIUS requests from known sources, by what came of them.",
    "type",
    "result",
    "nas",
)
RADIUS_DUPLICATES = counter(
    "fairlane_radius_duplicates_total",
    "Retransmitted requests, answered again with the same bytes or still in work.",
)
RADIUS_MALFORMED = counter(
    "fairlane_radius_malformed_total",
    "Datagrams that are not valid RADIUS, by what is wrong with them.",
    "reason",
    "nas",
)
RADIUS_DROPPED = counter(
    "fairlane_radius_dropped_total",
    "Requests left without an answer, by the reason.",
    "reason",
    "nas",
)
RADIUS_REFUSED = counter(
    "fairlane_radius_refused_total",
    "Access-Requests that were rejected, by the reason.",
    "reason",
    "nas",
)
RADIUS_UNSIGNED = counter(
    "fairlane_radius_unsigned_total",
    "Access-Requests without a Message-Authenticator, whatever came of them.",
    "nas",
)
COA_SENT = counter(
    "fairlane_coa_sent_total",
    "CoA and Disconnect requests sent, retransmissions too.",
    "kind",
    "nas",
)
COA_COMMANDS = counter(
    "fairlane_coa_commands_total",
    "CoA and Disconnect commands that came to a state.",
    "kind",
    "state",
)
ACCOUNTING_COPIES = counter(
    "fairlane_accounting_copies_total",
    "Accounting-Requests copied to ISPs, by what came of them.",
    "isp",
    "result",
)
ACCOUNTING_COPIES_LAG_RECORDS = gauge(
    "fairlane_accounting_copies_lag_records",
    "livemostrecent",
    "Records of all journals that have yet to be looked at for an ISP's copies.",
    "isp",
)
RADIUS_RECEIVE_QUEUE_DROPS = counter(
    "fairlane_radius_receive_queue_drops_total",
    "Datagrams that the kernel threw away because a receive buffer was full.",
)
RADIUS_UNKNOWN_SOURCE = counter(
    "fairlane_radius_unknown_source_total",
    "Datagrams from addresses that belong to no NAS.",
)
JOURNAL_COMMIT_SECONDS = histogram(
    "fairlane_journal_commit_seconds",
    _COMMIT_SECONDS,
    "Time to make one batch of the journal durable.",
)
JOURNAL_COMMIT_FAILURES = counter(
    "fairlane_journal_commit_failures_total",
    "Batches of the journal that could not be made durable; none was answered.",
)
JOURNAL_LAG_RECORDS = gauge(
    "fairlane_journal_lag_records",
    "livemostrecent",
    "Records of a journal that the ledger role has yet to apply.",
    "journal",
)
JOURNAL_LAG_SECONDS = gauge(
    "fairlane_journal_lag_seconds",
    "livemostrecent",
    "Age of the oldest record of a journal that the ledger role has yet to apply.",
    "journal",
)
JOURNAL_QUEUE_RECORDS = gauge(
    "fairlane_journal_queue_records",
    "livesum",
    "Records that wait for the next commit of the journal.",
)
SESSIONS = gauge(
    "fairlane_sessions",
    "livemostrecent",
    "Sessions in the database that are not closed, by state.",
    "state",
)
USAGE_RECORDS = counter(
    "fairlane_usage_records_total",
    "Usage records written, by how they were derived.",
    "derived",
)
UNRATED_USAGE = gauge(
    "fairlane_unrated_usage",
    "livemostrecent",
    "Usage records that wait to be rated, by state and reason.",
    "state",
    "reason",
)
LEDGER_ENTRIES = counter(
    "fairlane_ledger_entries_total", "Entries posted since the role began.", "kind"
)
STATEMENTS = gauge(
    "fairlane_statements", "livemostrecent", "Statements by state.", "state"
)
LAST_CLOSE = gauge(
    "fairlane_ledger_closed_timestamp_seconds", "livemostrecent", "The last close."
)
LEDGER_PROVED = gauge(
    "fairlane_ledger_proved_entry",
    "livemostrecent",
    "How far the daily proof has read.",
)
LEDGER_PROBLEMS = gauge(
    "fairlane_ledger_problems", "livemostrecent", "What the daily proof found wrong."
)
UNBOOKED_SALES = gauge(
    "fairlane_unbooked_address_sales", "livemostrecent", "Addresses sold, not booked."
)
QUOTA_ACTIONS = counter(
    "fairlane_quota_actions_total", "Quota events carried out.", "kind", "action"
)
QUOTA_EVENTS = gauge(
    "fairlane_quota_events",
    "livemostrecent",
    "Quota events by kind, action, and effect (or told, due, awaited).",
    *("kind", "action", "effect"),
)
ACCOUNTING_REPORTS = counter(
    "fairlane_accounting_reports_total",
    "Accounting reports applied to sessions, by Acct-Status-Type and result.",
    "status",
    "result",
)
LEDGER_BATCH_SECONDS = histogram(
    "fairlane_ledger_batch_seconds",
    _BATCH_SECONDS,
    "Time to apply one batch of journal records to the database.",
)
MEDIATION_RUNNING = gauge(
    "fairlane_mediation_running",
    "livemostrecent",
    "1 when the process that mediates accounting for the ledger runs or waits for work;"
    " 0 before the first record, when it is stopped or has ended, and with --single.",
)
MEDIATION_STARTS = counter(
    "fairlane_mediation_starts_total",
    "Starts of the process that mediates: the first, and one after each end of it.",
)
MEDIATION_BATCHES_AHEAD = gauge(
    "fairlane_mediation_batches_ahead",
    "livemostrecent",
    "Batches that the process that mediates was asked for and that are not booked.",
)
MEDIATION_RESIDENT_BYTES = gauge(
    "fairlane_mediation_resident_bytes",
    "livemostrecent",
    "Memory of the process that mediates.",
)
MEDIATION_CPU_SECONDS = counter(
    "fairlane_mediation_cpu_seconds_total", "CPU time of the process that mediates."
)
LEDGER_FAILURES = counter(
    "fairlane_ledger_failures_total",
    "Batches that the database refused; they are tried again.",
)
LAST_BACKUP = gauge(
    "fairlane_last_backup_timestamp_seconds",
    "max",
    "When the last backup of this node was made, in seconds since 1970; 0 for never.",
)
QUARANTINED_RECORDS = counter(
    "fairlane_quarantined_records_total",
    "Journal records that could not be applied and were put aside, by journal.",
    "journal",
)
ORDER_STEPS = counter(
    "fairlane_order_steps_total",
    "Orders that the provisioning manager has taken a step further.",
)
ORDER_FAILURES = counter(
    "fairlane_order_failures_total",
    "Orders whose task became a dead letter by an internal error.",
)
ORDER_CALLS = counter(
    "fairlane_order_calls_total",
    "Questions to devices, ISPs and BSPs, by what was asked and how it ended.",
    "kind",
    "outcome",
)
MQTT_CONNECTED = gauge(
    "fairlane_mqtt_connected",
    "livemostrecent",
    "1 while there is a connection to the MQTT broker, else 0.",
)
MQTT_MESSAGES = counter(
    "fairlane_mqtt_messages_total",
    "MQTT messages handled and acknowledged (in), and published (out).",
    "direction",
)
MQTT_REFUSED = counter(
    "fairlane_mqtt_refused_total",
    "MQTT messages that could not be taken as an order or a desired state, by code.",
    "code",
)
WEBHOOK_DELIVERIES = counter(
    "fairlane_webhook_deliveries_total",
    "Events posted to callbacks, by whether they were taken.",
    "result",
)


if __name__ == "__main__":
    print(documentation(), end="")
