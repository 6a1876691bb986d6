"""Metrics say what was posted, and whether the ledger still is what was written."""

from __future__ import annotations

from rated_site import GB, NETWORK, NOON, Site, interim

from daemon.money_metrics import MoneyMetrics
from services.periods import close_months
from services.statements import open_statement, recipient_of
from storage.database import Database
from telemetry import metrics


def value(name: str, **labels: str) -> float:
    """Give what a metric says."""
    found = metrics.REGISTRY.get_sample_value(name, labels)
    return 0.0 if found is None else found


def test_metrics_say_what_was_posted_closed_stated_and_proved(
    database: Database,
) -> None:
    """An entry that somebody changed is a problem within a day."""
    site = Site(database)
    site.use(1)
    counts = MoneyMetrics(database)
    counts.count()
    before = value("fairlane_ledger_entries_total", kind="access")
    site.report(interim(2, 2 * GB))
    now = NOON + 30 * 86_400
    close_months(database, NETWORK, "2026-11", now)
    whose = recipient_of(NETWORK, "aurora", "2026-11")
    assert whose is not None
    open_statement(database, whose, now)
    counts.count()
    posted = value("fairlane_ledger_entries_total", kind="access") - before
    assert len(site.entries()) - 1 == posted
    assert 1 == value("fairlane_statements", state="opened")
    assert now == value("fairlane_ledger_closed_timestamp_seconds")
    assert 2 <= value("fairlane_ledger_proved_entry")
    assert 0 == value("fairlane_ledger_problems")
    again = MoneyMetrics(database)
    with database.write.begin() as connection:
        if database.is_postgresql:
            connection.exec_driver_sql("ALTER TABLE entry DISABLE TRIGGER ALL")
        else:
            names = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'trigger'"
                " AND tbl_name = 'entry'"
            ).scalars()
            for name in list(names):
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("UPDATE entry SET at = at + 1 WHERE id = 1")
        if database.is_postgresql:
            connection.exec_driver_sql("ALTER TABLE entry ENABLE TRIGGER ALL")
    again.count()
    assert 1 == value("fairlane_ledger_problems")
