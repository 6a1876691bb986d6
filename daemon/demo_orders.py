"""The demo's orders: one over REST, one over MQTT, from qualified to active.

An order is completed when the network shows it: the first by its line's own lease, the
second by its session's accounting. Then both services are given up again, so that the
story can be told again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import urlsplit

import aiomqtt
import msgspec

from daemon import clock
from daemon.commands.stored import network_in
from daemon.demo_nas import Bng, Chapter, Session
from daemon.demo_relay import Device, Relay
from daemon.demo_rest import RestClient
from daemon.demo_telling import Rows, StoryError, expect, fairlane, say, show, wait_for
from daemon.preparation import Plan
from daemon.stores import opened
from ipserver.dhcp import MessageType
from radius.accounting import Status
from radius.attributes import attributes
from radius.packet import Code

_ISP, _OFFERING = "aurora", "home-500"
_RELAY = "127.0.0.1"
_LEASED_LINE, _DIALLED_LINE = "harbour-201", "harbour-202"
_USER, _PASSWORD = "sub202@aurora.example", "demo-password-of-sub202"
_ADDRESS = "100.64.0.202"
_MQTT_SECONDS = 20.0

_ORDERS: Final = "/tmf-api/serviceOrdering/v4/serviceOrder"
_CHECK: Final = "/tmf-api/serviceQualificationManagement/v4/checkServiceQualification"
_CANCEL: Final = "/tmf-api/serviceOrdering/v4/cancelServiceOrder"
_OPEN: Final = (
    *("acknowledged", "pending", "held", "inProgress"),
    *("assessingCancellation", "pendingCancellation"),
)
_COLUMNS: Final = ("externalId", "state", "line", "service", "orderDate",
                   "completionDate")  # fmt: skip
_TASKS: Final = ("kind", "state")
_WHO_HAD: Final = ("address", "line", "hardware", "service", "isp", "pool")


def tell(plan: Plan, mqtt_url: str) -> None:
    """Carry two orders from qualified to active; MQTT where ``mqtt_url`` names one."""
    with RestClient(plan, _ISP) as rest:
        _tidy(plan, rest)
        say(f"The ISP {_ISP} orders for two subscribers: first over REST.")
        _over_rest(plan, rest)
        if mqtt_url:
            asyncio.run(_over_mqtt(plan, rest, mqtt_url))
        else:
            say("", "2. No MQTT broker is here (mosquitto), so that order is left out.")
        say("", "3. What was ordered is given up again, by an order each.")
        show(_give_up(plan, rest), _COLUMNS)


def _tidy(plan: Plan, rest: RestClient) -> None:
    """Take back what a story that was broken off has ordered."""
    for state in _OPEN:
        for order in rest.get(f"{_ORDERS}?state={state}"):
            if _row(order)["line"] in (_LEASED_LINE, _DIALLED_LINE):
                rest.post(_CANCEL, {"serviceOrder": {"id": order["id"]}})
                _ended(rest, order["id"])
    _give_up(plan, rest)


def _over_rest(plan: Plan, rest: RestClient) -> None:
    relay = Relay(plan, _RELAY)
    device = Device(_LEASED_LINE, b"\x02demo\xc9")
    with relay.connected():
        _qualify(rest, "1", _LEASED_LINE)
        # The address server hears within a second of what was given up before.
        wait_for("walled garden", lambda: _walled(plan, relay.lease(device).address))
        say(f"   Until then a device on the line has {device.address}, walled in.")
        order = rest.post(_ORDERS, _add(_LEASED_LINE))
        say(
            f"   POST {_ORDERS}",
            f"   201, order {order['id']}, {order['state']}.",
        )
        _await_proof(rest, order["id"])
        walled = device.address
        wait_for(
            "refusal of the walled garden",
            lambda: relay.renew(device).kind is MessageType.NAK,
        )
        say(f"   The device asks for more of {walled}: DHCPNAK. So it asks anew:")
        relay.lease(device, aloud=True)
        found = _completed(rest, order["id"])
        say("   With this lease the order is completed:")
        show([_row(found)], _COLUMNS)
        say(f"   fairlane who-had {device.address}:")
        (who,) = fairlane(plan, "who-had", device.address)
        show([who], _WHO_HAD)
        expect("the lease's service", who["service"], _row(found)["service"])
        relay.release(device)


def _walled(plan: Plan, address: str) -> bool:
    """Whether an address is of a walled garden."""
    return any(
        pool.walled_garden
        and any(ip_address(address) in ip_network(prefix) for prefix in pool.prefixes)
        for pool in (plan.network.pool if plan.network else ())
    )


def _qualify(rest: RestClient, number: str, line: str) -> None:
    answer = rest.post(
        _CHECK,
        {
            "place": [{"role": "line", "name": line}],
            "serviceQualificationItem": [
                {"id": "1", "service": {"serviceSpecification": {"name": _OFFERING}}}
            ],
        },
    )
    say(
        "",
        f"{number}. Can line {line} have {_OFFERING}? {answer['qualificationResult']},"
        f" {answer['confidence']}, held until {answer['expirationDate']}.",
    )
    expect("the answer", answer["confidence"], "green")


def _add(line: str, **said: str) -> dict[str, Any]:
    return _order(
        {
            "action": "add",
            "service": {
                "serviceSpecification": {"name": _OFFERING},
                "place": [{"role": "line", "name": line}],
                "serviceCharacteristic": [
                    {"name": name, "value": value} for name, value in said.items()
                ],
            },
        }
    )


def _order(item: dict[str, Any]) -> dict[str, Any]:
    external_id = f"demo-{int(clock.now() * 1000):x}"
    return {"externalId": external_id, "serviceOrderItem": [{"id": "1", **item}]}


def _await_proof(rest: RestClient, order: str) -> None:
    """Wait until all is done but the proof that the service works."""

    def look() -> Rows | None:
        tasks: Rows = rest.get(f"/v1/orders/{order}/tasks")
        waiting = [task for task in tasks if task["state"] != "done"]
        proof = [task["kind"] for task in waiting] == ["proof"]
        return tasks if proof else None

    tasks = wait_for("order that waits for its proof alone", look)
    say("   What was done for it, and what is awaited:")
    show(tasks, _TASKS)


def _completed(rest: RestClient, order: str) -> dict[str, Any]:
    found = _ended(rest, order)
    if found["state"] != "completed":
        raise StoryError(f"order {order} is {found['state']}: {found['errorMessage']}")
    return found


def _ended(rest: RestClient, order: str) -> dict[str, Any]:
    """Wait until an order is in a state that it stays in."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = rest.get(f"{_ORDERS}/{order}")
        return None if found["state"] in _OPEN else found

    return wait_for("end of the order", look)


def _row(order: dict[str, Any]) -> dict[str, Any]:
    service = order["serviceOrderItem"][0].get("service", {})
    places = [place["name"] for place in service.get("place", ())]
    return {
        **order,
        "service": service.get("name"),
        "line": places[0] if places else None,
        "completionDate": order.get("completionDate"),
    }


@asynccontextmanager
async def _broker(url: str) -> AsyncIterator[aiomqtt.Client]:
    where = urlsplit(url)
    assert where.hostname is not None
    port = where.port or 1883
    async with aiomqtt.Client(where.hostname, port, timeout=_MQTT_SECONDS) as client:
        yield client


async def _over_mqtt(plan: Plan, rest: RestClient, url: str) -> None:
    topic = f"fairlane/v1/{_ISP}/orders"
    _qualify(rest, "2", _DIALLED_LINE)
    body = _add(_DIALLED_LINE, userName=_USER, password=_PASSWORD)
    async with asyncio.timeout(_MQTT_SECONDS), _broker(url) as client:
        await client.subscribe(f"{topic}/#", qos=1)
        await client.publish(topic, msgspec.json.encode(body), qos=1)
        say(f"   Published to {topic}, and acknowledged.")
        order = await _news(client, topic, body["externalId"])
    say(f"   News on {topic}/{order['id']}/state: {order['state']}.")
    await asyncio.to_thread(_await_proof, rest, order["id"])
    await asyncio.to_thread(_dial, plan, rest, order["id"])


async def _news(client: aiomqtt.Client, topic: str, external_id: str) -> dict[str, Any]:
    async for message in client.messages:
        said = msgspec.json.decode(bytes(message.payload))
        if message.topic.matches(f"{topic}/refused"):
            raise StoryError(f"the order over MQTT is refused: {said}")
        if said.get("externalId") == external_id and "state" in said:
            return dict(said)
    raise StoryError("the broker has left")


def _dial(plan: Plan, rest: RestClient, order: str) -> None:
    """Have the subscriber log in and go online, which completes its order."""
    circuit = Relay(plan, _RELAY).circuit(_DIALLED_LINE)
    bng = Bng(plan)
    with bng.connected():

        def login() -> tuple[bytes, float] | None:
            answer, took = bng.ask(bng.login(_USER, _PASSWORD, circuit))
            return (answer, took) if answer[0] == Code.ACCESS_ACCEPT else None

        # The receivers hear of a service within a second of its order.
        answer, milliseconds = wait_for("Access-Accept", login)
        say(f"   {_USER} dials in: Access-Accept after {milliseconds:.1f} ms.")
        token = next(a.raw for a in attributes(answer) if a.name == "Class")
        now = clock.now()
        session = Session(
            f"demo-{int(now * 1000):x}", _USER, circuit, _ADDRESS, int(now), token
        )
        _, milliseconds = bng.ask(bng.report(session, Chapter(Status.START, 0)))
        say(
            f"   It goes online with {_ADDRESS}: Accounting-Response after"
            f" {milliseconds:.1f} ms."
        )
        found = _completed(rest, order)
        say("   With this report the order is completed:")
        show([_row(found)], _COLUMNS)
        seconds = int(clock.now()) - session.began
        bng.ask(bng.report(session, Chapter(Status.STOP, seconds, 100_000, 1_000_000)))
        say("   It goes offline again.")


def _give_up(plan: Plan, rest: RestClient) -> Rows:
    """Order the end of what the story has ordered; give these orders' rows."""
    ended: Rows = []
    for line in (_LEASED_LINE, _DIALLED_LINE):
        service = _service_on(plan, line)
        if service is None:
            continue
        item = {"action": "delete", "service": {"name": service}}
        order = rest.post(_ORDERS, _order(item))
        ended.append(_row(_completed(rest, order["id"])))
    return ended


def _service_on(plan: Plan, line: str) -> str | None:
    with opened(plan) as database, database.read.connect() as connection:
        services = network_in(connection).service
    return next((s.name for s in services if s.line == line), None)
