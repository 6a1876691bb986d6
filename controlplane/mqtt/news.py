"""News to MQTT: the outbox's events in order, each told before the next is looked at.

The number of the last event that the broker took is kept in the database, so a restart
goes on where it was; the one in between is told twice, with the same number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from aiomqtt import MqttError

from controlplane.events import envelope
from controlplane.mqtt import topics
from controlplane.mqtt.intake import Intake
from controlplane.mqtt.link import Link, News
from services.desired_state import actual
from services.device_reports import REQUEST_EVENT
from services.provisioning import Provisioning, Transaction
from storage import desired_states
from storage.database import StorageError
from storage.outbox import NumberedEvent, events_since, latest_event
from telemetry import logs

READER: Final = "mqtt"
POLL_SECONDS: Final = 0.2
EVENTS_AT_ONCE: Final = 200

log = logs.get_logger("mqtt")


class NewsDesk:
    """Runs until cancelled."""

    def __init__(
        self,
        provisioning: Provisioning,
        link: Link,
        intake: Intake,
        now: Callable[[], float],
    ) -> None:
        self._provisioning = provisioning
        self._link = link
        self._intake = intake
        self._now = now

    async def run(self) -> None:
        """Tell what happened, again and again."""
        while True:
            try:
                await self._link.connected.wait()
                number, told = await asyncio.to_thread(self._read)
                await self._link.publish_all(told)
                if number is not None:
                    await asyncio.to_thread(self._keep, number)
                    await self._link.publish_all(await self._intake.look_again())
            except StorageError as error:
                log.error("news waits", error=str(error).splitlines()[0])
            except MqttError:
                pass  # the link says so, and connects again
            await asyncio.sleep(POLL_SECONDS)

    def _read(self) -> tuple[int | None, list[News]]:
        """Give how far was read, or None for no further, and what there is to tell."""
        database = self._provisioning.database
        with database.read.connect() as connection:
            cursor = desired_states.cursor(connection, READER)
            if cursor is None:  # from now on
                return latest_event(connection), []
            events = events_since(connection, cursor, EVENTS_AT_ONCE)
        if not events:
            return None, []
        with self._provisioning.transaction(int(self._now())) as transaction:
            told = [news for event in events for news in _news(transaction, event)]
        return events[-1].number, told

    def _keep(self, number: int) -> None:
        with self._provisioning.database.write.begin() as connection:
            desired_states.move_cursor(connection, READER, number)


def _news(transaction: Transaction, numbered: NumberedEvent) -> list[News]:
    event = numbered.event
    told = []
    if event.type == REQUEST_EVENT:
        body = msgspec.json.encode({"at": numbered.at, **event.body})
        told.append(News(topics.device_request(event.tenant, event.subject), body))
    if event.type.startswith("ServiceOrder"):
        body = msgspec.json.encode(envelope(numbered))
        told.append(News(topics.order_state(event.tenant, event.subject), body))
    if event.line is not None:
        state = msgspec.json.encode(actual(transaction, event.tenant, event.line))
        told.append(News(topics.actual(event.tenant, event.line), state, retained=True))
    return told
