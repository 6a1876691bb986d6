"""Orders and desired states from MQTT: a batch of messages is one transaction.

Messages are taken in the order in which they came, so what is said of a line is done
in that order. A message that cannot be understood is answered, not kept: it would only
come again. A bug in one leaves the others of its batch alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from controlplane.channels import MQTT
from controlplane.mqtt import topics
from controlplane.mqtt.devices import Devices
from controlplane.mqtt.link import Message, News
from provisioning.order_view import service_order
from provisioning.refusal import Refusal
from services import desired_state, orders
from services.actor import Actor
from services.desired_state import Outcome, Waiting
from services.order_assessment import Keys
from services.orders import Placed
from services.provisioning import Provisioning, Transaction
from storage.database import StorageError
from telemetry import logs, metrics

WAITING_MAX: Final = 100_000
"""Desired states that wait for an open order: a line has one at most."""

log = logs.get_logger("mqtt")


class Intake:
    """Handles what a link receives; ``now`` tells the epoch seconds, ``ring`` wakes the
    provisioning manager.
    """

    def __init__(
        self,
        provisioning: Provisioning,
        *,
        keys: Keys,
        new_id: Callable[[], str],
        now: Callable[[], float],
        ring: Callable[[], None],
        devices: Devices,
    ) -> None:
        self._provisioning = provisioning
        self._keys = keys
        self._new_id = new_id
        self._now = now
        self._ring = ring
        self._devices = devices
        self._waiting: dict[tuple[str, str], bytes] = {}

    async def handle(self, messages: Sequence[Message]) -> Sequence[News]:
        """Take up a batch; raises StorageError, and then nothing of it was done."""
        told = await asyncio.to_thread(self._take, messages)
        for message in messages:
            line = topics.acknowledged_by(message.topic)
            if line is not None:
                self._devices.acknowledged(line, message.payload)
        self._ring()
        return told

    async def look_again(self) -> Sequence[News]:
        """Take up the desired states that waited for an order to end."""
        again = [
            Message(f"{topics.PREFIX}/{isp}/lines/{line}/desired", payload, True)
            for (isp, line), payload in self._waiting.items()
        ]
        return await asyncio.to_thread(self._take, again) if again else []

    def _take(self, messages: Sequence[Message]) -> list[News]:
        told: list[News] = []
        with self._provisioning.transaction(int(self._now())) as transaction:
            for message in messages:
                try:
                    with transaction.savepoint():
                        told += self._one(transaction, message)
                except StorageError:
                    raise
                except Exception:
                    log.exception("message failed", topic=message.topic)
                    isp = topics.order_of(message.topic)
                    place = topics.desired_of(message.topic)
                    whose = isp or (place[0] if place else None)
                    if whose is not None:  # it is acknowledged, so its sender is told
                        about = place[1] if place else None
                        told += _refused(whose, about, [_FAULT])
        return told

    def _one(self, transaction: Transaction, message: Message) -> list[News]:
        isp = topics.order_of(message.topic)
        if isp is not None:
            body = _decoded(message.payload)
            if body is None:
                return _refused(isp, None, [_NOT_JSON])
            external_id = body.get("externalId")
            placed = orders.place(
                transaction,
                Actor(MQTT, isp, MQTT),
                body,
                keys=self._keys,
                new_id=self._new_id,
            )
            return _told(isp, external_id, placed)
        place = topics.desired_of(message.topic)
        if place is None or not message.payload:
            return []  # a desired state that was taken back says nothing
        return self._desired(transaction, place, message.payload)

    def _desired(
        self, transaction: Transaction, place: tuple[str, str], payload: bytes
    ) -> list[News]:
        isp, line = place
        body = _decoded(payload)
        if body is None:
            return _refused(isp, line, [_NOT_JSON])
        if isp not in transaction.inventory.isp:
            reason = f"there is no ISP called {isp!r}"
            return _refused(isp, line, [Refusal("unknown_isp", "", reason)])
        outcome = desired_state.take_up(
            transaction,
            Actor(MQTT, isp, MQTT),
            line,
            body,
            keys=self._keys,
            new_id=self._new_id,
        )
        if isinstance(outcome, Waiting) and len(self._waiting) < WAITING_MAX:
            self._waiting[place] = payload
        else:
            self._waiting.pop(place, None)
        return _told(isp, line, outcome)


_FAULT: Final = Refusal("internal_error", "", "nothing was done; send it again")
_NOT_JSON: Final = Refusal("not_json", "", "the message is not a JSON object")


def _decoded(payload: bytes) -> dict[str, Any] | None:
    try:
        body = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _told(isp: str, about: Any, outcome: Outcome) -> list[News]:
    """Tell what became of it; of what changed nothing there is nothing to tell."""
    if isinstance(outcome, list):
        return _refused(isp, about, outcome)
    if not isinstance(outcome, Placed):
        return []
    body = msgspec.json.encode(service_order(outcome.order))
    return [News(topics.order_state(isp, outcome.order.id), body)]


def _refused(isp: str, about: Any, refusals: Sequence[Refusal]) -> list[News]:
    metrics.MQTT_REFUSED.labels(refusals[0].code).inc()
    body = {
        "about": about if isinstance(about, str) else None,
        "code": refusals[0].code,
        "detail": refusals[0].reason,
        "errors": [one._asdict() for one in refusals],
    }
    return [News(topics.refused(isp), msgspec.json.encode(body))]
