"""Every route against every role and a foreign tenant: nothing of another's is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from litestar import Litestar
from provisioning_site import body
from rest_site import OWNERS, RestSite

from provisioning.resume_token import issue
from services.principal import SCOPES, Role
from storage.columns import metadata
from storage.database import Database
from storage.tables import session

OPEN = {"/livez", "/readyz", "/metrics", "/oauth/token"}
BOREALIS = (Role.ISP_SYSTEM, "borealis")
PRINCIPALS = [(role, owner) for role, owners in OWNERS.items() for owner in owners]


@pytest.fixture
def site(database: Database) -> Iterator[RestSite]:
    """The network with REST in front of it."""
    made = RestSite(database)
    with made.http:
        yield made


def operations(application: Litestar) -> list[tuple[str, str]]:
    """Every method and path of the interface, as its own document lists them."""
    document = application.openapi_schema.to_schema()
    return [
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
        if method in ("get", "post", "put", "patch", "delete")
    ]


def filled(path: str) -> str:
    """A path with ids that nobody has."""
    return re.sub(r"\{[^}]*\}", "999", path)


def test_no_route_is_open_but_those_that_say_so(site: RestSite) -> None:
    """401 without a token, for every operation of the document."""
    found = operations(site.application)
    answers = {
        (method, path): site.http.request(method, filled(path)).status_code
        for method, path in found
        if path not in OPEN
    }

    assert len(found) > 25
    assert {401} == set(answers.values())


@pytest.mark.parametrize(("role", "owner"), PRINCIPALS)
def test_a_role_opens_nothing_that_its_scopes_do_not_name(
    site: RestSite, role: Role, owner: str | None
) -> None:
    """403 exactly where the scope that a route needs is missing; never a fault."""
    for method, path in operations(site.application):
        if path in OPEN:
            continue
        answer = site.ask(method, filled(path), role, owner, json={})
        assert answer.status_code < 500, (method, path, answer.text)
        if answer.status_code == 403:
            assert answer.json()["code"] in ("insufficient_scope", "isp_not_allowed")
    assert SCOPES[role]


def test_what_an_isp_has_is_nowhere_for_another(site: RestSite) -> None:
    """Not by id, not in a list: 404, or a list without it."""
    order_id = site.ask("POST", ORDER_PATH, json=body()).json()["id"]
    check = {"place": [{"role": "line", "name": "line1"}]}
    check_id = site.ask("POST", CHECK_PATH, json=check).json()["id"]
    site.run()
    site.now += 5
    site.connect("sub1@aurora.example")
    with site.database.write.begin() as connection:
        connection.execute(session.update().values(tenant="aurora"))
    site.lease("line1", "aurora-line1", "100.64.0.2")
    secrets = (order_id, check_id, "sub1@aurora", "line1", "100.64.0.2")
    for method, path in operations(site.application):
        if method != "GET" or path in OPEN:
            continue
        for known in (order_id, check_id, "1", "2026-11"):
            answer = site.ask("GET", re.sub(r"\{[^}]*\}", known, path), *BOREALIS)
            assert not any(word in answer.text for word in secrets), path

    mine = site.ask("GET", "/v1/sessions").text
    assert "sub1@aurora" in mine
    assert "sub1@aurora" in site.ask("GET", "/v1/sessions", *STAFF).text


STAFF = (Role.NETWORK_CSR, None)
ORDER_PATH = "/tmf-api/serviceOrdering/v4/serviceOrder"
CHECK_PATH = "/tmf-api/serviceQualificationManagement/v4/checkServiceQualification"


def test_an_isp_s_own_pools_are_shown_and_no_other_s(site: RestSite) -> None:
    """The network sees all of them."""

    def names(*who: Any) -> set[str]:
        return {row["tenant"] for row in site.ask("GET", "/v1/pools", *who).json()}

    assert {"aurora"} == names()
    assert {"borealis"} == names(*BOREALIS)
    assert {"aurora", "borealis"} <= names(*STAFF)


def test_a_command_to_the_address_server_is_taken_once(site: RestSite) -> None:
    """The same key gives the same command, another body under it a conflict."""
    path, key = "/v1/overallocation-requests", {"idempotency-key": "k1"}
    asked = {"pool": "aurora-harbour", "size": 8}
    first = site.ask("POST", path, json=asked, headers=key)
    again = site.ask("POST", path, json=asked, headers=key)
    other = site.ask("POST", path, json=asked | {"size": 9}, headers=key)

    assert (202, 202, 409) == tuple(a.status_code for a in (first, again, other))
    assert first.json() == again.json()
    place = first.headers["location"]
    assert 200 == site.ask("GET", place).status_code
    assert 404 == site.ask("GET", place, *BOREALIS).status_code
    unkeyed = site.ask("POST", path, json=asked, headers={"idempotency-key": ""})
    assert (400, "bad_client_key") == (unkeyed.status_code, unkeyed.json()["code"])
    assert 400 == site.ask("GET", path, params={"state": "pendign"}).status_code
    assert [] == site.ask("GET", path, params={"state": "escalated"}).json()
    for unseen in (f"{path}/7/deny", "/v1/loans/7/recall"):
        assert 404 == site.ask("POST", unseen, json={}).status_code


def test_a_purchase_by_event_id_happens_once(site: RestSite) -> None:
    """The same event gets the same answer, another body a conflict."""
    event = {
        "event_id": "e1",
        "action": "sale",
        "reference": "r1",
        "at": site.now,
        "user": "nobody",
        "product": "film",
    }
    who = (Role.BSP_SYSTEM, "filmhouse")
    first = site.ask("POST", "/v1/purchases", *who, json=event)
    again = site.ask("POST", "/v1/purchases", *who, json=event)
    other = site.ask("POST", "/v1/purchases", *who, json=event | {"user": "x"})

    assert (200, 200, 409) == tuple(a.status_code for a in (first, again, other))
    assert first.json() == again.json()
    assert "unknown_user" == first.json()["denial"]
    assert "event_id_conflict" == other.json()["code"]
    for wrong in ({"event_id": ""}, {"reference": ""}, {"event_id": "e" * 254}):
        answer = site.ask("POST", "/v1/purchases", *who, json=event | wrong)
        assert 400 == answer.status_code


STRANGERS = [
    (Role.ISP_CSR, "borealis"),
    (Role.BSP_SYSTEM, "filmhouse"),
    (Role.CLIENT_SOFTWARE, None),
]


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("who", STRANGERS, ids=lambda who: f"{who[0]}")
def test_what_an_isp_has_is_changed_by_no_stranger(site: RestSite, who: Any) -> None:
    """Every operation that changes something, with every id that Aurora has, and with
    bodies that would do: nothing of Aurora's is another afterwards, nor is it shown.
    Aurora itself changes it so."""
    mine = made_by_aurora(site)
    before = state_of(site)
    for answer in attempts(site, who, mine):
        assert answer.status_code < 500, answer.text
        assert answer.status_code != 429
        assert "sub1@aurora" not in answer.text
    after = state_of(site)
    token = issue(mine[0], site.keys.token_key)
    shown = site.ask("GET", f"/v1/activations/{token}", *who).status_code
    for _ in attempts(site, (Role.ISP_CSR, "aurora"), mine):
        pass

    assert before == after
    assert shown in (403, 404) or who[0] is Role.CLIENT_SOFTWARE
    assert before != state_of(site)


def made_by_aurora(site: RestSite) -> tuple[str, ...]:
    """An order with an appointment, a lead, a customer and a webhook; their ids."""
    sent = body() | {"requestedStartDate": "2026-12-01T00:00:00Z"}
    sent["serviceOrderItem"][0]["appointment"] = APPOINTMENT
    order_id = str(site.ask("POST", ORDER_PATH, json=sent).json()["id"])
    lead = {"contact": "ann@example.net", "wanted": "x", "address": "77 Elm Road"}
    lead_id = str(site.ask("POST", "/v1/leads", json=lead).json()["id"])
    customer = {"name": "C-1", "full_name": "Ann Lee"}
    site.ask("POST", "/v1/inventory/customer", json=customer)
    hub = "/tmf-api/serviceOrdering/v4/hub"
    hook = {"callback": "https://example.net/hook"}
    hook_id = str(site.ask("POST", hub, json=hook).json()["id"])
    return order_id, f"{order_id}.0", lead_id, hook_id, "customer"


APPOINTMENT = {
    "validFor": {
        "startDateTime": "2026-12-02T10:00:00Z",
        "endDateTime": "2026-12-02T12:00:00Z",
    }
}


def attempts(site: RestSite, who: Any, ids: tuple[str, ...]) -> Iterator[Any]:
    """Ask for every change of everything; give the answers."""
    bodies = (
        {"cancellationReason": "x", "serviceOrder": {"id": ids[0]}},
        {"requestedStartDate": "2027-01-01T00:00:00Z"},
        {"site": None, "reason": "x", "full_name": "Eve"},
        APPOINTMENT,
    )
    for method, path in operations(site.application):
        if method == "GET" or ("{" not in path and "cancel" not in path):
            continue
        site.now += 2  # so that nobody asks too often
        for values in product(ids if "{" in path else ("",), ("C-1", "0")):
            parts = iter(values)
            place = re.sub(r"\{[^}]*\}", lambda _, p=parts: next(p), path)  # type: ignore[misc]
            for sent in bodies:
                headers = {"if-match": '"1"'}
                yield site.ask(method, place, *who, json=sent, headers=headers)


def state_of(site: RestSite) -> Any:
    """All of Aurora's that a stranger could change."""
    kinds = (
        "service_order",
        "service_order_item",
        "order_task",
        "cancel_order",
        "lead",
        "customer",
        "network_object",
        "webhook",
    )
    with site.database.read.connect() as connection:
        return [list(connection.execute(metadata.tables[k].select())) for k in kinds]
