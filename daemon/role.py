"""One role: the context it runs in, and the process around it.

A role is an ``async def run(role: RoleContext)``.  It gets ready (imports, tables in
memory), awaits ``role.ready()``, and only then opens stores that have one writer and
touches its sockets: during a reload the role it replaces still works until that
moment.  It ends soon after ``role.stopping`` is set.

As a process (``python -m daemon.role NAME INDEX``) it talks to the supervisor over an
inherited stream socket, one JSON object a line; with ``--single`` the same messages
are plain calls.  The end of that stream means that the supervisor is gone: drain and
exit, so that the next one can have the stores.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import structlog

from config.schema import Settings
from daemon import clock
from telemetry import logs, multiprocess

BEAT_SECONDS = 1.0
# While it is not well: a start is over, or a store back, as soon as it is.
UNWELL_BEAT_SECONDS = 0.1
# The supervisor kills after 4 s; an orphan has nobody to do that.
ORPHAN_DRAIN_SECONDS = 4.0
# The first message carries the settings; nothing real comes near this.
LINE_BYTES_MAX = 4 * 1024 * 1024
# Traces are for eyes: a role that traces everything must not fill its channel.
TRACE_EVENTS_PER_SECOND = 500

GC_THRESHOLDS = (100_000, 20, 100)

CHANNEL_VARIABLE = "ROLE_CHANNEL"
IDENTITY_VARIABLE = "ROLE_METRICS_IDENTITY"

Message = dict[str, Any]
Sockets = dict[str, list[socket.socket]]


class Withdrawn(Exception):  # noqa: N818 - an outcome, not an error
    """The role was told to stop while it waited for its go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceFilter:
    """What someone is watching: ``nas`` and ``user`` by name, "" for any.

    ``until`` is in seconds since the epoch: a forgotten trace ends by itself.
    """

    nas: str = ""
    user: str = ""
    until: float = 0.0

    def matches(self, *, nas: str, user: str | None, now: float) -> bool:
        """Tell whether an event is watched; ``user`` None means not yet known."""
        return (
            now < self.until
            and self.nas in ("", nas)
            and (user is None or self.user in ("", user))
        )


@dataclass(slots=True, kw_only=True)
class RoleContext:
    """What a role knows of the world.

    ``sockets`` has lists by kind (accounting, authentication, dhcp, http).  The role
    keeps ``beat_status`` current: "healthy" (bool: sockets served and stores writable;
    it starts as False and is the role's to set) and "detail" (a small JSON object that
    ``fairlane status`` and /readyz?verbose show).  ``health`` is what the supervisor
    last said of all roles, at ``health_at`` (monotonic); only the control role gets it.
    ``shares_process`` is true where all roles are in one process.
    """

    name: str
    index: int
    settings: Settings
    sockets: Sockets
    send: Callable[[Message], None]
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    beat_status: dict[str, Any] = field(
        default_factory=lambda: {"healthy": False, "detail": {}}
    )
    shares_process: bool = False
    tracing: TraceFilter | None = None
    answer: Callable[[Message], Message] | None = None
    """Answers what the command line asks of this role, when there is something to."""
    health: dict[str, Any] = field(default_factory=dict)
    health_at: float = 0.0
    serving: bool = False
    traces_dropped: int = 0
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _go: asyncio.Event = field(default_factory=asyncio.Event)
    _trace_second: int = 0
    _trace_count: int = 0

    @property
    def label(self) -> str:
        """The role's name among all processes: radius-0, ledger, control."""
        return label(self.name, self.index)

    async def ready(self) -> None:
        """Report that the preparations are done and wait for the go.

        Raises Withdrawn, which the role lets pass, when it is told to stop instead.
        """
        self.send({"type": "ready"})
        gc.freeze()  # what is imported stays
        await self._go.wait()
        if self.stopping.is_set():
            raise Withdrawn
        self.serving = True

    async def stopped_within(self, seconds: float) -> bool:
        """Wait until told to stop, for ``seconds`` at most; tell whether it was."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.stopping.wait()
        return self.stopping.is_set()

    def emit_trace(self, event: Message) -> None:
        """Send one event of a live trace; beyond the rate they are only counted.

        May be called from any thread.
        Keys "nas" and "user" let the supervisor sort events to their watchers.
        """
        now = clock.now()
        if self._trace_second != int(now):
            self._trace_second, self._trace_count = int(now), 0
        self._trace_count += 1
        if self._trace_count > TRACE_EVENTS_PER_SECOND:
            self.traces_dropped += 1
            return
        whole = {"at": now, "role": self.label, **event}
        self.loop.call_soon_threadsafe(self.send, {"type": "trace", "event": whole})

    def beat(self) -> None:
        """Tell the supervisor that this loop turns, and how the role is."""
        self.send({"type": "beat", "status": self.beat_status, "serving": self.serving})

    def deliver(self, message: Message) -> None:
        """Take one message of the supervisor; unknown types are left alone."""
        match message.get("type"):
            case "go":
                self._go.set()
            case "stop":
                self.stopping.set()
                self._go.set()
            case "trace":
                self.tracing = _trace_filter(message)
            case "question" if self.answer is not None:
                answer = self.answer(message["question"])
                self.send({"type": "answer", "id": message["id"], "answer": answer})
            case "health":
                self.health, self.health_at = message, clock.monotonic()
            case _:
                pass


RoleFunction = Callable[[RoleContext], Awaitable[None]]


def label(name: str, index: int) -> str:
    """Name one role among all: only radius has several."""
    return f"{name}-{index}" if name == "radius" else name


def load(target: str) -> RoleFunction:
    """Import ``module:function``; late, so that a role loads only what it needs."""
    module, _, name = target.partition(":")
    function: RoleFunction = getattr(importlib.import_module(module), name)
    return function


async def run_role(context: RoleContext, target: str) -> None:
    """Run one role with its beat until it ends; its exceptions pass through."""
    structlog.contextvars.bind_contextvars(role=context.label)
    function = load(target)
    beats = asyncio.create_task(_beat(context))
    try:
        await function(context)
    except Withdrawn:
        pass
    finally:
        context.serving = False
        beats.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beats


async def _beat(context: RoleContext) -> None:
    while True:
        context.beat()
        status = context.beat_status
        well = status.get("healthy") and status.get("ready", True)
        await asyncio.sleep(BEAT_SECONDS if well else UNWELL_BEAT_SECONDS)


def _trace_filter(message: Mapping[str, Any]) -> TraceFilter | None:
    until = float(message.get("until", 0.0))
    if until <= clock.now():
        return None
    nas, user = str(message.get("nas", "")), str(message.get("user", ""))
    return TraceFilter(nas=nas, user=user, until=until)


async def _process(name: str, index: int, channel: socket.socket) -> int:
    """The life of a role's process; returns its exit code."""
    log = logs.get_logger("daemon.role")
    reader, writer = await asyncio.open_connection(sock=channel, limit=LINE_BYTES_MAX)
    first = await reader.readline()
    if not first:
        return 0
    start = msgspec.json.decode(first)
    encode = msgspec.json.encode

    def send(message: Message) -> None:
        # A supervisor that does not read must cost a bounded amount of memory.
        if writer.transport.get_write_buffer_size() < LINE_BYTES_MAX:
            writer.write(encode(message) + b"\n")

    settings = msgspec.convert(start["settings"], Settings)
    context = RoleContext(
        name=name,
        index=index,
        settings=settings,
        sockets={
            kind: [socket.socket(fileno=fd) for fd in fds]
            for kind, fds in start["sockets"].items()
        },
        send=send,
    )
    logs.configure(settings.log.level, role=context.label)
    for socks in context.sockets.values():
        for sock in socks:
            sock.setblocking(False)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, context.deliver, {"type": "stop"})
    listening = asyncio.create_task(_listen(reader, context))
    try:
        await run_role(context, start["target"])
    except Exception:
        log.exception("role failed")
        return 1
    finally:
        listening.cancel()
        writer.close()
    return 0


async def _listen(reader: asyncio.StreamReader, context: RoleContext) -> None:
    try:
        while line := await reader.readline():
            context.deliver(msgspec.json.decode(line))
    except ConnectionError:
        pass
    # Nobody is left to kill us if we hang, so we see to it before draining.
    asyncio.get_running_loop().call_later(ORPHAN_DRAIN_SECONDS, os._exit, 1)
    context.deliver({"type": "stop"})


def main(argv: list[str]) -> int:
    """Entry of ``python -m daemon.role NAME INDEX``, started by the supervisor."""
    # The terminal's Ctrl-C and hang-up go to the whole group; the supervisor gets
    # them too and tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if len(argv) != 2 or CHANNEL_VARIABLE not in os.environ:
        print("roles are started by `fairlane run`", file=sys.stderr)
        return 2
    channel = socket.socket(fileno=int(os.environ.pop(CHANNEL_VARIABLE)))
    channel.setblocking(False)
    directory = os.environ.get(multiprocess.DIRECTORY_VARIABLE)
    if directory:
        multiprocess.attach(Path(directory), os.environ[IDENTITY_VARIABLE])
    return run_loop(_process(argv[0], int(argv[1]), channel))


def run_loop(main_coroutine: Any) -> int:
    """Run a coroutine on uvloop where it is installed, else on asyncio's own loop."""
    # Imports make what stays, and batches thousands of tuples that die by themselves:
    # the collector would look through them a hundred times a second.
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        import uvloop
    except ImportError:
        return int(asyncio.run(main_coroutine))
    return int(uvloop.run(main_coroutine))


ROLES: dict[str, str] = {
    "radius": "daemon.radius_role:run",
    "ipserver": "daemon.ipserver_role:run",
    "ledger": "daemon.ledger_role:run",
    "control": "daemon.control_role:run",
}

if __name__ == "__main__":
    # Under this name our classes would exist twice: once here, once as daemon.role.
    from daemon import role

    sys.exit(role.main(sys.argv[1:]))
