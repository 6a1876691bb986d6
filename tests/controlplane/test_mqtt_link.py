"""The session with a broker: nothing lost, whoever dies; real mosquitto, real NATS."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import aiomqtt
import pytest
from mqtt_brokers import Broker

from controlplane.mqtt.link import Link, Message, News
from storage.database import StorageError

DONE_SECONDS = 30.0
TOPIC = "fairlane/v1/aurora/orders"

pytestmark = pytest.mark.skipif(
    not shutil.which("mosquitto", path="/usr/sbin:/usr/bin"),
    reason="mosquitto is not installed",
)


@pytest.fixture(params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """A broker of each kind."""
    made = Broker(request.param)
    yield made
    made.close()


class Store:
    """What handling a message leaves behind; it fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.kept: list[str] = []
        self.failures = failures
        self.handled = 0

    async def handle(self, messages: Sequence[Message]) -> Sequence[News]:
        """Keep a batch as a whole, or fail before anything is kept."""
        self.handled += 1
        if self.failures:
            self.failures -= 1
            raise StorageError("not now")
        self.kept += [m.payload.decode() for m in messages]
        return [News(f"{m.topic}/state", m.payload) for m in messages]


async def until(said: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(DONE_SECONDS):
        while not said():  # noqa: ASYNC110 - several tasks bring it about
            await asyncio.sleep(0.02)


@asynccontextmanager
async def linked(broker: Broker, store: Store) -> AsyncIterator[Link]:
    """A link that runs while inside, and then ends as if it were killed."""
    link = Link(broker.url, "fairlane-tests", [TOPIC], store.handle)
    link.start()
    try:
        await asyncio.wait_for(link.connected.wait(), DONE_SECONDS)
        yield link
    finally:
        await link.stop()


async def publish(broker: Broker, *payloads: str) -> None:
    """Publish as another program does."""
    async with aiomqtt.Client("127.0.0.1", broker.port) as client:
        for payload in payloads:
            await client.publish(TOPIC, payload, qos=1)


def test_messages_are_handled_in_order_and_news_goes_out(broker: Broker) -> None:
    """Each once while all goes well, whatever version of MQTT the broker speaks."""

    async def story() -> None:
        store, heard = Store(), []
        async with (
            linked(broker, store),
            aiomqtt.Client("127.0.0.1", broker.port) as listener,
        ):
            await listener.subscribe(f"{TOPIC}/state", qos=1)
            await publish(broker, *(str(n) for n in range(50)))
            async for message in listener.messages:
                heard.append(bytes(message.payload).decode())
                if len(heard) == 50:
                    break
        assert [str(n) for n in range(50)] == store.kept == heard

    asyncio.run(story())


def test_what_was_not_handled_is_not_acknowledged_and_comes_again(
    broker: Broker,
) -> None:
    """A store that is away costs time and loses nothing."""

    async def story() -> None:
        store = Store(failures=2)
        async with linked(broker, store):
            await publish(broker, "1", "2", "3")
            await until(lambda: len(set(store.kept)) >= 3)
        assert ["1", "2", "3"] == sorted(set(store.kept))
        assert store.handled >= 3

    asyncio.run(story())


def test_messages_wait_for_a_program_that_is_away(broker: Broker) -> None:
    """The session outlives the connection, and a crash between receipt and commit."""

    async def story() -> None:
        stuck, entered = Store(), asyncio.Event()

        async def hang(messages: Sequence[Message]) -> Sequence[News]:
            entered.set()
            await asyncio.Event().wait()
            raise AssertionError

        stuck.handle = hang  # type: ignore[method-assign]
        async with linked(broker, stuck):
            await publish(broker, "received, not committed")
            await asyncio.wait_for(entered.wait(), DONE_SECONDS)
        await publish(broker, "sent while away")
        store = Store()
        async with linked(broker, store):
            await until(lambda: len(set(store.kept)) >= 2)
        assert {"received, not committed", "sent while away"} == set(store.kept)

    asyncio.run(story())


def test_a_broker_that_is_killed_and_comes_back_has_lost_nothing_of_ours(
    broker: Broker,
) -> None:
    """What it had on disk arrives after its restart."""

    async def story() -> None:
        async with linked(broker, Store()):
            pass
        await publish(broker, *(str(n) for n in range(20)))
        await asyncio.to_thread(broker.save)
        await asyncio.to_thread(broker.kill)
        store = Store()
        link = Link(broker.url, "fairlane-tests", [TOPIC], store.handle)
        link.start()
        await until(lambda: "refused" in link.problem.lower())
        await asyncio.to_thread(broker.start)
        await until(lambda: len(set(store.kept)) >= 20)
        await link.stop()
        assert {str(n) for n in range(20)} == set(store.kept)

    asyncio.run(story())
