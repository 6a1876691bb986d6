"""Accounting while the database is away: equipment never notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.daemon_process import running, wait_until
from e2e.nas_load import NasLoad, check
from postgresql import PostgresqlServer

LAG = "fairlane_journal_lag_records"
AWAY_SECONDS, AWAY_SECONDS_LONG = 10.0, 60.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A server that these tests may stop."""
    server = PostgresqlServer()
    yield server
    server.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_without_its_database_it_answers_and_later_everything_arrives_once(
    tmp_path: Path, server: PostgresqlServer, how: str, long: bool
) -> None:
    """PostgreSQL is stopped, or frozen with its connections open: answers go on, the
    lag shows and /readyz is red; when it is back, every report is counted once."""
    away = AWAY_SECONDS_LONG if long else AWAY_SECONDS
    url = server.create_database(f"away_{how}")
    with (
        running(tmp_path, database=url) as daemon,
        NasLoad(daemon, lines=8, pace=0.02, retry=1.0) as load,
    ):
        wait_until(lambda: load.acknowledged > 200)
        wait_until(lambda: daemon.metric("fairlane_accounting_reports_total") > 100)
        if how == "stopped":
            server.stop()
        else:
            server.pause()
        try:
            _stay_away(away, load)
            if how == "stopped":
                wait_until(lambda: daemon.metric(LAG) > 500)
            wait_until(lambda: daemon.readiness() == 503, 30)
        finally:
            if how == "stopped":
                server.start()
            else:
                server.resume()
        back = load.acknowledged
        wait_until(lambda: load.acknowledged > back + 500)
        load.finish()
        assert load.most_tries <= 2
        wait_until(daemon.applied, 60)
        wait_until(lambda: daemon.readiness() == 200, 30)
        check(load, daemon)
        wait_until(lambda: daemon.metric(LAG) == 0)


def _stay_away(seconds: float, load: NasLoad) -> None:
    """Let the time pass, and see in each second of it that answers go on."""
    for _ in range(int(seconds)):
        before = load.acknowledged
        threading.Event().wait(1.0)
        assert load.acknowledged > before + 50


def test_it_starts_and_answers_without_its_database(
    tmp_path: Path, server: PostgresqlServer
) -> None:
    """A daemon that has seen its network once serves it while the database is away,
    is not ready, and brings everything over when the database comes."""
    url = server.create_database("absent")
    with running(tmp_path, database=url) as daemon:
        assert daemon.stop() == 0
        server.stop()
        try:
            daemon.start(wait=False)
            with NasLoad(daemon, lines=4, pace=0.01, retry=1.0) as load:
                wait_until(lambda: load.acknowledged > 200, 60)
                assert daemon.readiness() == 503
                load.finish()
        finally:
            server.start()
        daemon.wait_for_notice("READY=1")
        wait_until(daemon.applied)
        check(load, daemon)


def test_the_lag_shows_while_the_database_hangs(
    tmp_path: Path, server: PostgresqlServer
) -> None:
    """A database that keeps its connections and answers nothing shows as lag, like one
    that refuses."""
    with (
        running(tmp_path, database=server.create_database("hangs")) as daemon,
        NasLoad(daemon, lines=8, pace=0.01, retry=1.0) as load,
    ):
        wait_until(lambda: daemon.metric("fairlane_accounting_reports_total") > 100)
        server.pause()
        try:
            wanted = load.acknowledged + 2000
            wait_until(lambda: load.acknowledged > wanted)
            wait_until(lambda: daemon.metric(LAG) > 500, 5)
        finally:
            server.resume()
