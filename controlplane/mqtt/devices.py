"""Device configuration over MQTT: a command, and its acknowledgement.

The command goes to ``fairlane/v1/{isp}/lines/{line}/device/command``; the device, or
whoever manages it, answers on ``.../device/acknowledgement`` with the command's key.
``docs/provisioning.md`` has the bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
from aiomqtt import MqttError

from controlplane.foreign_json import UnreadableError, read_json
from controlplane.mqtt import topics
from controlplane.mqtt.link import News
from controlplane.question import question
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
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked[call.key] = (line, answer)
        try:
            payload = msgspec.json.encode(question(call))
            topic = topics.device_command(call.tenant, line)
            await self.publish(News(topic, payload))
            return await answer
        except MqttError as error:
            return Trouble(f"MQTT: {error}")
        finally:
            self._asked.pop(call.key, None)

    def acknowledged(self, line: str, payload: bytes) -> None:
        """Take an acknowledgement; one that nobody waits for changes nothing."""
        try:
            said = read_json(payload, _Acknowledgement)
        except UnreadableError:
            return
        asked = self._asked.get(said.key)
        if asked is None or asked[0] != line or asked[1].done():
            return
        if said.result == "done":
            asked[1].set_result(Done())
        elif said.result == "refused":
            asked[1].set_result(Refused(said.code, said.reason))
        elif said.result == "trouble":
            asked[1].set_result(Trouble(said.reason or "the device has trouble"))
