"""Events to callbacks: signed, in order, at least once; a real receiver on loopback."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from controlplane.webhooks.delivery import Delivery
from controlplane.webhooks.requests import Questions
from controlplane.webhooks.signature import headers
from provisioning.outcomes import Done, Refused, Trouble
from provisioning.task_graph import Kind
from services import webhooks
from services.order_manager import Call
from services.principal import SCOPES, Principal, Role
from services.webhooks import (
    BACK_OFF_SECONDS,
    SUSPENDED_AFTER_FAILURES,
    WEBHOOKS_PER_TENANT_MAX,
    Refusal,
    Webhook,
)
from storage.database import Database
from storage.network import lock_network
from storage.outbox import Event, publish

NOW = 1_790_000_000
DONE_SECONDS = 20.0


def principal(tenant: str = "aurora") -> Principal:
    """Someone of a tenant who may hear events."""
    role = Role.NETWORK_SYSTEM if tenant == "network" else Role.ISP_SYSTEM
    return Principal(f"{tenant}-1", tenant, role, tenant, SCOPES[role])


def happen(
    database: Database,
    *subjects: str,
    tenant: str = "aurora",
    type_: str = "stateChange",
) -> None:
    """Write events of a tenant."""
    with database.write.begin() as connection:
        lock_network(connection)
        events = [Event(tenant, type_, s, None, {"id": s}) for s in subjects]
        publish(connection, events, NOW)


def registered(database: Database, callback: str, *types: str) -> Webhook:
    """A registration over http, as tests need it."""
    made = webhooks.register(database, principal(), callback, types, insecure=True)
    assert isinstance(made, Webhook)
    return made


class Receiver:
    """A program that is told; ``statuses`` are its first answers, then 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.heard: list[dict[str, Any]] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def hear(self, request: web.Request) -> web.Response:
        """Take one event, or answer as told."""
        body = await request.read()
        self.requests.append((dict(request.headers), body))
        status = self.statuses.pop(0) if self.statuses else 204
        if status < 300:
            self.heard.append(msgspec.json.decode(body))
        return web.Response(status=status, headers={"location": "http://127.0.0.1:9/"})

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Serve on a free loopback port."""
        application = web.Application()
        application.router.add_post("/hook", self.hear)
        runner = web.AppRunner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            port = runner.addresses[0][1]
            yield f"http://127.0.0.1:{port}/hook"
        finally:
            await runner.cleanup()


async def until(said: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(DONE_SECONDS):
        while not said():  # noqa: ASYNC110 - what is waited for is in a database
            await asyncio.sleep(0.02)


@asynccontextmanager
async def delivering(
    database: Database, now: Callable[[], float], *, allow_private: bool = True
) -> AsyncIterator[None]:
    """Deliver while inside."""
    delivery = Delivery(database, now, allow_private=allow_private)
    running = asyncio.create_task(delivery.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_events_of_the_tenant_arrive_in_order_and_signed(database: Database) -> None:
    """Only its own, only since it registered, each once while all goes well."""

    async def story() -> None:
        receiver = Receiver()
        happen(database, "before")
        async with receiver.listening() as url:
            told = registered(database, url)
            happen(database, "1", "2", "3")
            happen(database, "foreign", tenant="borealis")
            async with delivering(database, lambda: NOW):
                await until(lambda: len(receiver.heard) >= 3)
                happen(database, "4")
                await until(lambda: len(receiver.heard) >= 4)
        assert ["1", "2", "3", "4"] == [e["event"]["id"] for e in receiver.heard]
        for sent, body in receiver.requests:
            signed = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.".encode()
            digest = hmac.new(told.secret, signed + body, hashlib.sha256).digest()
            expected = "v1," + base64.b64encode(digest).decode()
            assert expected == sent["webhook-signature"]

    asyncio.run(story())


def test_an_event_that_is_not_taken_is_told_again_before_the_next(
    database: Database,
) -> None:
    """A failure, a refusal and a redirect are no answer; nothing overtakes."""

    async def story() -> None:
        receiver = Receiver(204, 500, 302, 404)
        # A clock on which the longest back-off is over whenever it is read.
        hours = itertools.count(NOW, BACK_OFF_SECONDS[1])
        async with receiver.listening() as url:
            registered(database, url)
            happen(database, "1", "2", "3")
            async with delivering(database, lambda: next(hours)):
                await until(lambda: len(receiver.heard) >= 3)
        assert 6 == len(receiver.requests)
        assert ["1", "2", "3"] == [e["event"]["id"] for e in receiver.heard]

    asyncio.run(story())


def test_only_the_types_that_were_asked_for_are_told(database: Database) -> None:
    """What is passed over does not come later either."""

    async def story() -> None:
        receiver = Receiver()
        async with receiver.listening() as url:
            registered(database, url, "stateChange")
            happen(database, "no", type_="other")
            happen(database, "yes")
            async with delivering(database, lambda: NOW):
                # It is heard before it is written down that it was.
                await until(lambda: webhooks.due(database, NOW, 10) == [])
        assert ["yes"] == [e["event"]["id"] for e in receiver.heard]

    asyncio.run(story())


@pytest.mark.parametrize("callback", ["http://127.0.0.1:9/", "http://localhost:9/"])
def test_a_callback_inside_the_network_is_never_connected_to(
    database: Database, callback: str
) -> None:
    """A tenant cannot make us ask the operator's own hosts, by address or by name."""

    async def story() -> None:
        registered(database, callback)
        happen(database, "1")
        async with delivering(database, lambda: NOW, allow_private=False):
            await until(lambda: webhooks.due(database, NOW, 10) == [])
        (told,) = webhooks.due(database, NOW + BACK_OFF_SECONDS[1], 10)
        assert 1 == told.failures

    asyncio.run(story())


def test_a_dead_callback_is_asked_less_often_and_then_suspended(
    database: Database,
) -> None:
    """Its cursor stays where it was."""
    registered(database, "http://192.0.2.1/")
    happen(database, "1")
    now, waits = NOW, []
    for _ in range(SUSPENDED_AFTER_FAILURES):
        (told,) = webhooks.due(database, now, 10)
        suspended = webhooks.failed(database, told, "HTTP 500", now)
        if suspended:
            break
        wait = (
            next(w for w in range(1, 3601) if webhooks.due(database, now + w, 10))
            if now == NOW
            else BACK_OFF_SECONDS[1]
        )
        waits.append(wait)
        now += wait

    assert suspended
    assert BACK_OFF_SECONDS[0] == waits[0]
    assert [] == webhooks.due(database, now + 10**6, 10)


@pytest.mark.parametrize(
    "callback",
    [
        "",
        "example.net",
        "ftp://example.net/",
        "https:///path",
        "https://[::1",
        "http://e",
    ],
)
def test_a_callback_that_is_no_https_url_is_refused(
    database: Database, callback: str
) -> None:
    """What is sent names customers: it does not travel in clear."""
    refused = webhooks.register(database, principal(), callback, ())

    assert isinstance(refused, Refusal)
    assert "invalid_callback" == refused.code


def test_a_tenant_has_a_bounded_number_and_forgets_only_its_own(
    database: Database,
) -> None:
    """Another tenant's registration is as if it were not there."""
    made = [
        registered(database, f"http://192.0.2.1/{n}")
        for n in range(WEBHOOKS_PER_TENANT_MAX)
    ]
    refused = webhooks.register(database, principal(), "https://e.example/", ())

    assert isinstance(refused, Refusal)
    assert "too_many_webhooks" == refused.code
    assert not webhooks.unregister(database, principal("borealis"), made[0].id)
    assert webhooks.unregister(database, principal(), made[0].id)
    assert not webhooks.unregister(database, principal(), made[0].id)


@given(st.binary(), st.binary(max_size=100), st.integers(0, 2**40))
def test_a_signature_covers_the_id_the_time_and_the_body(
    secret: bytes, body: bytes, now: int
) -> None:
    """Changing any of them changes it."""
    signature = headers(secret, "7", body, now)["webhook-signature"]

    assert signature != headers(secret, "8", body, now)["webhook-signature"]
    assert signature != headers(secret, "7", body + b"x", now)["webhook-signature"]
    assert signature != headers(secret, "7", body, now + 1)["webhook-signature"]


def test_a_question_is_answered_by_the_webhook_of_its_kind(database: Database) -> None:
    """Yes, no, something else, an inside address, and nobody to ask: each its own."""

    async def story() -> None:
        receiver = Receiver(204, 409, 500)
        call = Call(
            *("order-1", 1, 1, "key-1", Kind.IDENTITY, False, "aurora", "aurora"),
            *({"line": "harbour-1"}, 5),
        )
        questions = Questions(database, lambda: NOW, allow_private=True)
        careful = Questions(database, lambda: NOW, allow_private=False)
        nobody = await questions.ask(call)
        async with receiver.listening() as url:
            registered(database, url, "identity")
            answers = [await questions.ask(call) for _ in range(3)]
            inside = await careful.ask(call)
        await questions.close()
        await careful.close()
        assert isinstance(nobody, Trouble)
        assert isinstance(inside, Trouble)
        assert len(receiver.requests) == len(answers)
        assert answers == [Done(), Refused("refused", ""), Trouble("HTTP 500")]
        assert receiver.heard[0]["line"] == "harbour-1"

    asyncio.run(story())
