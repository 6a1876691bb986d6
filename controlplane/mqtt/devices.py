"""Device configuration over MQTT: a command, and its acknowledgement.

The command goes to ``fairlane/v1/devices/{line}/configure``, retained, so that a device
that is away finds it when it comes back: ``{"key": ..., "action": "configure" or
"restore", "service": ..., "offering": ..., ...}``. The device, or whoever manages it,
answers on ``.../acknowledged`` with ``{"key": ..., "result": "done"}``, or
``{"key": ..., "result": "refused", "code": ..., "reason": ...}``. The key is the same
each time the same thing is asked, so asking twice does it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiomqtt import MqttError

from controlplane.mqtt import topics
from controlplane.mqtt.link import News
from provisioning.outcomes import Done, Outcome, Refused, Trouble
from services.order_manager import Call


class _Acknowledgement(msgspec.Struct):
    key: str
    result: str
    code: str = "device_refused"
    reason: str = ""


class Devices:
    """Asks devices; ``publish`` sends, ``acknowledged`` is told of what is received."""

    def __init__(self) -> None:
        self._asked: dict[str, tuple[str, asyncio.Future[Outcome]]] = {}
        self.publish: Callable[[News], Awaitable[None]] | None = None

    async def ask(self, call: Call) -> Outcome:
        """Send one command and wait for its acknowledgement."""
        if self.publish is None:
            return Trouble("no MQTT broker is configured")
        line = call.party
        command: dict[str, Any] = {
            "key": call.key,
            "action": "restore" if call.undo else "configure",
            **call.body,
        }
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked[call.key] = (line, answer)
        try:
            payload = msgspec.json.encode(command)
            await self.publish(News(topics.configure(line), payload, retained=True))
            return await answer
        except MqttError as error:
            return Trouble(f"MQTT: {error}")
        finally:
            self._asked.pop(call.key, None)

    def acknowledged(self, line: str, payload: bytes) -> None:
        """Take an acknowledgement; one that nobody waits for changes nothing."""
        try:
            said = msgspec.json.decode(payload, type=_Acknowledgement)
        except msgspec.DecodeError:
            return
        asked = self._asked.get(said.key)
        if asked is None or asked[0] != line or asked[1].done():
            return
        if said.result == "done":
            asked[1].set_result(Done())
        elif said.result == "refused":
            asked[1].set_result(Refused(said.code, said.reason))
