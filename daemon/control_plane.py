"""The control plane put together: REST's desks, the manager, MQTT, webhooks.

One ``Provisioning`` serves all of them, so that transactions take turns fairly; the
provisioning manager is woken whenever an order comes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from config.schema import Settings
from controlplane.mqtt import topics
from controlplane.mqtt.devices import Devices
from controlplane.mqtt.intake import Intake
from controlplane.mqtt.link import Link
from controlplane.mqtt.news import NewsDesk
from controlplane.rest.context import Clocks, Context
from controlplane.webhooks.delivery import Delivery
from controlplane.webhooks.requests import Questions
from daemon import clock
from daemon.provisioning import (
    new_id,
    order_desk,
    order_keys,
    ports,
    qualification_desk,
)
from daemon.provisioning_manager import ProvisioningManager, Transport
from provisioning.task_graph import Kind
from services.order_assessment import Keys
from services.provisioning import Provisioning
from storage.database import Database


@dataclass(slots=True)
class ControlPlane:
    """Everything of the control plane; ``context`` is what REST works with."""

    settings: Settings
    database: Database
    keys: Keys
    provisioning: Provisioning
    context: Context

    @classmethod
    def of(cls, settings: Settings, database: Database) -> ControlPlane:
        """Put it together; raises KeyFileError when the keys cannot be used."""
        provisioning = Provisioning(database)
        keys = order_keys(settings, make=True)
        context = Context(
            database=database,
            clocks=Clocks(now=clock.now, monotonic=clock.monotonic),
            provisioning=provisioning,
            orders=order_desk(provisioning, keys),
            qualifications=qualification_desk(provisioning, keys.token_key),
            new_id=new_id,
            keys=keys,
            insecure_callbacks=settings.webhooks.callbacks == "any",
        )
        return cls(settings, database, keys, provisioning, context)

    async def run(self) -> None:
        """Carry out orders, hear and tell, until cancelled; ends else by a bug."""
        allow_private = self.context.insecure_callbacks
        questions = Questions(self.database, clock.now, allow_private=allow_private)
        devices = Devices()
        transports: dict[Kind, Transport] = {
            Kind.DEVICE: devices.ask,
            Kind.DEVICE_REMOVE: devices.ask,
            Kind.IDENTITY: questions.ask,
            Kind.BSP: questions.ask,
            Kind.BSP_REMOVE: questions.ask,
        }
        manager = ProvisioningManager(
            self.provisioning, ports(self.settings, make=True), transports
        )
        self.context.orders.answered = manager.ring
        delivery = Delivery(self.database, clock.now, allow_private=allow_private)
        jobs: list[asyncio.Task[Any]] = [
            asyncio.create_task(manager.run(), name="provisioning manager"),
            asyncio.create_task(delivery.run(), name="webhooks"),
        ]
        link = self._link(manager, devices) if self.settings.mqtt.url else None
        try:
            if link is not None:
                link_, intake = link
                news = NewsDesk(self.provisioning, link_, intake, clock.now)
                jobs.append(link_.start())
                jobs.append(asyncio.create_task(news.run(), name="news"))
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()
        finally:
            for job in jobs:
                job.cancel()
            if link is not None:
                await link[0].stop()
            await asyncio.gather(*jobs, return_exceptions=True)
            await questions.close()

    def _link(
        self, manager: ProvisioningManager, devices: Devices
    ) -> tuple[Link, Intake]:
        intake = Intake(
            self.provisioning,
            keys=self.keys,
            new_id=new_id,
            now=clock.now,
            ring=manager.ring,
            devices=devices,
        )
        mqtt = self.settings.mqtt
        link = Link(mqtt.url, mqtt.client_id, topics.HEARD, intake.handle)
        devices.publish = link.publish
        return link, intake
