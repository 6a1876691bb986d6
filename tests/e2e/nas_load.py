"""NAS that never stop reporting, and remember what was acknowledged.

Each one has a socket of its own and one request outstanding, as a real one has per
identifier: it sends the same octets again until they are acknowledged, and only then
goes on. Counters are cumulative, so what the daemon must have of a session lies between
the highest counter that was acknowledged and the highest that was sent.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from typing import Any, Self

from e2e.daemon_process import Daemon
from radius_packets import SECRET, octets, packet

from radius.packet import is_response_authentic

START, STOP, INTERIM = 1, 2, 3
RETRY_SECONDS = 0.25
SECONDS_A_STEP = 10
OCTETS_A_STEP = 1_000_003


class LoadedSession:
    """What one session has sent, and what of it was acknowledged, in steps."""

    def __init__(self, name: str, started_at: int, length: int) -> None:
        self.name = name
        self.started_at = started_at
        self.length = length
        self.sent = 0
        self.acknowledged = 0

    def packet(self, identifier: int, user: str) -> bytes:
        """Make the next report and count it as sent."""
        step = self.sent
        self.sent += 1
        status = START if step == 0 else STOP if step == self.length else INTERIM
        counters: dict[str, Any] = {}
        if step:
            counters = {
                **octets("input", step * OCTETS_A_STEP),
                **octets("output", step * OCTETS_A_STEP * 9),
                "session_seconds": step * SECONDS_A_STEP,
                "input_packets": step * 700,
                "output_packets": step * 7000,
            }
        return packet(
            identifier,
            status=status,
            acct_session_id=self.name,
            user_name=user,
            event_at=self.started_at + step * SECONDS_A_STEP,
            **counters,
        )

    @property
    def over(self) -> bool:
        """Whether its Stop was acknowledged."""
        return self.acknowledged > self.length


class _Line:
    """One socket with one request outstanding."""

    def __init__(self, number: int, target: tuple[str, int]) -> None:
        self.number = number
        family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.connect(target)
        self.socket.setblocking(False)
        self.identifier = 0
        self.sessions: list[LoadedSession] = []
        self.request = b""
        self.sent_at = self.first_sent_at = 0.0
        self.tries = 0


class NasLoad(threading.Thread):
    """Sessions of ``steps`` reports each on ``lines`` sockets, until ``finish``.

    ``pace`` is the least time from one request of a line to its next, ``retry`` from
    one try of a request to its next, in seconds.
    """

    def __init__(
        self,
        daemon: Daemon,
        *,
        lines: int = 24,
        steps: int = 12,
        pace: float = 0.0,
        retry: float = RETRY_SECONDS,
        address: str = "127.0.0.1",
    ) -> None:
        super().__init__(name="nas load")
        target = (address, daemon.accounting_port)
        self._lines = [_Line(number, target) for number in range(lines)]
        self._steps = steps
        self._pace = pace
        self._retry = retry
        self._stopping = threading.Event()
        self._dropping = False
        self.acknowledged = 0
        self.most_tries = 0
        self.slowest = 0.0
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._dropping = True
        self.finish()

    def finish(self, seconds: float = 30.0) -> None:
        """Let what is outstanding be acknowledged, then end."""
        self._stopping.set()
        self.join(seconds)
        self._dropping = True
        self.join(5.0)
        for line in self._lines:
            line.socket.close()
        if self.error is not None:
            raise self.error

    def leave(self) -> None:
        """End at once: what is outstanding stays unacknowledged."""
        self._dropping = True
        self.finish()

    def sessions(self) -> list[LoadedSession]:
        """Give every session that sent anything."""
        return [s for line in self._lines for s in line.sessions if s.sent]

    def run(self) -> None:
        """Send and hear until told to end."""
        try:
            self._run()
        except BaseException as error:  # noqa: BLE001 - told in finish
            self.error = error

    def _run(self) -> None:
        by_fd = {line.socket.fileno(): line for line in self._lines}
        poller = select.poll()
        for fd in by_fd:
            poller.register(fd, select.POLLIN)
        now = time.monotonic()
        for line in self._lines:
            self._next(line, now)
        while not self._dropping:
            for fd, _ in poller.poll(20):
                self._hear(by_fd[fd])
            now = time.monotonic()
            waiting = False
            for line in self._lines:
                if line.request:
                    waiting = True
                    if now - line.sent_at >= self._retry:
                        self._send(line, now)
                elif not self._stopping.is_set() and (
                    now - line.first_sent_at >= self._pace
                ):
                    self._next(line, now)
            if self._stopping.is_set() and not waiting:
                return

    def _hear(self, line: _Line) -> None:
        # A port that nobody has open for a moment answers with ICMP.
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                answer = line.socket.recv(4096)
                if not line.request or not is_response_authentic(
                    answer, line.request, SECRET
                ):
                    continue
                now = time.monotonic()
                self.slowest = max(self.slowest, now - line.first_sent_at)
                self.most_tries = max(self.most_tries, line.tries)
                line.sessions[-1].acknowledged = line.sessions[-1].sent
                self.acknowledged += 1
                line.request = b""
                if not self._pace and not self._stopping.is_set():
                    self._next(line, now)

    def _next(self, line: _Line, now: float) -> None:
        if not line.sessions or line.sessions[-1].over:
            name = f"{line.number:03d}-{len(line.sessions):05d}"
            # Two days ago, so that no report is from the future.
            start = int(time.time()) - 172_800
            line.sessions.append(LoadedSession(name, start, self._steps))
        line.identifier = (line.identifier + 1) % 256
        line.request = line.sessions[-1].packet(
            line.identifier, f"subscriber-{line.number}"
        )
        line.first_sent_at, line.tries = now, 0
        self._send(line, now)

    def _send(self, line: _Line, now: float) -> None:
        line.sent_at = now
        line.tries += 1
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            line.socket.send(line.request)


def check(load: NasLoad, daemon: Daemon) -> None:
    """Hold the database against what was acknowledged: nothing lost or doubled."""
    rows = {}
    for row in daemon.sessions():
        assert row["acct_session_id"] not in rows, "one session became two"
        rows[row["acct_session_id"]] = row
    summed: dict[int, list[int]] = {}
    fields = ("seconds", "input_octets", "output_octets")
    fields += ("input_packets", "output_packets")
    for record in daemon.usage():
        sums = summed.setdefault(record["session_id"], [0] * len(fields))
        for place, field in enumerate(fields):
            sums[place] += record[field]
    sent = {session.name for session in load.sessions()}
    assert not rows.keys() - sent, "sessions that nobody sent"
    for session in load.sessions():
        row = rows.get(session.name)
        if row is None:
            assert not session.acknowledged, f"{session.name} is lost"
            continue
        totals = [row[field] for field in fields]
        steps, rest = divmod(row["input_octets"], OCTETS_A_STEP)
        assert not rest, f"{session.name} has part of a report"
        assert max(0, session.acknowledged - 1) <= steps <= session.sent - 1, (
            f"{session.name}: {session.acknowledged} reports acknowledged, "
            f"{session.sent} sent, {steps + 1} counted"
        )
        assert totals == [
            steps * SECONDS_A_STEP,
            steps * OCTETS_A_STEP,
            steps * OCTETS_A_STEP * 9,
            steps * 700,
            steps * 7000,
        ], session.name
        assert summed.get(row["id"], [0] * len(fields)) == totals, session.name
        if session.over:
            assert row["state"] == "closed", session.name
            assert row["close_derived"] == "stop", session.name
