"""Orders over a real broker: each once and in order per line, whoever dies."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from control_plane_process import ControlPlaneProcess
from mqtt_brokers import Broker
from provisioning_site import AURORA, Site, body, fill

from config.schema import Settings
from controlplane.mqtt import topics
from controlplane.mqtt.devices import Devices
from controlplane.mqtt.intake import Intake
from controlplane.mqtt.link import Link, Message
from controlplane.mqtt.news import READER
from provisioning.device_drift import Reported
from services import device_reports
from services.order_assessment import Keys
from services.provisioning import ObjectChange
from storage import desired_states, network, outbox
from storage.database import Database, migrate, open_database

pytestmark = pytest.mark.skipif(
    not shutil.which("mosquitto", path="/usr/sbin:/usr/bin"),
    reason="mosquitto is not installed",
)

ORDERS = "fairlane/v1/aurora/orders"
LINES, OF_A_LINE = 40, 4
DONE_SECONDS = 60.0


@pytest.fixture
def broker() -> Iterator[Broker]:
    """A mosquitto."""
    made = Broker("mosquitto")
    yield made
    made.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """The database of a control plane that has more lines than the tests' network."""
    made = open_database(Settings().database, tmp_path)
    migrate(made)
    fill(made)
    lines = [{"name": f"long{n}", "area": "harbour"} for n in range(LINES)]
    pool: dict[str, Any] = {"name": "large", "area": "harbour", "isp": "aurora"}
    pool["prefixes"] = ["100.64.32.0/20"]
    changes = [network.Change("add", "line", one["name"], one) for one in lines]
    changes.append(network.Change("add", "pool", "large", pool))
    with made.write.begin() as connection:
        network.apply(connection, changes, 1)
    yield made
    made.close()


def sent() -> list[tuple[str, str]]:
    """Orders for all lines, several of each, in their order: topic and body."""
    return [
        (
            ORDERS,
            json.dumps(
                body(f"{line}/{n}", line=f"long{line}", user=f"u{line}@aurora.example")
            ),
        )
        for n in range(OF_A_LINE)
        for line in range(LINES)
    ]


def taken(database: Database) -> list[str]:
    """Give the ids of the orders in the order in which they were taken."""
    with database.read.connect() as connection:
        events = outbox.events_since(connection, 0, 10_000)
    return [
        one.event.body["externalId"]
        for one in events
        if one.event.type == "ServiceOrderCreateEvent"
    ]


def by_line(ids: Sequence[str]) -> dict[str, list[str]]:
    """Group the orders by their line."""
    found: dict[str, list[str]] = {}
    for one in ids:
        line, _, number = one.partition("/")
        found.setdefault(line, []).append(number)
    return found


EACH_ONCE_IN_ORDER = {
    str(line): [str(n) for n in range(OF_A_LINE)] for line in range(LINES)
}


async def until(said: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(DONE_SECONDS):
        while not await asyncio.to_thread(said):  # noqa: ASYNC110 - others bring it
            await asyncio.sleep(0.02)


async def publish(broker: Broker, messages: Sequence[tuple[str, str]]) -> None:
    """Publish one after the other; a connection that breaks is made again.

    What was not acknowledged is sent again, so some arrives twice.
    """
    left = list(messages)
    while left:
        try:
            async with aiomqtt.Client("127.0.0.1", broker.port) as client:
                while left:
                    await client.publish(*left[0], qos=1)
                    left.pop(0)
        except aiomqtt.MqttError:
            await asyncio.sleep(0.05)


async def subscribed(broker: Broker) -> None:
    """Make the session for which the broker keeps what comes."""
    client = aiomqtt.Client(
        "127.0.0.1",
        broker.port,
        identifier="fairlane",
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=False,
    )
    async with client:
        for topic in topics.HEARD:
            await client.subscribe(topic, qos=1)


def test_a_control_plane_that_is_killed_takes_each_order_once(
    broker: Broker, database: Database, tmp_path: Path
) -> None:
    """SIGKILL in the middle of the intake, three times; the rest comes again."""

    async def story() -> None:
        await subscribed(broker)
        publishing = asyncio.create_task(publish(broker, sent()))
        for part in range(1, 4):
            some = part * LINES * OF_A_LINE // 5
            plane = ControlPlaneProcess(tmp_path, broker.url)
            await until(lambda some=some: len(taken(database)) >= some)  # type: ignore[misc]
            plane.kill()
        await publishing
        plane = ControlPlaneProcess(tmp_path, broker.url)
        await until(lambda: len(taken(database)) >= LINES * OF_A_LINE)
        await drained(broker, database)
        plane.kill()

    asyncio.run(story())

    assert EACH_ONCE_IN_ORDER == by_line(taken(database)[:-1])


async def drained(broker: Broker, database: Database) -> None:
    """Wait until what came before now was handled: a last order is, too."""
    await publish(broker, [(ORDERS, json.dumps(body("last", line="line1")))])
    await until(lambda: "last" in taken(database))
    assert "last" == taken(database)[-1]


def test_a_broker_that_is_killed_costs_no_order_and_doubles_none(
    broker: Broker, database: Database, tmp_path: Path
) -> None:
    """The daemon stays; what the broker had on disk and what is sent again arrive."""

    async def story() -> None:
        await subscribed(broker)
        half = len(sent()) // 2
        await publish(broker, sent()[:half])
        await asyncio.to_thread(broker.save)
        plane = ControlPlaneProcess(tmp_path, broker.url)
        await until(lambda: bool(taken(database)))
        await asyncio.to_thread(broker.kill)
        publishing = asyncio.create_task(publish(broker, sent()[half:]))
        await asyncio.to_thread(broker.start)
        await publishing
        await until(lambda: len(taken(database)) >= LINES * OF_A_LINE)
        await drained(broker, database)
        plane.kill()

    asyncio.run(story())

    assert EACH_ONCE_IN_ORDER == by_line(taken(database)[:-1])


def test_duplicated_and_shuffled_orders_are_taken_once_in_the_order_of_arrival(
    broker: Broker, database: Database, tmp_path: Path
) -> None:
    """Three deliveries of each, shuffled: one order each, as first heard."""
    messages = sent() * 3
    random.Random(5).shuffle(messages)
    heard = list(dict.fromkeys(json.loads(text)["externalId"] for _, text in messages))

    async def story() -> None:
        await subscribed(broker)
        await publish(broker, messages)
        plane = ControlPlaneProcess(tmp_path, broker.url)
        await drained(broker, database)
        plane.kill()

    asyncio.run(story())

    assert [*heard, "last"] == taken(database)


class Bench:
    """A site and what its intake is told, without a broker in between."""

    def __init__(self, database: Database, keys: Keys | None = None) -> None:
        self.site = Site(database)
        self.intake = Intake(
            self.site.provisioning,
            keys=keys or self.site.keys,
            new_id=self.site.new_id,
            now=lambda: float(self.site.now),
            ring=lambda: None,
            devices=Devices(),
        )

    def desired(self, version: int, offering: str = "home-500") -> None:
        """Deliver a desired state of line1."""
        said = {
            "version": version,
            "service": {
                "serviceSpecification": {"name": offering},
                "serviceCharacteristic": [
                    {"name": "userName", "value": "sub1@aurora.example"},
                    {"name": "device", "value": "ont-1"},
                ],
            },
        }
        topic = "fairlane/v1/aurora/lines/line1/desired"
        message = Message(topic, json.dumps(said).encode(), False)
        asyncio.run(self.intake.handle([message]))

    def finish(self) -> None:
        """Let what is ordered come to its end, and the intake look again."""
        self.site.run()
        self.site.connect("sub1@aurora.example")
        self.site.run(seconds=2)
        asyncio.run(self.intake.look_again())

    def version(self) -> int | None:
        """Give the version that was taken up last."""
        with self.site.database.read.connect() as connection:
            found = desired_states.find(connection, "aurora", "line1")
        return found.version if found else None


def test_a_newer_state_that_waits_is_not_lost_to_an_older_delivery(
    database: Database,
) -> None:
    """While an order is open, versions come shuffled and twice: the newest is next."""
    bench = Bench(database)
    bench.desired(1)
    for version in (3, 2, 1, 3, 1):
        bench.desired(version, "home-films" if version == 3 else "home-500")
    bench.finish()
    taken_next = bench.version()
    bench.finish()

    assert 3 == taken_next
    assert "home-films" == bench.site.services()["aurora-line1"]["offering"]


def test_an_order_that_fails_by_a_bug_is_told_to_its_sender(
    broker: Broker, database: Database
) -> None:
    """It is acknowledged, so it is refused in so many words; the others are taken."""
    site = Site(database)

    def seal(isp: str, service: str, password: str) -> str:
        if password == "unlucky":
            raise ZeroDivisionError
        return site.seal(isp, service, password)

    intake = Bench(database, site.keys._replace(seal=seal)).intake
    heard: list[Any] = []

    async def story() -> None:
        await subscribed(broker)
        bodies = [
            body(
                f"{n}", line=f"long{n}", user=f"u{n}@aurora.example", password=password
            )
            for n, password in enumerate(("good-word", "unlucky", "good-word"))
        ]
        await publish(broker, [(ORDERS, json.dumps(one)) for one in bodies])
        async with aiomqtt.Client("127.0.0.1", broker.port) as listener:
            await listener.subscribe(topics.refused("aurora"), qos=1)
            link = Link(broker.url, "fairlane", topics.HEARD, intake.handle)
            link.start()
            async with asyncio.timeout(DONE_SECONDS):
                message = await anext(listener.messages)
                heard.append(json.loads(message.payload))
            await until(lambda: len(taken(database)) >= 2)
            await link.stop()

    asyncio.run(story())

    assert [("internal_error", "1")] == [(one["code"], one["about"]) for one in heard]
    assert ["0", "2"] == taken(database)


def test_a_device_is_asked_and_its_report_is_kept(
    broker: Broker, database: Database, tmp_path: Path
) -> None:
    """On the topics of its line; a report that makes no sense is refused, and why."""
    site = Site(database)
    of_line = f"{topics.PREFIX}/aurora/lines/line1/device"
    films = {"name": "aurora-line1", "isp": "aurora", "line": "line1"}
    films["offering"] = "home-films"
    with site.transaction() as transaction:
        transaction.change(
            AURORA, [ObjectChange("service", "aurora-line1", None, films)]
        )
        desired_states.move_cursor(transaction.connection, READER, 0)
        device_reports.ask_all(transaction)
    heard: list[str] = []

    def kept() -> dict[tuple[str, str], Reported]:
        with database.read.connect() as connection:
            return device_reports.reports(connection)

    async def story() -> None:
        await subscribed(broker)
        async with aiomqtt.Client("127.0.0.1", broker.port) as device:
            await device.subscribe(f"{of_line}/request", qos=1)
            await device.subscribe(topics.refused("aurora"), qos=1)
            plane = ControlPlaneProcess(tmp_path, broker.url)
            async with asyncio.timeout(DONE_SECONDS):
                asked = await anext(device.messages)
                heard.append(json.loads(asked.payload)["line"])
                await device.publish(f"{of_line}/report", b'{"offering": 7}', qos=1)
                refused = await anext(device.messages)
                heard.append(json.loads(refused.payload)["code"])
                await device.publish(f"{of_line}/report", b'{"offering": "x"}', qos=1)
            await until(lambda: bool(kept()))
            plane.kill()

    asyncio.run(story())

    assert ["line1", "invalid_report"] == heard
    assert {("line1", "aurora"): "x"} == {k: r.has.offering for k, r in kept().items()}
