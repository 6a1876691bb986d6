"""The supervisor: binds the sockets and keeps the roles alive.

It does no work of its own, so that nothing can stop it: it hears beats, starts what
dies, and speaks with the service manager and with the operator.  A reload is checked
whole before anything changes.  When settings of the process change, a second
generation of roles is brought up beside the first until it only waits for its go;
then, role by role, the old one drains and ends and the new one takes over the very
same sockets, so that nothing queued in the kernel is lost.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.loader import ConfigurationError
from daemon import clock, preparation, role, versions
from daemon.control_socket import ControlSocket
from daemon.keeper import Keeper
from daemon.preparation import Plan
from daemon.role import Sockets
from daemon.runner import RoleSpec
from daemon.service_manager import ServiceManager
from daemon.sockets import AddressError, Endpoint, SocketPool, share
from daemon.stores import (
    StoreAwayError,
    StoreError,
    apply_network,
    prepare_database,
)
from telemetry import logs, metrics

log = logs.get_logger("daemon.supervisor")

TICK_SECONDS = 0.25
UNREADY_TICK_SECONDS = 0.05
HEALTH_SECONDS = 1.0
PREPARE_SECONDS_MAX = 60.0
STORES_AGAIN_SECONDS = 2.0

Bound = dict[Endpoint, list[Any]]


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """One running daemon.

    ``targets`` is the table of roles (``daemon.role.ROLES``); ``held_fds`` are
    inherited by every role; ``metrics_directory`` is None when all is one process.
    """

    plan: Plan
    pool: SocketPool
    service_manager: ServiceManager
    targets: Mapping[str, str] = field(default_factory=lambda: dict(role.ROLES))
    single: bool = False
    held_fds: tuple[int, ...] = ()
    metrics_directory: Path | None = None
    keepers: list[Keeper] = field(default_factory=list)
    generation: int = 0
    started_at: float = 0.0
    ready: bool = False
    last_reload: str = ""
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _reload_wanted: asyncio.Event = field(default_factory=asyncio.Event)
    _reloading: bool = False
    _retired: list[Keeper] = field(default_factory=list)
    _control: ControlSocket | None = None

    async def run(self) -> int:
        """Run until told to stop; returns the exit code.

        Sockets are bound before anything starts: AddressError passes to the caller.
        """
        self.started_at = clock.monotonic()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_wanted.set)
        self._control = ControlSocket(
            self.plan.data_dir, self.status, self._trace, self._ask
        )
        bound = self._open(self.plan)
        self.pool.adopt(bound)
        for name in self.pool.unclaimed():
            log.warning("inherited socket is not in the configuration", address=name)
        jobs = []
        try:
            await asyncio.to_thread(_prepare_stores, self.plan)
        except StoreAwayError as error:
            # Equipment is answered without the database; the ledger catches up.
            log.error("database is away, trying again", problem=str(error))
            jobs.append(asyncio.create_task(self._await_stores(), name="stores"))
        await self._control.open()
        metrics.BUILD_INFO.labels(
            versions.fairlane(), versions.python(), versions.sqlite()
        ).set(1)
        metrics.READY.set(0)
        self.keepers = self._start_generation(self.plan, bound)
        for keeper in self.keepers:
            keeper.release()
        jobs.append(asyncio.create_task(self._tick(), name="tick"))
        jobs.append(asyncio.create_task(self._reloads(), name="reloads"))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            done, _ = await asyncio.wait(
                [stopping, *jobs], return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            await self._shut_down([stopping, *jobs])
        failed = [job for job in done if job is not stopping]
        for job in failed:
            log.error("supervisor failed", job=job.get_name(), exc_info=job.exception())
        return 1 if failed else 0

    async def _await_stores(self) -> None:
        """Prepare the stores as soon as the database answers, then sleep for ever."""
        while True:
            await asyncio.sleep(STORES_AGAIN_SECONDS)
            try:
                await asyncio.to_thread(_prepare_stores, self.plan)
            except StoreAwayError:
                continue
            log.info("database is there")
            await asyncio.Event().wait()

    async def _shut_down(self, jobs: list[asyncio.Task[Any]]) -> None:
        log.info("stopping")
        self.service_manager.stopping()
        metrics.READY.set(0)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await asyncio.gather(
            *(keeper.stop() for keeper in [*self.keepers, *self._retired])
        )
        if self._control:
            await self._control.close()
        self.pool.close()
        log.info("stopped")

    # --- roles ---------------------------------------------------------------

    def _open(self, plan: Plan) -> Bound:
        settings = plan.settings
        size = max(
            settings.radius.receive_buffer_bytes, settings.dhcp.receive_buffer_bytes
        )
        return self.pool.open(plan.endpoints(), plan.workers, size)

    def _start_generation(self, plan: Plan, bound: Bound) -> list[Keeper]:
        self.generation += 1
        keepers = []
        for name, index in preparation.role_places(plan):
            if name not in self.targets:
                continue
            spec = RoleSpec(
                name=name,
                index=index,
                target=self.targets[name],
                settings=plan.settings,
                sockets=_sockets_of(name, index, plan.workers, bound),
                generation=self.generation,
                metrics_directory=self.metrics_directory,
                held_fds=self.held_fds,
            )
            keeper = Keeper(spec, self._publish, single=self.single)
            keeper.start()
            keepers.append(keeper)
        return keepers

    def _trace(self, message: role.Message) -> None:
        for keeper in self.keepers:
            keeper.trace(message)

    async def _ask(self, name: str, question: role.Message) -> role.Message:
        for keeper in self.keepers:
            if keeper.spec.name == name:
                return await keeper.ask(question)
        return {"error": f"there is no role {name!r}"}

    def _publish(self, event: role.Message) -> None:
        if self._control:
            self._control.publish(event)

    # --- health --------------------------------------------------------------

    async def _tick(self) -> None:
        watchdog = self.service_manager.watchdog_seconds / 3
        health_at = watchdog_at = 0.0
        told: list[bool] = []
        while True:
            now = clock.monotonic()
            self._judge(now)
            health = [keeper.healthy(now) for keeper in self.keepers]
            if health != told or now - health_at >= HEALTH_SECONDS:
                health_at, told = now, health
                self._tell_control(now)
            beating = all(keeper.beating(now) for keeper in self.keepers)
            if watchdog and beating and now - watchdog_at >= watchdog:
                watchdog_at = now
                self.service_manager.watchdog()
            await asyncio.sleep(TICK_SECONDS if self.ready else UNREADY_TICK_SECONDS)

    def _judge(self, now: float) -> None:
        ready = all(keeper.ready(now) for keeper in self.keepers)
        if ready == self.ready:
            return
        self.ready = ready
        metrics.READY.set(int(ready))
        if self._reloading:
            return  # the reload speaks for itself when it is over
        if ready:
            log.info("ready", roles=len(self.keepers), digest=self.plan.digest)
            self.service_manager.ready(self._status_line())
        else:
            unwell = [k.label for k in self.keepers if not k.ready(now)]
            log.warning("not ready", roles=unwell)
            self.service_manager.status("not ready: " + ", ".join(unwell))

    def _status_line(self) -> str:
        return (
            f"serving with {len(self.keepers)} roles, configuration {self.plan.digest}"
        )

    def _tell_control(self, now: float) -> None:
        roles = [keeper.report(now) for keeper in self.keepers]
        message = {"type": "health", "ready": self.ready, "roles": roles}
        for keeper in self.keepers:
            if keeper.spec.name == "control":
                keeper.send(message)

    def status(self) -> dict[str, Any]:
        """Return what ``fairlane status`` shows."""
        now = clock.monotonic()
        return {
            "ready": self.ready,
            "pid": os.getpid(),
            "single": self.single,
            "uptime_seconds": round(now - self.started_at, 3),
            "data_dir": str(self.plan.data_dir),
            "configuration": str(self.plan.file) if self.plan.file else "",
            "digest": self.plan.digest,
            "generation": self.generation,
            "last_reload": self.last_reload,
            "versions": versions.facts(),
            "listening": [
                f"{where.kind} {_address(sock.getsockname())}"
                for where, socks in self.pool.bound.items()
                for sock in socks[:1]
            ],
            "roles": [keeper.report(now) for keeper in self.keepers],
        }

    # --- reload --------------------------------------------------------------

    async def _reloads(self) -> None:
        while True:
            await self._reload_wanted.wait()
            self._reload_wanted.clear()
            self._reloading = True
            self.service_manager.reloading()
            problem = ""
            try:
                await self._reload()
            except ConfigurationError as error:
                for one in error.problems:
                    log.error("configuration problem", problem=str(one))
                problem = f"{len(error.problems)} problems"
            except (AddressError, StoreError, ReloadRefused) as error:
                log.error("reload refused", problem=str(error))
                problem = str(error)
            finally:
                self._reloading = False
            self.last_reload = problem or "applied"
            if problem:
                log.error("the configuration in force is kept", digest=self.plan.digest)
            else:
                log.info("reloaded", digest=self.plan.digest)
            self.service_manager.ready(
                self._status_line()
                + (f" (reload refused: {problem})" if problem else "")
            )

    async def _reload(self) -> None:
        old = self.plan
        new = await asyncio.to_thread(preparation.load, old.file)
        if new.data_dir != old.data_dir:
            raise ReloadRefused("data_dir can change only with a restart")
        bound = self._open(new)
        try:
            if new.settings.database != old.settings.database:
                await asyncio.to_thread(prepare_database, new)
            if new.network is not None:
                await asyncio.to_thread(apply_network, new)
            if new.settings != old.settings:
                await self._replace(new, bound)
        except BaseException:
            self.pool.discard(bound)
            raise
        self.plan = new

    async def _replace(self, plan: Plan, bound: Bound) -> None:
        """Bring up a generation for ``plan`` and hand the sockets over to it."""
        fresh = self._start_generation(plan, bound)
        try:
            async with asyncio.timeout(PREPARE_SECONDS_MAX):
                await asyncio.gather(*(keeper.prepared.wait() for keeper in fresh))
            self.pool.complete(bound)
        except BaseException as error:
            self.generation -= 1
            self._retired += fresh
            await asyncio.gather(*(keeper.stop() for keeper in fresh))
            self._retired = []
            if isinstance(error, TimeoutError):
                raise ReloadRefused("the new roles did not get ready") from error
            raise
        self._retired, self.keepers = self.keepers, fresh
        logs.configure(plan.settings.log.level, role="supervisor")
        await asyncio.gather(*(self._hand_over(name) for name in self.targets))
        self._retired = []
        self.pool.adopt(bound)

    async def _hand_over(self, name: str) -> None:
        """End the old roles called ``name``, then let the new ones serve."""
        old = [keeper for keeper in self._retired if keeper.spec.name == name]
        await asyncio.gather(*(keeper.stop() for keeper in old))
        for keeper in self.keepers:
            if keeper.spec.name == name:
                keeper.release()


def _prepare_stores(plan: Plan) -> None:
    """Migrate the database and apply the network file; raises StoreError."""
    prepare_database(plan)
    changes = apply_network(plan)
    if changes:
        log.info("network applied", changes=len(changes))


class ReloadRefused(Exception):  # noqa: N818 - an outcome, not an error
    """The new configuration is valid, but cannot be taken over."""


def _sockets_of(name: str, index: int, workers: int, bound: Bound) -> Sockets:
    """Pick one role's sockets."""
    kinds = _KINDS_OF.get(name, ())
    sockets: Sockets = {kind: [] for kind in kinds}
    for where, socks in bound.items():
        if where.kind in kinds:
            count = workers if name == "radius" else 1
            sockets[where.kind] += share(socks, index, count)
    return sockets


def _address(name: Any) -> str:
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


_KINDS_OF: dict[str, tuple[str, ...]] = {
    "radius": ("authentication", "accounting"),
    "ipserver": ("dhcp",),
    "control": ("http",),
}
