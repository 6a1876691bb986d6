"""Delivers events to callbacks, each callback in its own task and in order.

Neither the slowness of a callback nor its answers cost more than a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec

from controlplane.events import envelope
from controlplane.webhooks.callbacks import (
    CALLBACKS_AT_ONCE,
    CallbackError,
    Callbacks,
)
from controlplane.webhooks.signature import headers
from services import webhooks
from services.webhooks import Webhook
from storage.database import Database, StorageError
from storage.outbox import NumberedEvent
from telemetry import logs, metrics

POLL_SECONDS: Final = 0.5
EVENTS_AT_ONCE: Final = 100
TIMEOUT_SECONDS: Final = 10.0

log = logs.get_logger("webhooks")


class Delivery:
    """Runs until cancelled; ``now`` tells the epoch seconds."""

    def __init__(
        self, database: Database, now: Callable[[], float], *, allow_private: bool
    ) -> None:
        self._database = database
        self._now = now
        self._callbacks = Callbacks(
            allow_private=allow_private, seconds=TIMEOUT_SECONDS
        )

    async def run(self) -> None:
        """Deliver what is due, again and again."""
        try:
            while True:
                try:
                    await self._round()
                except StorageError as error:
                    log.error("events wait", error=str(error).splitlines()[0])
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await self._callbacks.close()

    async def _round(self) -> None:
        due = await asyncio.to_thread(
            webhooks.due, self._database, int(self._now()), CALLBACKS_AT_ONCE
        )
        await asyncio.gather(*(self._tell(told) for told in due))

    async def _tell(self, told: Webhook) -> None:
        """Tell one callback what it has yet to hear, until one event is not taken."""
        events, end = await asyncio.to_thread(
            webhooks.events_for, self._database, told, EVENTS_AT_ONCE
        )
        taken, failure = told.cursor, ""
        for event in events:
            failure = await self._post(told, event)
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

    async def _post(self, told: Webhook, event: NumberedEvent) -> str:
        """Post one event; give why it was not taken, or an empty string."""
        body = msgspec.json.encode(envelope(event))
        signed = headers(told.secret, str(event.number), body, int(self._now()))
        try:
            status, _ = await self._callbacks.post(told.callback, body, signed)
        except CallbackError as error:
            return str(error)
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return ""
        return f"HTTP {status}"
