"""Delivers events to callbacks, each callback in its own task and in order.

A callback is somebody else's URL: it is not followed to another place, it gets no
address inside the operator's network unless the settings allow that, and neither its
slowness nor its answers cost more than a bound.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import msgspec

from controlplane.events import envelope
from controlplane.webhooks.signature import headers
from services import webhooks
from services.webhooks import Webhook
from storage.database import Database, StorageError
from storage.outbox import NumberedEvent
from telemetry import logs, metrics

POLL_SECONDS: Final = 0.5
CALLBACKS_AT_ONCE: Final = 32
EVENTS_AT_ONCE: Final = 100
TIMEOUT_SECONDS: Final = 10.0

log = logs.get_logger("webhooks")


class AddressRefusedError(OSError):
    """A callback resolves to an address that it may not have."""


def socket_factory(allow_private: bool) -> Callable[[Any], socket.socket]:
    """Make sockets for public addresses only; names are resolved by then."""

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not allow_private and not ipaddress.ip_address(address[0]).is_global:
            raise AddressRefusedError(f"{address[0]} is not a public address")
        return socket.socket(family, kind, protocol)

    return make


class Delivery:
    """Runs until cancelled; ``now`` tells the epoch seconds."""

    def __init__(
        self, database: Database, now: Callable[[], float], *, allow_private: bool
    ) -> None:
        self._database = database
        self._now = now
        self._allow_private = allow_private

    async def run(self) -> None:
        """Deliver what is due, again and again."""
        connector = aiohttp.TCPConnector(
            limit=CALLBACKS_AT_ONCE, socket_factory=socket_factory(self._allow_private)
        )
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(
            connector=connector, timeout=timeout, trust_env=False
        ) as session:
            while True:
                try:
                    await self._round(session)
                except StorageError as error:
                    log.error("events wait", error=str(error).splitlines()[0])
                await asyncio.sleep(POLL_SECONDS)

    async def _round(self, session: aiohttp.ClientSession) -> None:
        due = await asyncio.to_thread(
            webhooks.due, self._database, int(self._now()), CALLBACKS_AT_ONCE
        )
        await asyncio.gather(*(self._tell(session, told) for told in due))

    async def _tell(self, session: aiohttp.ClientSession, told: Webhook) -> None:
        """Tell one callback what it has yet to hear, until one event is not taken."""
        events, end = await asyncio.to_thread(
            webhooks.events_for, self._database, told, EVENTS_AT_ONCE
        )
        taken, failure = told.cursor, ""
        for event in events:
            failure = await self._post(session, told, event)
            metrics.WEBHOOK_DELIVERIES.labels("failed" if failure else "taken").inc()
            if failure:
                break
            taken = event.number
        if not failure:
            taken = end
        if taken > told.cursor:
            await asyncio.to_thread(webhooks.delivered, self._database, told, taken)
            told = told._replace(failures=0)
        if failure:
            suspended = await asyncio.to_thread(
                webhooks.failed, self._database, told, failure, int(self._now())
            )
            if suspended:
                log.warning("webhook suspended", id=told.id, tenant=told.tenant)

    async def _post(
        self, session: aiohttp.ClientSession, told: Webhook, event: NumberedEvent
    ) -> str:
        """Post one event; give why it was not taken, or an empty string."""
        body = msgspec.json.encode(envelope(event))
        signed = headers(told.secret, str(event.number), body, int(self._now()))
        try:
            async with session.post(
                told.callback,
                data=body,
                headers={"content-type": "application/json", **signed},
                allow_redirects=False,
            ) as answer:
                status = answer.status
        except (aiohttp.ClientError, AddressRefusedError, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return ""
        return f"HTTP {status}"
