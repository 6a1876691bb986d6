"""Access in the role ``radius``: the server with its threads, timers and stores.

What blocks (argon2, a look at the database) is done in a few threads with a bounded
queue before them, and comes back into the loop. The shared file of places is used from
the loop alone: its transactions take microseconds.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from daemon import clock
from daemon.network_feed import Changed, Objects
from daemon.role import RoleContext
from daemon.wholesale import HomeServers
from radius.access_server import AccessServer
from radius.outcomes import Statistics
from radius.subscribers import Subscribers
from services.credentials import is_hash_of, unseal_password
from services.simultaneous_use import Settled, settle
from storage.access_state import AccessState, Place, StateError
from storage.database import Database, StorageError
from storage.keys import load_keys
from storage.learned_nas import share
from telemetry import logs

_SETTLE_SECONDS = 2.0
"""A database that has not answered by then frees no place."""
_RECONCILE_SECONDS = 10.0
_PLACES_AT_ONCE = 5000

log = logs.get_logger("access")


class AccessEdge:
    """The access server of one worker, and what it needs around it."""

    def __init__(
        self, role: RoleContext, database: Database, statistics: Statistics
    ) -> None:
        settings = role.settings
        keys = load_keys(settings, make=True)
        self._class_key = keys.class_tokens
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._state = AccessState(Path(settings.data_dir))
        self._threads = ThreadPoolExecutor(
            settings.access.hash_threads, thread_name_prefix="access"
        )
        self._waiting = 0
        self._most_waiting = settings.access.waiting_hashes
        self.home_servers = HomeServers(statistics)
        self.subscribers = Subscribers(
            unseal=partial(unseal_password, keys.credentials),
            interim_seconds=settings.accounting.interim_seconds,
        )
        self.server = AccessServer(
            subscribers=self.subscribers,
            statistics=statistics,
            settings=settings.access,
            duplicate_seconds=settings.radius.duplicate_seconds,
            monotonic=clock.monotonic,
            now=clock.now,
            call_later=self._loop.call_later,
            random_octets=os.urandom,
            class_key=keys.class_tokens,
            memory_key=secrets.token_bytes(32),
            reservations=self._state,
            hash_check=self._hash_check,
            settle=self._settle,
            learned=self._state.learned,
            learn=self._learn,
            wholesale=self.home_servers,
        )
        # One worker of all looks after what they share.
        self._reconciling = asyncio.create_task(
            self._reconcile() if role.index == 0 else self._follow()
        )

    @property
    def failure(self) -> str | None:
        """Why places cannot be taken, or None."""
        return self._state.failure

    def change(self, objects: Objects, changed: list[Changed] | None) -> None:
        """Serve a changed network from the next request on."""
        if changed is None:
            self.subscribers.replace(objects)
        else:
            self.subscribers.change(changed)
        if changed is None or any(kind == "isp" for kind, _, _ in changed):
            self.home_servers.know(
                [body for (kind, _), body in objects.items() if kind == "isp"]
            )
        self._state.read_learned()

    def _learn(self, nas: str) -> None:
        self._state.learn(nas, int(clock.now()))
        log.info("this NAS signs its requests; from now on it has to", nas=nas)

    def _hash_check(
        self, password_hash: str, password: bytes, done: Callable[[bool], None]
    ) -> bool:
        if self._waiting >= self._most_waiting:
            return False
        self._waiting += 1

        def checked(future: asyncio.Future[bool]) -> None:
            self._waiting -= 1
            if not future.cancelled():
                done(future.result())

        self._loop.run_in_executor(
            self._threads, is_hash_of, password_hash, password
        ).add_done_callback(checked)
        return True

    def _settle(self, service: str, done: Callable[[bool], None]) -> None:
        """Look whether one of a service's sessions has ended."""
        task = asyncio.create_task(self._settled(self._state.places(service=service)))
        task.add_done_callback(
            lambda ended: done(not ended.cancelled() and ended.result())
        )

    async def _settled(self, places: list[Place]) -> bool:
        try:
            async with asyncio.timeout(_SETTLE_SECONDS):
                found = await asyncio.to_thread(self._look, places)
            self._state.see(found.begun)
            return self._state.release(found.free) > 0
        except (TimeoutError, StorageError, StateError) as error:
            log.warning("places cannot be settled", error=str(error))
            return False

    def _look(self, places: list[Place]) -> Settled:
        with self._database.read.connect() as connection:
            return settle(
                connection, places, class_key=self._class_key, now=int(clock.now())
            )

    async def _reconcile(self) -> None:
        while True:
            await asyncio.sleep(_RECONCILE_SECONDS)
            await self._settled(self._state.places(limit=_PLACES_AT_ONCE))
            try:
                known = await asyncio.to_thread(self._share, set(self._state.learned))
            except StorageError as error:
                log.warning("other nodes are not told", error=str(error))
                continue
            for nas in sorted(known - self._state.learned):
                self._learn(nas)

    async def _follow(self) -> None:
        """Hear from the worker that reconciles, by the file."""
        while True:
            await asyncio.sleep(_RECONCILE_SECONDS)
            self._state.read_learned()

    def _share(self, own: set[str]) -> set[str]:
        with self._database.write.begin() as connection:
            return share(connection, own, int(clock.now()))

    def close(self) -> None:
        """Let go of threads, sockets and the file."""
        self._reconciling.cancel()
        self.home_servers.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._state.close()
