"""The way in over HTTP: tokens for client credentials, and what opens without one."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar, get
from litestar.middleware import DefineMiddleware
from litestar.testing import TestClient
from rest_site import bare_context

from controlplane.rest import oauth
from controlplane.rest.application import build
from controlplane.rest.authentication import (
    REMEMBERED_SECONDS,
    Authentication,
    Gate,
    requires,
)
from controlplane.rest.limits import KEYS_MAX, Buckets
from controlplane.rest.problems import Problem, on_problem, pointer
from services.clients import Credentials, add_client, issue_token, revoke_client
from services.principal import Role, Scope
from storage.database import Database
from storage.network import Change, apply

GRANT = {"grant_type": "client_credentials"}


class Moment:
    """A clock that a test moves by hand, for both kinds of time."""

    def __init__(self) -> None:
        self.seconds = 1_790_000_000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.seconds


@pytest.fixture
def moment() -> Moment:
    """The time of the test."""
    return Moment()


@pytest.fixture
def credentials(database: Database, moment: Moment) -> Credentials:
    """A client of the ISP aurora."""
    with database.write.begin() as connection:
        row = Change("add", "isp", "aurora", {"name": "aurora"})
        apply(connection, [row], int(moment()))
    made = add_client(
        database,
        name="portal",
        role=Role.ISP_READER,
        owner="aurora",
        now=int(moment()),
    )
    assert isinstance(made, Credentials)
    return made


@pytest.fixture
def http(
    database: Database, moment: Moment, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TestClient[Any]]:
    """The whole application; a wrong secret waits for no more than a moment."""
    monkeypatch.setattr(oauth, "WRONG_SECONDS", 0.001)
    application = build(
        checks=list,
        metrics=bytes,
        version="1",
        context=bare_context(database, moment),
    )
    with TestClient(application) as client:
        yield client


def basic(credentials: Credentials) -> dict[str, str]:
    """The header of HTTP Basic."""
    text = ":".join(credentials).encode()
    return {"authorization": "Basic " + base64.b64encode(text).decode()}


def test_a_token_is_given_for_credentials_in_the_header_or_the_form(
    http: TestClient[Any], credentials: Credentials
) -> None:
    """RFC 6749 sections 2.3.1, 4.4.2 and 5.1."""
    in_form = GRANT | credentials._asdict()
    answers = [
        http.post("/oauth/token", data=GRANT, headers=basic(credentials)),
        http.post("/oauth/token", data=in_form),
    ]

    for answer in answers:
        assert 200 == answer.status_code
        assert "no-store" == answer.headers["cache-control"]
        assert "Bearer" == answer.json()["token_type"]
        assert 3600 == answer.json()["expires_in"]
        assert "usage.read" in answer.json()["scope"].split()


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        (GRANT, 401, "invalid_client"),
        (GRANT | {"client_id": "x", "client_secret": "y"}, 401, "invalid_client"),
    ],
)
def test_what_is_no_grant_is_refused_as_rfc_6749_says(
    http: TestClient[Any], form: dict[str, str], status: int, error: str
) -> None:
    """RFC 6749 section 5.2, with its own form of error."""
    answer = http.post("/oauth/token", data=form)

    assert (status, error) == (answer.status_code, answer.json()["error"])


@pytest.mark.parametrize("header", ["Basic !", "Basic YQ==", "Bearer x", "Basic"])
def test_a_header_that_holds_no_credentials_is_refused(
    http: TestClient[Any], header: str
) -> None:
    """It does not fall back to anything."""
    answer = http.post("/oauth/token", data=GRANT, headers={"authorization": header})

    assert (401, "invalid_client") == (answer.status_code, answer.json()["error"])


def test_wrong_secrets_are_limited_and_the_right_one_waits_too(
    http: TestClient[Any], credentials: Credentials, moment: Moment
) -> None:
    """Five tries, then 429 with a time to wait, after which the right one is heard."""
    wrong = GRANT | {"client_id": credentials.client_id, "client_secret": "wrong"}
    statuses = [http.post("/oauth/token", data=wrong).status_code for _ in range(6)]
    assert [401] * 5 + [429] == statuses
    right = GRANT | credentials._asdict()
    limited = http.post("/oauth/token", data=right)
    assert 429 == limited.status_code
    moment.seconds += int(limited.headers["retry-after"])
    assert 200 == http.post("/oauth/token", data=right).status_code


def test_many_guesses_at_once_are_as_many(
    http: TestClient[Any], credentials: Credentials
) -> None:
    """None is compared beyond the five, however they come; the right secret, again and
    again, is never limited."""
    right = GRANT | credentials._asdict()
    for _ in range(20):
        assert 200 == http.post("/oauth/token", data=right).status_code
    wrong = GRANT | {"client_id": credentials.client_id, "client_secret": "wrong"}

    def guess(_: int) -> int:
        return int(http.post("/oauth/token", data=wrong).status_code)

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(guess, range(20)))

    assert (5, 15) == (statuses.count(401), statuses.count(429))


def probe(
    database: Database, moment: Moment, requests: Buckets
) -> tuple[Litestar, Gate]:
    """An application with one route that needs a scope and one that needs another."""

    @get("/read", guards=[requires(Scope.USAGE_READ)], sync_to_thread=False)
    def read() -> str:
        return "read"

    @get("/write", guards=[requires(Scope.ORDERS_WRITE)], sync_to_thread=False)
    def write() -> str:
        return "written"

    gate = Gate(database, now=moment, monotonic=moment, requests=requests)
    application = Litestar(
        [read, write],
        middleware=[DefineMiddleware(Authentication, gate=gate)],
        exception_handlers={Problem: on_problem},
        logging_config=None,
    )
    return application, gate


def test_a_guard_is_called_in_place() -> None:
    """The framework gives a guard that is a plain function a thread each time."""
    assert inspect.iscoroutinefunction(requires(Scope.QUALIFY))


def bearer(
    database: Database, credentials: Credentials, moment: Moment
) -> dict[str, str]:
    """The header of a fresh token."""
    token = issue_token(database, *credentials, "", int(moment()))
    assert hasattr(token, "access_token")
    return {"authorization": f"Bearer {token.access_token}"}


def test_a_token_opens_what_its_scope_names_and_nothing_else(
    database: Database, credentials: Credentials, moment: Moment
) -> None:
    """401 without or with a wrong token, 403 without the scope (RFC 6750 section 3)."""
    application, _ = probe(database, moment, Buckets(1.0, 100.0))
    headers = bearer(database, credentials, moment)
    with TestClient(application) as client:
        answers = [
            client.get("/read"),
            client.get("/read", headers={"authorization": "Bearer nonsense"}),
            client.get("/read", headers=headers),
            client.get("/write", headers=headers),
        ]

    assert [401, 401, 200, 403] == [answer.status_code for answer in answers]
    assert ["unauthorized", "invalid_token", "insufficient_scope"] == [
        answer.json()["code"] for answer in answers if answer.status_code > 400
    ]
    assert all("www-authenticate" in a.headers for a in answers if a.status_code > 400)


def test_a_revoked_token_is_out_within_seconds(
    database: Database, credentials: Credentials, moment: Moment
) -> None:
    """What is remembered of a token is forgotten soon."""
    application, _ = probe(database, moment, Buckets(1.0, 100.0))
    headers = bearer(database, credentials, moment)
    with TestClient(application) as client:
        assert 200 == client.get("/read", headers=headers).status_code
        revoke_client(database, "portal", int(moment()))
        moment.seconds += REMEMBERED_SECONDS
        assert 401 == client.get("/read", headers=headers).status_code


def test_tokens_that_are_none_are_limited_by_where_they_come_from(
    database: Database, credentials: Credentials, moment: Moment
) -> None:
    """Each costs a look-up; who has a token that is remembered goes on."""
    application, _ = probe(database, moment, Buckets(1000, 1000))
    mine = bearer(database, credentials, moment)
    with TestClient(application) as client:
        assert 200 == client.get("/read", headers=mine).status_code
        wrong = [
            client.get("/read", headers={"authorization": f"Bearer {n}"}).status_code
            for n in range(60)
        ]
        known = client.get("/read", headers=mine).status_code

    assert (50, 10) == (wrong.count(401), wrong.count(429))
    assert 200 == known


def test_a_client_in_a_hurry_is_told_when_to_come_back(
    database: Database, credentials: Credentials, moment: Moment
) -> None:
    """429 with Retry-After; the bucket fills again with time."""
    application, _ = probe(database, moment, Buckets(1.0, 2.0))
    headers = bearer(database, credentials, moment)
    with TestClient(application) as client:
        statuses = [client.get("/read", headers=headers) for _ in range(3)]
        assert [200, 200, 429] == [answer.status_code for answer in statuses]
        assert "1" == statuses[-1].headers["retry-after"]
        moment.seconds += 1
        assert 200 == client.get("/read", headers=headers).status_code


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.integers(1, 5))
def test_a_bucket_gives_no_more_than_burst_and_rate_allow(
    gaps: list[float], burst: int
) -> None:
    """In any span it gives at most burst + rate * seconds, whatever the rhythm."""
    buckets, now, taken = Buckets(0.5, float(burst)), 0.0, 0
    for gap in gaps:
        now += gap
        taken += buckets.take("k", now) == 0.0

    assert taken <= burst + 0.5 * now + 1e-6


def test_buckets_are_bounded() -> None:
    """A stranger with many names makes us forget the oldest, not grow."""
    buckets = Buckets(1.0, 1.0)
    for number in range(KEYS_MAX + 10):
        buckets.take(str(number), 0.0)

    assert buckets.take("0", 0.0) == 0.0
    assert buckets.take(str(KEYS_MAX + 9), 0.0) > 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("data", ""),
        ("a", "/a"),
        ("serviceOrderItem[0].service.name", "/serviceOrderItem/0/service/name"),
        ("a~b", "/a~0b"),
    ],
)
def test_paths_of_the_framework_become_json_pointers(path: str, expected: str) -> None:
    """RFC 6901 section 3."""
    assert expected == pointer(path)
