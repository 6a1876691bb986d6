"""One life of one role: as a process of its own, or as a task of this loop.

Both have the same face, so that the keeper above them does not know which it keeps.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from config.schema import Settings
from daemon import role
from daemon.role import Message, RoleContext, Sockets
from telemetry import logs, multiprocess

log = logs.get_logger("daemon.supervisor")

OnMessage = Callable[[Message], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSpec:
    """What to run: the role, its sockets (the supervisor's own) and settings.

    ``generation`` counts the settings in force; it keeps the metrics of a role apart
    from those of the one that it replaces.  ``held_fds`` are passed on and not used:
    a lock lives as long as the role.
    """

    name: str
    index: int
    target: str
    settings: Settings
    sockets: Sockets
    generation: int = 1
    metrics_directory: Path | None = None
    held_fds: tuple[int, ...] = ()

    @property
    def label(self) -> str:
        """radius-0, ledger, control."""
        return role.label(self.name, self.index)

    @property
    def metrics_identity(self) -> str:
        """The name of this role's metric files."""
        return f"{self.label}.{self.generation}"


class Runner(Protocol):
    """One life of a role."""

    pid: int

    async def start(self) -> None:
        """Begin; messages of the role arrive at once."""

    def send(self, message: Message) -> None:
        """Give the role a message."""

    def kill(self) -> None:
        """End it now."""

    async def wait(self) -> str:
        """Wait for its end and return how it ended, "" for well."""


@dataclass(slots=True)
class ProcessRunner:
    """A role as a child process with a channel."""

    spec: RoleSpec
    on_message: OnMessage
    pid: int = 0
    _process: asyncio.subprocess.Process | None = None
    _writer: asyncio.StreamWriter | None = None
    _listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Spawn the process and hand it its sockets and settings."""
        spec = self.spec
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        fds = {kind: [s.fileno() for s in ss] for kind, ss in spec.sockets.items()}
        every_fd = [fd for some in fds.values() for fd in some]
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "daemon.role",
                spec.name,
                str(spec.index),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(theirs.fileno(), *every_fd, *spec.held_fds),
                env=self._environment(theirs.fileno()),
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.pid = self._process.pid
        ours.setblocking(False)
        reader, self._writer = await asyncio.open_connection(
            sock=ours, limit=role.LINE_BYTES_MAX
        )
        settings = msgspec.to_builtins(spec.settings)
        self.send({"settings": settings, "sockets": fds, "target": spec.target})
        self._listening = asyncio.create_task(self._listen(reader))

    def _environment(self, channel_fd: int) -> dict[str, str]:
        environment = dict(os.environ)
        environment[role.CHANNEL_VARIABLE] = str(channel_fd)
        # The roles must be this same code, from wherever we were started.
        root = str(Path(role.__file__).resolve().parents[1])
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}:{inherited}" if inherited else root
        if self.spec.metrics_directory:
            directory = str(self.spec.metrics_directory)
            environment[multiprocess.DIRECTORY_VARIABLE] = directory
            environment[role.IDENTITY_VARIABLE] = self.spec.metrics_identity
        return environment

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self.on_message(msgspec.json.decode(line))
        except ConnectionError:
            pass  # it died with our words unread; ``wait`` tells how
        except ValueError as error:
            # A channel that talks nonsense: without beats the role is soon killed.
            log.error("channel lost", role=self.spec.label, error=str(error))

    def send(self, message: Message) -> None:
        """Write to the channel; a role that does not read is soon killed anyway."""
        writer = self._writer
        if writer is None or writer.is_closing():
            return
        if writer.transport.get_write_buffer_size() < role.LINE_BYTES_MAX:
            writer.write(msgspec.json.encode(message) + b"\n")

    def kill(self) -> None:
        """SIGKILL."""
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def wait(self) -> str:
        """Reap the process."""
        assert self._process is not None
        code = await self._process.wait()
        if self._listening:
            self._listening.cancel()
        if self._writer:
            self._writer.close()
        if self.spec.metrics_directory:
            directory = self.spec.metrics_directory
            multiprocess.mark_dead(directory, self.spec.metrics_identity)
        if code == 0:
            return ""
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit {code}"


@dataclass(slots=True)
class TaskRunner:
    """A role as a task of this loop (``--single``); its sockets are duplicates."""

    spec: RoleSpec
    on_message: OnMessage
    pid: int = field(default_factory=os.getpid)
    _context: RoleContext | None = None
    _task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin the task with sockets that it may close as it likes."""
        sockets = {
            kind: [sock.dup() for sock in socks]
            for kind, socks in self.spec.sockets.items()
        }
        for socks in sockets.values():
            for sock in socks:
                sock.setblocking(False)
        self._context = RoleContext(
            name=self.spec.name,
            index=self.spec.index,
            settings=self.spec.settings,
            sockets=sockets,
            send=self.on_message,
            shares_process=True,
        )
        self._task = asyncio.create_task(role.run_role(self._context, self.spec.target))

    def send(self, message: Message) -> None:
        """Deliver at once."""
        if self._context:
            self._context.deliver(message)

    def kill(self) -> None:
        """Cancel the task."""
        if self._task:
            self._task.cancel()

    async def wait(self) -> str:
        """Wait for the task and close its sockets."""
        assert self._task is not None
        assert self._context is not None
        await asyncio.wait([self._task])
        for socks in self._context.sockets.values():
            for sock in socks:
                sock.close()
        if self._task.cancelled():
            return "cancelled"
        error = self._task.exception()
        if error is None:
            return ""
        log.error("role failed", role=self.spec.label, exc_info=error)
        return f"{type(error).__name__}: {error}"
