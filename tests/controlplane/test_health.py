"""Health over HTTP: what is told of it, and the whole way through a daemon."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient
from litestar import Litestar
from litestar.testing import TestClient
from rest_site import bare_context
from supervised import SMALL_ROLES, running

from controlplane.rest.application import Check, build
from daemon.control_role import DatabaseCheck, judge
from storage.database import open_database

FINE = [Check("database", True), Check("roles", True)]


def client(checks: list[Check]) -> TestClient[Any]:
    """An application that knows ``checks``."""
    return TestClient(application(lambda: checks, lambda: b"fairlane_ready 1.0\n"))


def application(
    checks: Callable[[], list[Check]], metrics: Callable[[], bytes]
) -> Litestar:
    """An application whose database is nowhere: health does not ask it."""
    return build(
        checks=checks,
        metrics=metrics,
        version="1",
        context=bare_context(open_database("sqlite", "nowhere"), lambda: 0.0),
    )


def health(**roles: tuple[str, bool, dict[str, Any]]) -> dict[str, Any]:
    """What the supervisor tells."""
    return {
        "roles": [
            {
                "role": name.replace("_", "-"),
                "state": state,
                "healthy": healthy,
                "detail": detail,
            }
            for name, (state, healthy, detail) in roles.items()
        ]
    }


def test_metrics_are_shown_while_every_thread_waits_for_the_database() -> None:
    """An operator must see the lag of a database that hangs."""
    released = threading.Event()

    async def asked() -> int:
        loop = asyncio.get_running_loop()
        for _ in range(100):  # more than there are threads
            loop.run_in_executor(None, released.wait)
        app: Any = application(lambda: FINE, lambda: b"fairlane_ready 1.0\n")
        async with (
            app.lifespan(),
            AsyncClient(transport=ASGITransport(app), base_url="http://here") as http,
        ):
            try:
                return (await http.get("/metrics", timeout=10)).status_code
            finally:
                released.set()

    assert 200 == asyncio.run(asyncio.wait_for(asked(), 10))


def test_livez_answers_whatever_the_checks_say() -> None:
    """Life is that the loop turns; a restart would mend nothing else."""
    with client([Check("database", False)]) as http_client:
        assert http_client.get("/livez").status_code == 200


def test_readyz_is_green_only_when_every_check_is() -> None:
    """200 and 503; no checks at all is not ready either."""
    for checks, status in (
        (FINE, 200),
        ([*FINE, Check("journal-radius-0", False, "disk full")], 503),
        ([], 503),
    ):
        with client(checks) as http_client:
            assert status == http_client.get("/readyz").status_code


def test_readyz_verbose_lists_each_check_with_its_reason() -> None:
    """A person sees what is red and why."""
    with client([*FINE, Check("journal-radius-0", False, "disk full")]) as http_client:
        lines = http_client.get("/readyz?verbose").text.splitlines()

    assert [
        "[+] database ok",
        "[+] roles ok",
        "[-] journal-radius-0 failed: disk full",
        "not ready",
    ] == lines


def test_metrics_are_in_the_text_format() -> None:
    """Prometheus needs the version in the type."""
    with client(FINE) as http_client:
        answer = http_client.get("/metrics")

    assert answer.text == "fairlane_ready 1.0\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_openapi_document_is_served_and_no_page_loads_foreign_scripts() -> None:
    """/openapi.json is there; nothing else that a browser would run."""
    with client(FINE) as http_client:
        document = http_client.get("/openapi.json").json()
        pages = [
            http_client.get(path).status_code
            for path in ("/schema/swagger", "/schema/redoc", "/schema/elements")
        ]

    assert {"/livez", "/readyz", "/metrics"} <= document["paths"].keys()
    assert [404, 404, 404] == pages


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nothing", 404, "not_found"), ("POST", "/livez", 405, None)],
)
def test_errors_are_problem_details(
    method: str, path: str, status: int, code: str | None
) -> None:
    """RFC 9457 section 3, with a stable code."""
    with client(FINE) as http_client:
        answer = http_client.request(method, path)

    assert status == answer.status_code
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert code in (None, answer.json()["code"])
    assert status == answer.json()["status"]


def test_fault_tells_nothing_of_the_inside() -> None:
    """RFC 9457 section 5: problem details do not leak what is inside."""

    def broken() -> list[Check]:
        raise RuntimeError("postgresql://user:password@host")

    built = application(broken, lambda: b"")
    with TestClient(built, raise_server_exceptions=False) as http_client:
        answer = http_client.get("/readyz")

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "password" not in answer.text


def test_checks_name_database_journals_ledger_and_roles() -> None:
    """All serve: every check is green."""
    told = health(
        radius_0=("serving", True, {"journal": "writable"}),
        ledger=("serving", True, {}),
        control=("serving", True, {}),
    )
    checks = judge(told, 99.0, DatabaseCheck(problem="", at=99.0), 100.0)

    assert ["database", "journal-radius-0", "ledger", "roles"] == [
        check.name for check in checks
    ]
    assert all(check.healthy for check in checks)


def test_journal_that_cannot_be_written_is_red_with_its_reason() -> None:
    """The role's own words are the detail."""
    told = health(radius_0=("serving", False, {"journal": "No space left on device"}))
    checks = judge(told, 99.0, DatabaseCheck(problem="", at=99.0), 100.0)

    assert Check("journal-radius-0", False, "No space left on device") in checks


def test_dead_role_is_red() -> None:
    """A role that is being started again does not serve."""
    told = health(ledger=("pausing", False, {}))
    checks = judge(told, 99.0, DatabaseCheck(problem="", at=99.0), 100.0)

    assert Check("roles", False, "ledger is pausing") in checks


def test_old_news_are_no_news() -> None:
    """A supervisor that is silent for five seconds, a database check that hangs."""
    told = health(ledger=("serving", True, {}))
    checks = judge(told, 90.0, DatabaseCheck(problem="", at=80.0), 100.0)

    assert ["database", "roles"] == [c.name for c in checks if not c.healthy]


def test_daemon_serves_health_and_the_metrics_of_all_roles(tmp_path: Path) -> None:
    """Through real processes: ready, metrics of the supervisor, the document."""
    targets = {**SMALL_ROLES, "control": "daemon.control_role:run"}
    with running(tmp_path, targets=targets) as daemon:
        daemon.wait_ready()

        def get(path: str) -> tuple[int, str]:
            connection = http.client.HTTPConnection(*daemon.http, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
            connection.close()
            return answer.status, body

        daemon.wait(lambda: get("/readyz")[0] == 200)
        assert get("/livez") == (200, "ok\n")
        assert "[+] journal-radius-0 ok: writable" in get("/readyz?verbose")[1]
        text = get("/metrics")[1]
        assert "fairlane_ready 1.0" in text
        assert 'fairlane_build_info{python="' in text
        assert json.loads(get("/openapi.json")[1])["info"]["title"] == "Fairlane"
        assert daemon.end() == 0
