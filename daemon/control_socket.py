"""The control socket: how the command line talks to a running daemon.

``data_dir/control.sock``, mode 0600: who may open it is who owns the data.  One
request a connection, one JSON object a line.  "status" is answered with one line, as
is "ask", which puts a question to a role; "trace" is answered with events until the
client leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from daemon import clock
from daemon.role import Message, TraceFilter

NAME = "control.sock"
REQUEST_BYTES_MAX = 64 * 1024
CLIENTS_MAX = 64
# A watcher that cannot keep up loses events, which it is told, not memory.
TRACE_QUEUE_EVENTS = 1000
# Roles end a trace by themselves; while someone watches it is renewed.
TRACE_SECONDS = 15.0
TRACE_RENEW_SECONDS = 5.0
_SUN_PATH_BYTES = 107


class NotRunning(Exception):  # noqa: N818 - a fact, not an error
    """No daemon listens on the control socket."""


@contextlib.contextmanager
def _reachable(data_dir: Path) -> Iterator[str]:
    """Yield a name of the socket that fits into sun_path, however deep it lies."""
    path = data_dir / NAME
    if len(os.fsencode(path)) <= _SUN_PATH_BYTES:
        yield str(path)
        return
    descriptor = os.open(data_dir, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{NAME}"
    finally:
        os.close(descriptor)


@dataclass(slots=True)
class Watcher:
    """One client of a live trace."""

    nas: str
    user: str
    queue: asyncio.Queue[Message] = field(
        default_factory=lambda: asyncio.Queue(TRACE_QUEUE_EVENTS)
    )
    lost: int = 0

    def wants(self, event: Message) -> bool:
        """Tell whether the event is for this client.

        An event that does not know its user yet passes: the decisions before the
        packet is decoded belong to the story.
        """
        user = event.get("user")
        return self.nas in ("", event.get("nas", self.nas)) and (
            user is None or self.user in ("", user)
        )

    def offer(self, event: Message) -> None:
        """Queue the event, or count it."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            self.lost += 1


@dataclass(slots=True)
class ControlSocket:
    """The server's side.

    ``status`` makes the answer to "status"; ``trace`` tells all roles what to trace;
    ``question`` puts a question to a role by its name.
    """

    data_dir: Path
    status: Callable[[], dict[str, Any]]
    trace: Callable[[Message], None]
    question: Callable[[str, Message], Awaitable[Message]]
    _server: asyncio.Server | None = None
    _watchers: list[Watcher] = field(default_factory=list)
    _renewing: asyncio.Task[None] | None = None
    _clients: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(self) -> None:
        """Listen; a socket left by a daemon that was killed is replaced."""
        (self.data_dir / NAME).unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        with _reachable(self.data_dir) as address:
            sock.bind(address)
        # The directory is 0700, so nobody came in between.
        (self.data_dir / NAME).chmod(0o600)
        self._server = await asyncio.start_unix_server(
            self._serve, sock=sock, limit=REQUEST_BYTES_MAX
        )

    async def close(self) -> None:
        """Stop listening and let every client go."""
        if self._server:
            self._server.close()
        if self._renewing:
            self._renewing.cancel()
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        (self.data_dir / NAME).unlink(missing_ok=True)

    def publish(self, event: Message) -> None:
        """Give a role's trace event to those who watch for it."""
        for watcher in self._watchers:
            if watcher.wants(event):
                watcher.offer(event)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            await self._answer(reader, writer)
        except (ConnectionError, ValueError, msgspec.DecodeError):
            pass  # the client left, or never spoke our language
        except asyncio.CancelledError:
            pass  # the daemon stops; the stream's own callback must not see it
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if len(self._clients) > CLIENTS_MAX:
            await _write(writer, {"error": "too many clients"})
            return
        request = msgspec.json.decode(await reader.readline(), type=dict[str, Any])
        match request.get("command"):
            case "status":
                await _write(writer, self.status())
            case "trace":
                nas = str(request.get("nas") or "")
                user = str(request.get("user") or "")
                await self._trace(Watcher(nas, user), reader, writer)
            case "ask":
                role, question = str(request.get("role")), request.get("question")
                question = question if isinstance(question, dict) else {}
                await _write(writer, await self.question(role, question))
            case other:
                await _write(writer, {"error": f"unknown command {other!r}"})

    async def _trace(
        self,
        watcher: Watcher,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._watchers.append(watcher)
        self._announce()
        if self._renewing is None:
            self._renewing = asyncio.create_task(self._renew())
        await _write(writer, {"tracing": {"nas": watcher.nas, "user": watcher.user}})
        gone = asyncio.create_task(reader.read())
        try:
            while not gone.done():
                event = asyncio.create_task(watcher.queue.get())
                await asyncio.wait({gone, event}, return_when=asyncio.FIRST_COMPLETED)
                if not event.done():
                    event.cancel()
                    break
                if watcher.lost:
                    lost, watcher.lost = watcher.lost, 0
                    await _write(writer, {"lost_events": lost})
                await _write(writer, event.result())
        finally:
            gone.cancel()
            self._watchers.remove(watcher)
            self._announce()
            if not self._watchers and self._renewing:
                self._renewing.cancel()
                self._renewing = None

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(TRACE_RENEW_SECONDS)
            self._announce()

    def _announce(self) -> None:
        """Tell the roles the one filter that covers all watchers."""
        naming = {watcher.nas for watcher in self._watchers}
        users = {watcher.user for watcher in self._watchers}
        until = clock.now() + TRACE_SECONDS if self._watchers else 0.0
        merged = TraceFilter(
            nas=naming.pop() if len(naming) == 1 else "",
            user=users.pop() if len(users) == 1 else "",
            until=until,
        )
        self.trace(
            {
                "type": "trace",
                "nas": merged.nas,
                "user": merged.user,
                "until": merged.until,
            }
        )


async def _write(writer: asyncio.StreamWriter, answer: Message) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    await writer.drain()


def ask(data_dir: Path, request: Message, timeout: float = 5.0) -> Iterator[Message]:
    """Send one request and yield the answers; for the command line.

    Raises NotRunning.  ``timeout`` (seconds) is for reaching the daemon and its first
    answer; a trace then waits as long as it takes.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout)
        try:
            with _reachable(data_dir) as address:
                sock.connect(address)
        except OSError as error:
            raise NotRunning(f"no fairlane runs on {data_dir}") from error
        sock.sendall(msgspec.json.encode(request) + b"\n")
        with sock.makefile("rb") as lines:
            for line in lines:
                sock.settimeout(None)
                yield msgspec.json.decode(line)
