"""Carries quota events out in the role ``control``, until cancelled."""

from __future__ import annotations

import asyncio
from typing import Final

from config.network import network_of
from daemon import clock
from daemon.network_feed import Objects
from rating.quota import Effect
from services.quota_actions import TRIES, QuotaActions
from storage.database import Database, StorageError
from storage.quota_events import acted, count_events, due
from telemetry import logs, metrics

POLL_SECONDS: Final = 1.0
_AT_ONCE: Final = 200
_LIFT_SECONDS: Final = 15.0

log = logs.get_logger("quota")


class QuotaEvents:
    """Follows the events in the database."""

    def __init__(self, database: Database, class_key: bytes) -> None:
        self._database = database
        self._class_key = class_key
        self._actions: QuotaActions | None = None
        self._objects: Objects | None = None
        self._lift_at = 0.0
        self._limiter = logs.RateLimiter(10)

    def know(self, objects: Objects) -> None:
        """Take the network's objects by kind and name."""
        self._objects, self._actions = objects, None

    async def run(self) -> None:
        """Carry out what comes; a store that is away is waited for."""
        while True:
            if self._objects is not None:
                try:
                    await asyncio.to_thread(self.step)
                except StorageError as error:
                    if self._limiter.allow("database", clock.monotonic()) is not None:
                        log.warning("quotas wait", error=str(error).splitlines()[0])
            await asyncio.sleep(POLL_SECONDS)

    def step(self) -> None:
        """Carry out what is due, each event in a transaction of its own."""
        with self._database.read.connect() as connection:
            events = due(connection, TRIES, _AT_ONCE)
        for numbered in events:
            number, event = numbered.number, numbered.event
            now = int(clock.now())
            try:
                with self._database.write.begin() as connection:
                    found = self._known().carry_out(connection, numbered, now)
            except StorageError:
                raise
            except Exception:
                log.exception("a quota event cannot be carried out", number=number)
                with self._database.write.begin() as connection:
                    acted(connection, number, now, Effect.FAILED)
                found = Effect.FAILED
            metrics.QUOTA_ACTIONS.labels(event.kind, event.action).inc()
            if numbered.tries or found is Effect.FAILED:
                log.warning(
                    "a quota did not show its effect",
                    number=number,
                    service=event.service,
                    action=event.action.value,
                    tries=numbered.tries + 1,
                )
        if clock.monotonic() >= self._lift_at:
            self._lift_at = clock.monotonic() + _LIFT_SECONDS
            with self._database.write.begin() as connection:
                self._known().lift_ended(connection, int(clock.now()))
            with self._database.read.connect() as connection:
                for labels, count in count_events(connection).items():
                    metrics.QUOTA_EVENTS.labels(*labels).set(count)

    def _known(self) -> QuotaActions:
        if self._actions is None:
            network = network_of(self._objects or {})
            self._actions = QuotaActions(network, self._class_key)
        return self._actions
