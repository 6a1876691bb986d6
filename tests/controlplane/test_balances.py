"""Balances, top-ups and the state of usage over REST, of use that was reported."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from litestar.testing import TestClient
from rated_site import GB, NETWORK, NOON, Site
from rest_site import bare_context
from sqlalchemy.event import listen, remove

from config.network import bodies
from controlplane.rest.application import build
from services.clients import Credentials, Token, add_client, issue_token
from services.idempotency import ABANDONED_SECONDS
from services.principal import Role
from storage.database import Database
from storage.network import Change, apply

MORE = "100 GB more"
OWN = "/v1/services/aurora-101"


class _Rest:
    """REST over the demo's network, whose first subscriber has used 10 GB."""

    def __init__(self, database: Database) -> None:
        objects = bodies(NETWORK).items()
        changes = [Change("add", kind, name, body) for (kind, name), body in objects]
        with database.write.begin() as connection:
            apply(connection, changes, NOON)
        self.database = database
        self.ledger = Site(database)
        self.ledger.use(10)
        self.now = NOON + 3600
        self.http: TestClient[Any] = TestClient(
            build(
                checks=list,
                metrics=bytes,
                version="1",
                context=bare_context(database, lambda: float(self.now)),
            )
        )
        self.tokens = {
            who: self._token(database, *who)
            for who in (
                (Role.ISP_SYSTEM, "aurora"),
                (Role.ISP_SYSTEM, "borealis"),
                (Role.NETWORK_CSR, None),
                (Role.CLIENT_SOFTWARE, None),
            )
        }

    def _token(self, database: Database, role: Role, owner: str | None) -> str:
        made = add_client(
            database, name=f"{role}-{owner}", role=role, owner=owner, now=NOON
        )
        assert isinstance(made, Credentials)
        token = issue_token(database, *made, "", self.now)
        assert isinstance(token, Token)
        return token.access_token

    def ask(
        self,
        method: str,
        path: str,
        role: Role = Role.ISP_SYSTEM,
        owner: str | None = "aurora",
        key: str | None = None,
        **more: Any,
    ) -> Any:
        """Ask as a client."""
        headers = {"authorization": f"Bearer {self.tokens[role, owner]}"}
        if key is not None:
            headers["idempotency-key"] = key
        return self.http.request(method, path, headers=headers, **more)

    def included(self) -> Any:
        """The only allowance of the subscriber."""
        (bucket,) = self.ask("GET", f"{OWN}/balance").json()["buckets"]
        return bucket


@pytest.fixture
def rest(database: Database) -> Iterator[_Rest]:
    """REST, and what was used."""
    made = _Rest(database)
    with made.http:
        yield made


def test_what_a_service_has_used_and_has_left_is_shown(rest: _Rest) -> None:
    """As the ledger has it: 10 of 500 GB, free of charge so far."""
    shown = rest.ask("GET", f"{OWN}/balance").json()
    bucket = shown["buckets"][0]
    day = next(one for one in shown["used"] if one["rate"] == "data by day")

    assert (500 * GB, 490 * GB) == (bucket["granted"], bucket["remaining"])
    assert (10 * GB, 10 * GB, 0) == (day["quantity"], day["included"], day["amount"])
    assert ("2026-11-01", "2026-12-01") == (shown["since"], shown["until"])
    assert "EUR" == shown["currency"]


def test_a_topup_is_bought_once_for_each_key(rest: _Rest) -> None:
    """And once more for another; a name that is not sold is refused."""
    first, again, other = (
        rest.ask("POST", f"{OWN}/topups", key=key, json={"topup": MORE})
        for key in ("k1", "k1", "k2")
    )
    unknown = rest.ask("POST", f"{OWN}/topups", json={"topup": "none"})

    assert (200, 200, 200) == tuple(a.status_code for a in (first, again, other))
    assert {"service": "aurora-101", "topup": MORE, "state": "bought"} == again.json()
    assert 200 * GB == rest.included()["topped_up"]
    assert (422, "topup_not_sold") == (unknown.status_code, unknown.json()["code"])


def test_a_topup_whose_answer_was_lost_is_not_bought_again(rest: _Rest) -> None:
    """The process dies between what was bought and the answer to it; whoever asks again
    when the claim of its key is abandoned gets the answer."""
    commits = count(1)

    def dies(_: object) -> None:
        if next(commits) == 3:  # the key, the top-up, and the answer
            raise ConnectionError

    listen(rest.database.write, "commit", dies)
    try:
        lost = rest.ask("POST", f"{OWN}/topups", key="k1", json={"topup": MORE})
    finally:
        remove(rest.database.write, "commit", dies)
    rest.now += ABANDONED_SECONDS
    again = rest.ask("POST", f"{OWN}/topups", key="k1", json={"topup": MORE})
    assert (500, 200) == (lost.status_code, again.status_code)
    assert {"service": "aurora-101", "topup": MORE, "state": "bought"} == again.json()
    assert 100 * GB == rest.included()["topped_up"]


@pytest.mark.parametrize(
    ("role", "owner", "status"),
    [
        (Role.ISP_SYSTEM, "borealis", 404),
        (Role.NETWORK_CSR, None, 200),
        (Role.CLIENT_SOFTWARE, None, 403),
    ],
)
def test_a_balance_is_shown_to_the_service_s_isp_and_the_network_alone(
    rest: _Rest, role: Role, owner: str | None, status: int
) -> None:
    """For another ISP there is no such service, whether it reads or buys."""
    assert status == rest.ask("GET", f"{OWN}/balance", role, owner).status_code
    bought = rest.ask("POST", f"{OWN}/topups", role, owner, json={"topup": MORE})
    assert (200 if status == 200 else 404) == bought.status_code


def test_there_is_no_balance_before_the_tariff_s_first_version(rest: _Rest) -> None:
    """Nor of a service that nobody knows."""
    early = rest.ask("GET", f"{OWN}/balance?at=0")
    unknown = rest.ask("GET", "/v1/services/nobody/balance")
    assert (404, 404) == (early.status_code, unknown.status_code)


def test_usage_says_how_far_its_rating_is(rest: _Rest) -> None:
    """In TMF635's words, and only those of a state where one is asked for."""
    path = "/tmf-api/usageManagement/v4/usage"
    rest.ledger.use(1, session="S-2", user_name="nobody")
    states = [one["status"] for one in rest.ask("GET", path, *STAFF).json()]
    rated = rest.ask("GET", f"{path}?status=rated", *STAFF).json()

    assert ["rated", "received"] == states
    assert ["rated"] == [one["status"] for one in rated]
    assert 400 == rest.ask("GET", f"{path}?status=paid").status_code


def test_a_statement_s_lines_are_csv_where_that_is_asked_for(rest: _Rest) -> None:
    """The same lines as without, under their names."""
    path = "/v1/statements/2026-11/lines"
    plain = rest.ask("GET", path).json()
    token = rest.tokens[Role.ISP_SYSTEM, "aurora"]
    headers = {"authorization": f"Bearer {token}", "accept": "text/csv"}
    found = rest.http.get(path, headers=headers).text
    rows = list(csv.DictReader(io.StringIO(found)))

    assert plain
    assert [
        {name: "" if value is None else str(value) for name, value in one.items()}
        for one in plain
    ] == rows


STAFF = (Role.NETWORK_CSR, None)
