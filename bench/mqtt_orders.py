"""Orders that wait at an MQTT broker: how soon they are placed, and active.

    python -m bench.mqtt_orders [--orders 10000] [--postgresql URL]

A mosquitto of its own has so many orders of PPPoE services for the daemon's session,
published while it was away. The control plane of the role ``control`` connects and
drains them: drained is when the last is committed. Meanwhile the manager carries them
out and their news goes back to the broker; simulated subscribers come on as in
``bench.orders``. The database given by URL must be empty.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiomqtt
from sqlalchemy import func, select

from bench.orders import Subscribers, fill, order_body
from config.schema import MqttSettings, Settings
from controlplane.mqtt import topics
from controlplane.mqtt.link import PUBLISHED_AT_ONCE
from daemon.control_plane import ControlPlane
from daemon.dependents import ending_with_parent
from storage.database import Database, migrate, open_database
from storage.provisioning_tables import service_order

_TOPIC = topics.ORDERS.replace("+", "aurora")
_LOOK_SECONDS = 0.1
_CONNECT_SECONDS = 20


@contextmanager
def _broker(folder: Path) -> Iterator[int]:
    """Run mosquitto while inside; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
    file = folder / "mosquitto.conf"
    file.write_text(
        f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n"
        "max_queued_messages 0\nset_tcp_nodelay true\nsys_interval 1\n"
    )
    program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin")
    if program is None:
        raise SystemExit("mosquitto is not installed")
    process = subprocess.Popen(
        ending_with_parent([program, "-c", str(file)]), stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


async def _subscribe(settings: Settings, port: int) -> None:
    """Make the session that the broker keeps messages for."""
    client = aiomqtt.Client(
        "127.0.0.1",
        port,
        identifier=settings.mqtt.client_id,
        protocol=aiomqtt.ProtocolVersion.V311,
        clean_session=False,
    )
    async with client:
        for topic in topics.HEARD:
            await client.subscribe(topic, qos=1)


async def _publish(port: int, orders: int) -> None:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        client.pending_calls_threshold = PUBLISHED_AT_ONCE
        for start in range(0, orders, PUBLISHED_AT_ONCE):
            await asyncio.gather(
                *(
                    client.publish(_TOPIC, json.dumps(order_body(number)), qos=1)
                    for number in range(start, min(start + PUBLISHED_AT_ONCE, orders))
                )
            )


def _counted(database: Database) -> tuple[int, int]:
    with database.read.connect() as connection:
        query = select(service_order.c.state, func.count()).group_by(
            service_order.c.state
        )
        states = {row[0]: row[1] for row in connection.execute(query)}
    return sum(states.values()), states.get("completed", 0)


async def _run(
    settings: Settings, port: int, database: Database, orders: int
) -> tuple[float, float]:
    await _subscribe(settings, port)
    await _publish(port, orders)
    subscribers = Subscribers(database)
    subscribers.start()
    plane = ControlPlane.of(settings, database)
    began, drained = time.monotonic(), 0.0
    working = asyncio.create_task(plane.run())
    while not working.done():
        placed, completed = await asyncio.to_thread(_counted, database)
        if placed == orders and not drained:
            drained = time.monotonic() - began
        if completed == orders:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    active = time.monotonic() - began
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    subscribers.ending.set()
    subscribers.join()
    return drained, active


def main() -> None:
    """Fill the broker, drain it, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=10_000)
    parser.add_argument("--postgresql", default="sqlite")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fairlane-bench-"))
    with _broker(folder) as port:
        settings = Settings(
            data_dir=str(folder),
            database=given.postgresql,
            mqtt=MqttSettings(url=f"mqtt://127.0.0.1:{port}"),
        )
        database = open_database(settings.database, folder)
        migrate(database)
        fill(database, given.orders)
        cpu = time.process_time()
        drained, active = asyncio.run(_run(settings, port, database, given.orders))
        cpu = time.process_time() - cpu
    database.close()
    shutil.rmtree(folder)
    print(
        f"{given.orders} orders drained in {drained:.1f} s "
        f"({given.orders / drained:.0f}/s), all active after {active:.1f} s "
        f"({given.orders / active:.0f}/s); {cpu / given.orders * 1e3:.1f} ms CPU each"
    )


if __name__ == "__main__":
    main()
