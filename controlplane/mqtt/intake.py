"""Orders and desired states from MQTT: a batch of messages is one transaction.

Messages are taken in the order in which they came, so what is said of a line is done
in that order. A message that cannot be understood is answered, not kept: it would only
come again. A bug in one leaves the others of its batch alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgspec

from controlplane.channels import MQTT
from controlplane.foreign_json import UnreadableError, read_json
from controlplane.mqtt import topics
from controlplane.mqtt.devices import Devices
from controlplane.mqtt.link import Message, News
from provisioning.order_view import service_order
from provisioning.refusal import Refusal
from services import desired_state, device_reports, orders
from services.actor import Actor
from services.desired_state import Outcome, Stale, Waiting
from services.order_assessment import Keys
from services.orders import Command, Placed
from services.provisioning import Provisioning, Transaction
from storage.database import is_away
from telemetry import logs, metrics

WAITING_MAX: Final = 100_000
"""Desired states that wait for an open order: a line has one at most."""

log = logs.get_logger("mqtt")


class _Held(NamedTuple):
    version: int
    payload: bytes


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
        self._waiting: dict[tuple[str, str], _Held] = {}

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
            Message(f"{topics.PREFIX}/{isp}/lines/{line}/desired", held.payload, True)
            for (isp, line), held in self._waiting.items()
        ]
        return await asyncio.to_thread(self._take, again) if again else []

    def _take(self, messages: Sequence[Message]) -> list[News]:
        told: list[News] = []
        with self._provisioning.transaction(int(self._now())) as transaction:
            for are_orders, run in groupby(messages, _is_order):
                part = list(run)
                if not are_orders:
                    told += self._one_by_one(transaction, part)
                    continue
                try:
                    with transaction.savepoint():
                        told += self._orders(transaction, part)
                except Exception as error:
                    if is_away(error):
                        raise
                    # A bug: told below, by itself.
                    log.error("messages failed together", error=type(error).__name__)
                    told += self._one_by_one(transaction, part)
        return told

    def _one_by_one(
        self, transaction: Transaction, messages: Sequence[Message]
    ) -> list[News]:
        """Take up each in a savepoint of its own, so that a bug in one stays there."""
        told: list[News] = []
        for message in messages:
            try:
                with transaction.savepoint():
                    told += self._one(transaction, message)
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("message failed", topic=message.topic)
                isp = topics.order_of(message.topic)
                place = topics.desired_of(message.topic)
                # It is acknowledged, so its sender is told.
                if isp is not None:
                    body = _decoded(message.payload)
                    said = {} if isinstance(body, Refusal) else body
                    told += _refused(isp, said.get("externalId"), [_FAULT])
                elif place is not None:
                    told += _refused(*place, [_FAULT])
        return told

    def _orders(
        self, transaction: Transaction, messages: Sequence[Message]
    ) -> list[News]:
        """Place orders together, in their order."""
        isps = [topics.order_of(message.topic) or "" for message in messages]
        bodies = [_decoded(message.payload) for message in messages]
        sent = list(zip(isps, bodies, strict=True))
        commands = [
            Command(Actor(MQTT, isp, MQTT), body)
            for isp, body in sent
            if not isinstance(body, Refusal)
        ]
        placed = orders.place_all(
            transaction, commands, keys=self._keys, new_id=self._new_id
        )
        outcomes, told = iter(placed), list[News]()
        for isp, body in sent:
            if isinstance(body, Refusal):
                told += _refused(isp, None, [body])
            else:
                told += _told(isp, body.get("externalId"), next(outcomes))
        return told

    def _one(self, transaction: Transaction, message: Message) -> list[News]:
        if _is_order(message):
            return self._orders(transaction, [message])
        place = topics.desired_of(message.topic)
        if place is not None and message.payload:  # one that was taken back is empty
            return self._desired(transaction, place, message.payload)
        place = topics.reported_by(message.topic)
        return [] if place is None else _report(transaction, place, message.payload)

    def _desired(
        self, transaction: Transaction, place: tuple[str, str], payload: bytes
    ) -> list[News]:
        isp, line = place
        body = _decoded(payload)
        if isinstance(body, Refusal):
            return _refused(isp, line, [body])
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
        self._remember(place, payload, body.get("version"), outcome)
        return _told(isp, line, outcome)

    def _remember(
        self, place: tuple[str, str], payload: bytes, version: Any, outcome: Outcome
    ) -> None:
        """Keep the newest version that waits, whatever comes late or twice."""
        held = self._waiting.get(place)
        if isinstance(outcome, Waiting):
            known = held is not None or len(self._waiting) < WAITING_MAX
            if known and (held is None or held.version < version):
                self._waiting[place] = _Held(version, payload)
            return
        decided = outcome.version if isinstance(outcome, Stale) else version
        if held is not None and isinstance(decided, int) and decided >= held.version:
            del self._waiting[place]


_FAULT: Final = Refusal("internal_error", "", "nothing was done; send it again")


def _report(
    transaction: Transaction, place: tuple[str, str], payload: bytes
) -> list[News]:
    isp, line = place
    body = _decoded(payload)
    refused = (
        [body]
        if isinstance(body, Refusal)
        else device_reports.take_up(transaction, isp, line, body)
    )
    return _refused(isp, line, refused) if refused else []


def _is_order(message: Message) -> bool:
    return topics.order_of(message.topic) is not None


def _decoded(payload: bytes) -> dict[str, Any] | Refusal:
    try:
        return read_json(payload, dict[str, Any])
    except UnreadableError as error:
        return error.refusal


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
