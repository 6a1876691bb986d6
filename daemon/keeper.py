"""Keeps one role alive: starts it, hears its beats, ends it, starts it again.

The rules: a role that dies is started again after a pause that doubles from 0.1 s to
30 s and is forgotten after a minute of health; a role whose beat stops for 10 s is
killed first.  A role serves only after the keeper was released, which is how a reload
holds new roles back until the old ones are gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from daemon import clock
from daemon.role import Message
from daemon.runner import ProcessRunner, RoleSpec, Runner, TaskRunner
from telemetry import logs, metrics

log = logs.get_logger("daemon.supervisor")

BEAT_LOST_SECONDS = 10.0
# Imports of a cold disk take seconds; a minute means that it will never come, or that
# the host is busy, so each further start gets twice as long.
START_SECONDS_MAX = 60.0
START_SECONDS_LONGEST = 480.0
DRAIN_SECONDS_MAX = 4.0
CHECK_SECONDS = 1.0
ANSWER_SECONDS = 3.0
QUESTIONS_MAX = 32


class State(StrEnum):
    """Where a role is in its life."""

    STARTING = "starting"
    WAITING = "waiting"
    """Prepared; waits for its go."""
    SERVING = "serving"
    DRAINING = "draining"
    PAUSING = "pausing"
    """Dead; waits to be started again."""
    STOPPED = "stopped"


@dataclass(slots=True)
class BackOff:
    """The pause before the next start, in seconds."""

    first: float = 0.1
    longest: float = 30.0
    healthy_after: float = 60.0
    _next: float = 0.0

    def after(self, lived: float) -> float:
        """Return the pause for a role that lived ``lived`` seconds."""
        if lived >= self.healthy_after or not self._next:
            self._next = self.first
        pause = self._next
        self._next = min(pause * 2, self.longest)
        return pause


@dataclass(slots=True)
class Keeper:
    """One place in the table of roles."""

    spec: RoleSpec
    on_trace: Callable[[Message], None]
    single: bool = False
    state: State = State.STARTING
    restarts: int = 0
    status: dict[str, Any] = field(default_factory=dict)
    prepared: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the role has first reported ready."""
    back_off: BackOff = field(default_factory=BackOff)
    started_at: float = 0.0
    _start_seconds: float = START_SECONDS_MAX
    _released: bool = False
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: Runner | None = None
    _beat_at: float | None = None
    _task: asyncio.Task[None] | None = None
    _tracing: Message | None = None
    _questions: int = 0
    _asked: dict[int, asyncio.Future[Message]] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """radius-0, ledger, control."""
        return self.spec.label

    @property
    def pid(self) -> int:
        """The process of the role; 0 while there is none."""
        return self._runner.pid if self._runner else 0

    def healthy(self, now: float) -> bool:
        """Tell whether the role serves, says that it is well, and said so lately."""
        return (
            self.state is State.SERVING
            and bool(self.status.get("healthy"))
            and self.beating(now)
        )

    def ready(self, now: float) -> bool:
        """Tell whether it is healthy, and says that others may be told that we are.

        Only the control role waits with that, until /readyz is green; one that does
        not say has nothing to wait for.
        """
        return self.healthy(now) and bool(self.status.get("ready", True))

    def beating(self, now: float) -> bool:
        """Tell whether the role's loop turns.

        One that is dead or being started is the keeper's business, not a hang.
        """
        if self._runner is None or self._beat_at is None:
            return True
        return now - self._beat_at < BEAT_LOST_SECONDS

    def report(self, now: float) -> dict[str, Any]:
        """Return what ``status`` and the control role are told."""
        age = None if self._beat_at is None else round(now - self._beat_at, 3)
        return {
            "role": self.label,
            "pid": self.pid,
            "state": str(self.state),
            "healthy": self.healthy(now),
            "restarts": self.restarts,
            "uptime_seconds": round(now - self.started_at, 3) if self.pid else 0.0,
            "beat_age_seconds": age,
            "generation": self.spec.generation,
            "detail": self.status.get("detail", {}),
        }

    def start(self) -> None:
        """Begin to keep the role."""
        self._task = asyncio.create_task(self._keep(), name=f"keep {self.label}")

    def release(self) -> None:
        """Let the role serve, now or as soon as it is prepared."""
        self._released = True
        if self.state is State.WAITING:
            self._go()

    def send(self, message: Message) -> None:
        """Give the role a message, if it lives."""
        if self._runner:
            self._runner.send(message)

    def trace(self, message: Message) -> None:
        """Set what the role traces; a role started later is told too."""
        self._tracing = message
        self.send(message)

    async def ask(self, question: Message) -> Message:
        """Ask the role something; what it does not answer in time is an error."""
        if self.state is not State.SERVING:
            return {"error": f"the role {self.label} does not serve"}
        if len(self._asked) >= QUESTIONS_MAX:
            return {"error": f"the role {self.label} is asked too much"}
        self._questions += 1
        number = self._questions
        asked = asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        self.send({"type": "question", "id": number, "question": question})
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer: Message = await asked
                return answer
        except TimeoutError:
            return {"error": f"the role {self.label} does not answer"}
        finally:
            del self._asked[number]

    async def stop(self) -> None:
        """Let the role drain, for 4 s at most, and wait for its end."""
        self._stopping.set()
        if self._runner:
            self.state = State.DRAINING
            self._runner.send({"type": "stop"})
        if self._task:
            _, late = await asyncio.wait([self._task], timeout=DRAIN_SECONDS_MAX)
            if late:
                log.error("role did not drain, killed", role=self.label)
                if self._runner:
                    self._runner.kill()
                await self._task
        self.state = State.STOPPED

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            self.state = State.STARTING
            self._beat_at = None
            self.status = {}
            self.started_at = clock.monotonic()
            ended = await self._live()
            if self._stopping.is_set():
                break
            lived = clock.monotonic() - self.started_at
            pause = self.back_off.after(lived)
            self.state = State.PAUSING
            self.restarts += 1
            metrics.ROLE_RESTARTS.labels(self.label).inc()
            log.error(
                "role ended, starting it again",
                role=self.label,
                ended=ended or "by itself",
                lived_seconds=round(lived, 3),
                pause_seconds=pause,
            )
            await _wait(self._stopping, pause)

    async def _live(self) -> str:
        """One life; returns how it ended."""
        make = TaskRunner if self.single else ProcessRunner
        runner: Runner = make(self.spec, self._hear)
        try:
            await runner.start()
        except OSError as error:
            return str(error)
        self._runner = runner
        if self._stopping.is_set():
            runner.send({"type": "stop"})
        watch = asyncio.create_task(self._watch(runner))
        try:
            return await runner.wait()
        finally:
            watch.cancel()
            self._runner = None

    async def _watch(self, runner: Runner) -> None:
        """Kill the role when it hangs."""
        last = clock.monotonic()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            now = clock.monotonic()
            if now - last > 3 * CHECK_SECONDS and self._beat_at is not None:
                # We were held up ourselves; its beats may lie unread.
                self._beat_at = now
            last = now
            if self._beat_at is None:
                hung = now - self.started_at > self._start_seconds
            else:
                hung = not self.beating(now)
            if hung:
                if self._beat_at is None:
                    longer = min(2 * self._start_seconds, START_SECONDS_LONGEST)
                    self._start_seconds = longer
                log.error("role hangs, killed", role=self.label, pid=runner.pid)
                runner.kill()

    def _hear(self, message: Message) -> None:
        match message.get("type"):
            case "beat":
                self._beat_at = clock.monotonic()
                self.status = dict(message.get("status") or {})
            case "ready" if self.state is State.STARTING:
                self.state = State.WAITING
                self.prepared.set()
                if self._released:
                    self._go()
            case "trace":
                self.on_trace(message.get("event") or {})
            case "answer":
                asked = self._asked.get(int(message["id"]))
                if asked is not None and not asked.done():
                    asked.set_result(message["answer"])
            case _:
                pass

    def _go(self) -> None:
        self.state = State.SERVING
        self.send({"type": "go"})
        if self._tracing:
            self.send(self._tracing)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
