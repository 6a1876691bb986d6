"""What the role ``control`` does for access: CoA commands, ISPs' accounting copies, and
what quotas ask for.

They follow the network and the database by themselves, and neither may take the role
down: what fails is logged, and begun again after a pause.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from daemon.accounting_copies import AccountingCopies
from daemon.coa_sender import CoaSender
from daemon.network_feed import POLL_SECONDS, NetworkFeed
from daemon.quota_actions import QuotaEvents
from daemon.role import RoleContext
from radius.subscribers import Subscribers
from services.credentials import unseal_password
from storage.database import Database
from storage.keys import load_keys
from telemetry import logs

_PAUSE_SECONDS = 5.0

log = logs.get_logger("access")


async def run(role: RoleContext, database: Database) -> None:
    """Serve until cancelled."""
    while True:
        try:
            await _serve(role, database)
        except Exception:
            log.exception("access ended by itself; it begins again")
        await asyncio.sleep(_PAUSE_SECONDS)


async def _serve(role: RoleContext, database: Database) -> None:
    settings = role.settings
    keys = load_keys(settings, make=True)
    data_dir = Path(settings.data_dir)
    feed = NetworkFeed(database, data_dir / f"network-{role.label}.json")
    subscribers = Subscribers(
        unseal=partial(unseal_password, keys.credentials),
        interim_seconds=settings.accounting.interim_seconds,
    )
    sender = CoaSender(database, settings, subscribers)
    copies = AccountingCopies(database, data_dir, keys.class_tokens)
    quotas = QuotaEvents(database, keys.class_tokens)

    async def follow() -> None:
        while True:
            objects = await asyncio.to_thread(feed.poll)
            if objects is not None:
                if feed.changed is None:
                    subscribers.replace(objects)
                else:
                    subscribers.change(feed.changed)
                await sender.know(objects)
                await copies.know(objects)
                quotas.know(dict(objects))
            await asyncio.sleep(POLL_SECONDS)

    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(follow())
            tasks.create_task(sender.run())
            tasks.create_task(quotas.run())
    finally:
        await sender.close()
        await copies.close()
