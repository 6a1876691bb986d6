"""The role ``control``: HTTP for people and machines, over the inherited socket.

It holds no truth.  What the other roles are, the supervisor tells it every second; the
database it asks itself, once a second and in a thread, so that a request never waits
for a store that is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from controlplane.rest.application import Check, build
from daemon import clock, dynamic_authorization, versions
from daemon.control_plane import ControlPlane
from daemon.role import RoleContext
from storage.backup_mark import last_backup
from storage.database import StorageError, check_writable, open_database
from storage.warming import warm
from telemetry import logs, metrics, multiprocess

log = logs.get_logger("control")

CHECK_SECONDS = 1.0
VERDICT_SECONDS = 0.1
# The supervisor speaks every second; after five we no longer know.
NEWS_SECONDS_MAX = 5.0
DRAIN_SECONDS = 2


@dataclass(slots=True)
class DatabaseCheck:
    """What the last try to write told; ``at`` is on the monotonic clock."""

    problem: str = "not yet known"
    at: float = 0.0

    async def watch(self, check: Callable[[], None]) -> None:
        """Try again and again, one at a time; a try that hangs ages the last result."""
        while True:
            try:
                await asyncio.to_thread(check)
                self.problem = ""
            except StorageError as error:
                self.problem = str(error).splitlines()[0]
            self.at = clock.monotonic()
            await asyncio.sleep(CHECK_SECONDS)


class Server(uvicorn.Server):
    """uvicorn without its own ideas of signals: the role is told when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def judge(
    health: dict[str, Any], heard_at: float, database: DatabaseCheck, now: float
) -> list[Check]:
    """Turn what is known into the checks of /readyz; times are monotonic seconds."""
    checks = [Check("database", not database.problem, database.problem)]
    if now - database.at > 15 and not database.problem:
        checks = [Check("database", False, "does not answer")]
    roles = health.get("roles", [])
    if not roles or now - heard_at > NEWS_SECONDS_MAX:
        return [*checks, Check("roles", False, "no news of the supervisor")]
    lame = []
    for role in roles:
        label, state = role["role"], role["state"]
        if state != "serving":
            lame.append(f"{label} is {state}")
        if label.startswith("radius-") or label == "ipserver":
            told = role.get("detail", {}).get("journal", "")
            detail = told if state == "serving" else f"{label} is {state}"
            checks.append(Check(f"journal-{label}", role["healthy"], detail))
        elif label != "control":
            told = "" if role["healthy"] else str(role.get("detail", {}))
            checks.append(Check(label, role["healthy"], told))
    return [*checks, Check("roles", not lame, ", ".join(lame))]


async def run(role: RoleContext) -> None:
    """Serve HTTP until told to stop."""
    settings = role.settings
    database = open_database(settings.database, settings.data_dir)
    known = DatabaseCheck()

    def checks() -> list[Check]:
        return judge(role.health, role.health_at, known, clock.monotonic())

    plane = ControlPlane.of(settings, database)
    application = build(
        checks=checks,
        metrics=multiprocess.render,
        version=versions.fairlane(),
        context=plane.context,
    )
    server = Server(
        uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    try:
        await asyncio.to_thread(warm, database)
    except StorageError as error:  # it is away: /readyz tells, and we serve without
        log.warning("the database could not be read ahead", error=str(error))
    await role.ready()
    managing = asyncio.create_task(plane.run())
    access = asyncio.create_task(dynamic_authorization.run(role, database))
    watching = asyncio.create_task(known.watch(lambda: check_writable(database)))
    serving = asyncio.create_task(server.serve(sockets=role.sockets["http"]))
    told = asyncio.create_task(role.stopping.wait())
    # Our own health is that we serve; the database's is told by /readyz, and by
    # "ready", which the supervisor waits for before it tells the service manager.
    role.beat_status.update(healthy=True, ready=False, detail={})
    try:
        while not (serving.done() or told.done() or managing.done()):
            metrics.LAST_BACKUP.set(last_backup(Path(settings.data_dir)) or 0)
            ready = server.started and all(check.healthy for check in checks())
            if ready != role.beat_status["ready"]:
                role.beat_status["ready"] = ready
                role.beat()
            await asyncio.wait(
                {serving, told, managing},
                timeout=VERDICT_SECONDS,
                return_when=asyncio.FIRST_COMPLETED,
            )
    finally:
        role.beat_status["healthy"] = False
        server.should_exit = True
        told.cancel()
        watching.cancel()
        access.cancel()
        managing.cancel()
        await serving
        await asyncio.gather(watching, access, managing, return_exceptions=True)
        database.close()
    if not role.stopping.is_set():
        if managing.done() and not managing.cancelled():
            managing.result()  # what ended the control plane is a bug of ours
        raise RuntimeError("the HTTP server ended by itself")
