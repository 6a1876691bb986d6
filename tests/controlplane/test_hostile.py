"""Bodies that are meant to break something: refused, and nobody else is held up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from provisioning_site import body
from rest_site import RestSite

from controlplane.mqtt.devices import Devices
from controlplane.mqtt.intake import Intake
from controlplane.mqtt.link import Message
from services.principal import Role
from storage.database import Database

ORDERS = "/tmf-api/serviceOrdering/v4/serviceOrder"
CHECKS = "/tmf-api/serviceQualificationManagement/v4/checkServiceQualification"
STAFF = (Role.NETWORK_CSR, None)
JSON = {"content-type": "application/json"}
NUL = "A\0B"
AT = {"place": [{"role": "line", "name": "line1"}]}


@pytest.fixture
def site(database: Database) -> Iterator[RestSite]:
    """The network with REST in front of it."""
    made = RestSite(database)
    with made.http:
        yield made


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize("path", [ORDERS, CHECKS, "/v1/inventory/line", "/v1/leads"])
def test_a_body_without_bottom_is_refused(site: RestSite, path: str) -> None:
    """Whether it is closed again or not; and so is one that is not UTF-8."""
    deep = b'{"externalId": ' + b"[" * 50_000
    for sent in (deep, deep + b"]" * 50_000 + b"}", b'{"externalId": "\xed\xa0\x80"}'):
        answer = site.ask("POST", path, *STAFF, content=sent, headers=JSON)
        assert 400 == answer.status_code, answer.text


TWICE: list[tuple[str, tuple[Role, str | None], bytes]] = [
    (ORDERS, STAFF, b'{"externalId": "A-1", "externalId": "A-2"}'),
    (ORDERS, STAFF, b'{"serviceOrderItem": [{"id": "1", "\\u0069d": "2"}]}'),
    (
        "/v1/purchases",
        (Role.BSP_SYSTEM, "filmhouse"),
        b'{"event_id": "e", "action": "sale", "amount": 1, "amount": 100}',
    ),
    (
        "/v1/bsp-usage",
        (Role.BSP_SYSTEM, "filmhouse"),
        b'[{"event_id": "e", "quantity": 1, "quantity": 2}' + b" " * 70_000 + b"]",
    ),
]


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_body_that_says_a_thing_twice_is_refused_by_name(site: RestSite) -> None:
    """RFC 8259 section 4: which of the two counts is a guess, at money perhaps."""
    keys = ("externalId", "id", "amount", "quantity")
    for key, (path, who, sent) in zip(keys, TWICE, strict=True):
        answer = site.ask("POST", path, *who, content=sent, headers=JSON)
        reason = f"the key {key!r} stands twice in one object"
        assert (400, "duplicate_key", reason) == (
            answer.status_code,
            answer.json()["code"],
            answer.json()["detail"],
        )


ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", ORDERS, {"json": body(NUL)}),
    ("POST", ORDERS, {"json": body("A-1", line=NUL)}),
    ("POST", ORDERS, {"json": body("A-2", user=NUL)}),
    ("POST", ORDERS, {"json": body("A-4") | {"description": NUL}}),
    ("GET", ORDERS, {"params": {"externalId": NUL}}),
    ("GET", f"{ORDERS}/%00", {}),
    ("POST", CHECKS, {"json": {"externalId": NUL} | AT}),
    ("POST", CHECKS, {"json": {"place": [{"role": "address", "value": NUL}]}}),
    ("POST", "/v1/leads", {"json": {"contact": NUL, "wanted": "x"}}),
    ("GET", "/v1/changes", {"params": {"name": NUL}}),
    ("GET", "/v1/leases", {"params": {"line": NUL}}),
    ("POST", "/v1/inventory/customer", {"json": {"name": "x", "full_name": NUL}}),
]


def test_what_no_database_keeps_is_refused_where_it_comes_in(site: RestSite) -> None:
    """PostgreSQL refuses U+0000 for ever: it is no trouble that passes. What only looks
    like it is taken."""
    for method, path, more in ASKED:
        answer = site.ask(method, path, **more)
        told = (answer.status_code, answer.json()["code"])
        assert (400, "nul_character") == told, (method, path, more)
    like = site.ask("POST", ORDERS, json=body("A-9", customer="C:\\u0000"))

    assert "acknowledged" == like.json()["state"]


def test_a_message_that_no_database_keeps_holds_up_no_other(site: RestSite) -> None:
    """It would come again from the broker for ever, and all that is behind it wait."""
    intake = Intake(
        site.provisioning,
        keys=site.keys,
        new_id=site.new_id,
        now=lambda: float(site.now),
        ring=lambda: None,
        devices=Devices(),
    )
    isp = "fairlane/v1/aurora"
    desired = {"version": 1, "service": None}
    sent = [
        (f"{isp}/orders", body(NUL)),
        (f"{isp}/orders", body("A-2", user=NUL)),
        ("fairlane/v1/%00/orders", body("A-3")),
        (f"{isp}/lines/%00/desired", desired),
        (f"{isp}/lines/line1/desired", desired | {"note": NUL}),
        (f"{isp}/lines/line1/desired", {"version": 2**63, "service": None}),
        (f"{isp}/lines/line2/desired", {"version": 10**30, "service": {}}),
        (f"{isp}/lines/{'x' * 9000}/desired", desired),
        (f"{isp}/lines/%00/device/report", {}),
        (f"{isp}/lines/line1/device/report", {"service": NUL}),
        (f"{isp}/orders", body("A-9")),
    ]
    broken = b'{"key": "\xed\xa0\x80", "result": "done"}'
    places = ("orders", "lines/line1/desired", "lines/line1/device/report")
    topics = [f"{isp}/{p}" for p in (*places, "lines/line1/device/acknowledgement")]
    messages = [Message(topic, broken, False) for topic in topics]
    messages += [Message(topic, json.dumps(one).encode(), False) for topic, one in sent]
    asyncio.run(intake.handle(messages))

    assert ["A-9"] == [order.external_id for order in site.orders()]
