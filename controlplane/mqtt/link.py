"""A session with the broker that loses nothing: acknowledged after the commit.

aiomqtt acknowledges a message when it puts it into its queue in memory, so a crash
between that and the commit would lose an order; here the acknowledgement (PUBACK) is
sent by hand when the batch that the message was in has been handled. What was not
acknowledged the broker sends again to the same session, which outlives connections
(MQTT 3.1.1 section 4.4, MQTT 5 section 4.1), so everything is handled at least once and
in the order in which it came.

A broker is spoken to in MQTT 5, and in 3.1.1 when it refuses that, as NATS does. The
queue is unbounded, because a bounded one discards in silence; the bound is the number
of messages that a broker sends ahead of their acknowledgement, which both sides know
in MQTT 5 (Receive Maximum).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from storage.database import StorageError
from telemetry import logs, metrics

BATCH_MESSAGES: Final = 200
PUBLISHED_AT_ONCE: Final = 100
"""Publications that wait for the broker together, each not longer than an answer may
take; one by one they cost a round trip each."""
RECEIVE_MAXIMUM: Final = 400
"""Two batches: one is handled while the next comes. After a connection has broken, all
that was not acknowledged comes before any answer of the broker's."""
SESSION_SECONDS: Final = 7 * 86_400
"""How long a broker keeps our session while we are away (MQTT 5)."""
KEEPALIVE_SECONDS: Final = 20
ANSWER_SECONDS: Final = 30.0
"""Until a broker that does not answer is given up: more than it takes to read what
comes before its answer on a busy machine. With five seconds, a session with a backlog
was given up and connected again without end."""
BACK_OFF_SECONDS: Final = (0.2, 10.0)

# A refusal of the version: 1 in MQTT 3.1.1, 132 in MQTT 5 (section 3.1.2.2).
_VERSION_REFUSED: Final = frozenset({1, 132})
_OLD: Final = aiomqtt.ProtocolVersion.V311
# Without it, Nagle's algorithm and delayed acknowledgements cost 44 ms a message.
_NO_DELAY: Final = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

log = logs.get_logger("mqtt")


class Message(NamedTuple):
    """One message: its topic and payload, and whether the broker had kept it."""

    topic: str
    payload: bytes
    retained: bool


class News(NamedTuple):
    """Something to publish; retained news is what a late subscriber hears first."""

    topic: str
    payload: bytes
    retained: bool = False


Handle = Callable[[Sequence[Message]], Awaitable[Sequence[News]]]
"""Handles messages in order and gives what to publish. After a StorageError it is asked
again; nothing is acknowledged before it returns."""


class Link:
    """A session with the broker at ``url``.

    ``identifier`` is the session's name with the broker, ``topics`` what it subscribes
    to. ``connected`` is set while there is a connection.
    """

    def __init__(
        self, url: str, identifier: str, topics: Sequence[str], handle: Handle
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or 1883
        self._user = unquote(parts.username) if parts.username else None
        self._password = unquote(parts.password) if parts.password else None
        self._identifier = identifier
        self._topics = topics
        self._handle = handle
        self._version = aiomqtt.ProtocolVersion.V5
        self._client: aiomqtt.Client | None = None
        self._task: asyncio.Task[None] | None = None
        self.connected = asyncio.Event()
        self.problem = "not yet connected"

    def start(self) -> asyncio.Task[None]:
        """Begin; the task ends only by ``stop`` or by a bug."""
        self._task = asyncio.create_task(self._run())
        return self._task

    async def stop(self) -> None:
        """End at once; what is not acknowledged comes again to the same session."""
        task = self._task
        assert task is not None
        while not task.done():
            # Before Python 3.12, asyncio.wait_for may lose a cancellation.
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)

    async def _run(self) -> None:
        """Connect, serve, and connect again whenever that ends."""
        wait = BACK_OFF_SECONDS[0]
        while True:
            try:
                await self._serve()
            except MqttConnectError as error:
                if self._version is not _OLD and _code(error) in _VERSION_REFUSED:
                    self._version = _OLD
                    continue
                self._lost(str(error))
            except aiomqtt.MqttError as error:
                if self.connected.is_set():
                    wait = BACK_OFF_SECONDS[0]
                self._lost(str(error))
            await asyncio.sleep(wait)
            wait = min(wait * 2, BACK_OFF_SECONDS[1])

    def _lost(self, problem: str) -> None:
        self.connected.clear()
        self._client = None
        if problem != self.problem:
            log.warning("no broker", host=self._host, port=self._port, problem=problem)
        self.problem = problem
        metrics.MQTT_CONNECTED.set(0)

    def _new_client(self) -> aiomqtt.Client:
        five = self._version is aiomqtt.ProtocolVersion.V5
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_SECONDS
            properties.ReceiveMaximum = RECEIVE_MAXIMUM
        client = aiomqtt.Client(
            self._host,
            self._port,
            username=self._user,
            password=self._password,
            identifier=self._identifier,
            protocol=self._version,
            clean_session=None if five else False,
            clean_start=False if five else MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
            keepalive=KEEPALIVE_SECONDS,
            timeout=ANSWER_SECONDS,
            socket_options=[_NO_DELAY],
        )
        # aiomqtt has no way to say it; a test holds the two together.
        client._client.manual_ack_set(True)
        client.pending_calls_threshold = RECEIVE_MAXIMUM
        return client

    async def _serve(self) -> None:
        client = self._new_client()
        async with client:
            # The session has its subscriptions already, unless the broker forgot it.
            for topic in self._topics:
                await client.subscribe(topic, qos=1)
            self._client = client
            self.problem = ""
            self.connected.set()
            metrics.MQTT_CONNECTED.set(1)
            log.info("connected", host=self._host, version=self._version.name)
            try:
                await self._receive(client)
            finally:
                self._client = None

    async def _receive(self, client: aiomqtt.Client) -> None:
        messages = client.messages
        async for first in messages:
            batch = [first]
            while len(messages) and len(batch) < BATCH_MESSAGES:
                batch.append(await anext(messages))
            await self.publish_all(await self._handled([_message(m) for m in batch]))
            for message in batch:
                if message.qos:
                    client._client.ack(message.mid, message.qos)
            metrics.MQTT_MESSAGES.labels("in").inc(len(batch))

    async def _handled(self, messages: Sequence[Message]) -> Sequence[News]:
        """Handle a batch, as often as it takes while the store is away."""
        wait = BACK_OFF_SECONDS[0]
        while True:
            try:
                return await self._handle(messages)
            except StorageError as error:
                log.error("messages wait", error=str(error).splitlines()[0])
            await asyncio.sleep(wait)
            wait = min(wait * 2, BACK_OFF_SECONDS[1])

    async def publish_all(self, news: Sequence[News]) -> None:
        """Publish in order, many under way at once; raises MqttError."""
        for start in range(0, len(news), PUBLISHED_AT_ONCE):
            part = news[start : start + PUBLISHED_AT_ONCE]
            # A task begins in its turn, and sends before it waits.
            await asyncio.gather(*(self.publish(one) for one in part))

    async def publish(self, news: News) -> None:
        """Publish and wait until the broker has it; raises MqttError without one."""
        client = self._client
        if client is None:
            raise aiomqtt.MqttError("not connected")
        await client.publish(news.topic, news.payload, qos=1, retain=news.retained)
        metrics.MQTT_MESSAGES.labels("out").inc()


def _message(received: aiomqtt.Message) -> Message:
    payload = received.payload
    return Message(
        received.topic.value,
        payload if isinstance(payload, bytes) else b"",
        received.retain,
    )


def _code(error: MqttConnectError) -> int | None:
    code = getattr(error.rc, "value", error.rc)
    return code if isinstance(code, int) else None
