"""The mediation in a process of its own, ahead of the ledger that books it.

Reading reports, folding them into sessions and rating their use needs no transaction:
so it is done on another processor while the batches before are written. The two talk
over a stream socket, in messages of ``marshal``, which is the quickest for tuples of
numbers and text; each end is the same Python. A batch is larger than what a socket
holds, so a thread of its own sends it when the ledger has time for it. The process
ends when its socket does, so whoever started it and however that ended.

After an error it has forgotten everything, and does nothing until it is told to start
again from what the database has.
"""

from __future__ import annotations

import gc
import marshal
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread
from typing import Any

import msgspec

from config.network import Network, network_of
from config.schema import Settings
from daemon.journal_mediation import JournalMediation
from daemon.mediation import Decision, Mediated
from daemon.network_feed import NetworkFeed
from rating.session import GuidedSession
from services.usage_rating import RatedUsage
from storage.database import StorageError, is_away, open_database
from storage.journal import Block, JournalError
from telemetry import logs, metrics
from telemetry.multiprocess import DIRECTORY_VARIABLE

NICENESS = 5
"""As the ledger's thread has it: who answers packets goes first."""

_GC_THRESHOLD = 1_000_000
"""More objects than a batch has at once: all of them would be gone through in vain."""

_START, _KNOW, _NEXT, _MEDIATE, _SWEEP, _WRITTEN, _GUIDED = range(7)
_STARTED, _NOT_STARTED, _BATCH, _NOTHING, _AWAY, _UNREADABLE, _BROKEN = range(7)


class MediationEndedError(RuntimeError):
    """The process is gone; the next use starts another."""


class RecordError(ValueError):
    """Records cannot be mediated; the message says what was raised."""


class MediationProcess:
    """The mediation, from where it is booked; as ``JournalMediation``.

    It starts from what the database has when first used after ``start_again``.
    """

    def __init__(self, settings: Settings, class_key: bytes | None) -> None:
        self._hello = msgspec.json.encode(settings), class_key
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._fresh = False
        self.decisions: list[Decision] | None = None

    @property
    def running(self) -> bool:
        """Whether there is a process; there is none before there is anything to do."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process; 0 for none."""
        process = self._process
        return 0 if process is None else process.pid

    def start_again(self) -> None:
        """Let it forget everything."""
        self._fresh = False

    def know(
        self,
        network: Network,
        objects: Mapping[tuple[str, str], Mapping[str, Any]],
    ) -> None:
        """Let it read the network, which it follows itself, again."""
        if self._fresh:
            self._send(_KNOW)

    def ask(self, journal: str) -> None:
        """Ask for the next batch of a journal."""
        self._send(_NEXT, journal, self.decisions is not None)

    def receive(self) -> Mediated | None:
        """Give the batch that was asked for first, None if there is nothing in it."""
        kind, *rest = self._receive()
        if kind == _NOTHING:
            return None
        return self._batch(kind, rest)

    def mediate(self, journal: str, position: int, blocks: Sequence[Block]) -> Mediated:
        """As ``Mediation``; nothing may be asked for that was not received."""
        whole = [tuple(block) for block in blocks]
        self._send(_MEDIATE, journal, position, whole, self.decisions is not None)
        kind, *rest = self._receive()
        return self._batch(kind, rest)

    def sweep(self, now: int, after_id: int, limit: int) -> tuple[Mediated, int | None]:
        """As ``Mediation``; nothing may be asked for that was not received."""
        self._send(_SWEEP, now, after_id, limit)
        kind, *rest = self._receive()
        return self._batch(kind, rest), rest[2]

    def written(self, number: int) -> None:
        """Say that the batches up to a number are written."""
        self._send(_WRITTEN, number)

    def guided(self, sessions: Sequence[GuidedSession]) -> None:
        """Say whose sessions are that were guided here."""
        if sessions and self._fresh:
            self._send(_GUIDED, [tuple(session) for session in sessions])

    def close(self) -> None:
        """End the process."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.wait()
        self._connection = self._process = None
        self._fresh = False

    def _batch(self, kind: int, rest: Sequence[Any]) -> Mediated:
        if kind != _BATCH:
            self._fresh = False
            raise {_AWAY: StorageError, _UNREADABLE: JournalError}.get(
                kind, RecordError
            )(rest[0])
        if self.decisions is not None and rest[1] is not None:
            self.decisions += pickle.loads(rest[1])  # noqa: S301  our own process
        return _batch_of(rest[0])

    def _send(self, *message: Any) -> None:
        self._ready()
        assert self._connection is not None
        try:
            self._connection.send_bytes(marshal.dumps(message, 2))
        except OSError as error:
            raise self._ended() from error

    def _receive(self) -> tuple[Any, ...]:
        assert self._connection is not None
        try:
            return _received(self._connection)
        except (EOFError, OSError) as error:
            raise self._ended() from error

    def _ended(self) -> MediationEndedError:
        process = self._process
        self.close()
        assert process is not None
        return MediationEndedError(f"the mediation ended: exit {process.returncode}")

    def _ready(self) -> None:
        """See to it that there is a process that starts from the database."""
        if self._fresh:
            return
        if self._connection is None:
            self._spawn()
        assert self._connection is not None
        self._fresh = True
        self._send(_START)
        while (answer := self._receive())[0] not in (_STARTED, _NOT_STARTED):
            pass  # of what was asked for before
        if answer[0] == _NOT_STARTED:
            self._fresh = False
            raise StorageError(answer[1])

    def _spawn(self) -> None:
        own, other = socket.socketpair()
        # It has no metrics, and must not write those of another into its files.
        environment = {k: v for k, v in os.environ.items() if k != DIRECTORY_VARIABLE}
        with other:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "daemon.mediation_process", str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                env=environment,
            )
        metrics.MEDIATION_STARTS.inc()
        self._connection = Connection(own.detach())
        self._connection.send_bytes(marshal.dumps(self._hello, 2))


class _Answers:
    """What is to be sent, in its order, by a thread that waits for who receives it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._waiting: SimpleQueue[bytes] = SimpleQueue()
        Thread(target=self._send, name="answers", daemon=True).start()

    def put(self, message: tuple[Any, ...]) -> None:
        """Send a message when those before it are sent."""
        self._waiting.put(marshal.dumps(message, 2))

    def _send(self) -> None:
        while True:
            try:
                self._connection.send_bytes(self._waiting.get())
            except OSError:
                return  # it is gone, which ends the process where it is read from


class _StartAgain(Exception):  # noqa: N818 - an outcome, not an error
    """The ledger has given up what was mediated for it."""


class _Server:
    """The other end: does what it is asked, in turn."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._answers = _Answers(connection)
        settings, self._class_key = _received(connection)
        self._settings = msgspec.json.decode(settings, type=Settings)
        logs.configure(self._settings.log.level, role="mediation")
        self._log = logs.get_logger("daemon.mediation")
        self._database = open_database(self._settings.database, self._settings.data_dir)
        self._feed = NetworkFeed(self._database, None)
        self._mediation: JournalMediation | None = None
        self._unread: deque[tuple[Any, ...]] = deque()

    def run(self) -> None:
        """Serve until the socket ends, by an EOFError or a ConnectionError."""
        while True:
            waiting = self._unread
            message = waiting.popleft() if waiting else _received(self._connection)
            try:
                self._do(message)
            except _StartAgain:
                continue
            except (EOFError, ConnectionError):
                raise
            except JournalError as error:
                self._fail(_UNREADABLE, str(error))
            except Exception as error:  # noqa: BLE001  the ledger decides about it
                self._log.exception("records cannot be mediated")
                kind = _AWAY if is_away(error) else _BROKEN
                self._fail(kind, f"{type(error).__name__}: {error}")

    def _wait_until_written(self, number: int) -> None:
        while True:
            message = _received(self._connection)
            if message[0] == _START:
                self._unread.clear()
                self._unread.append(message)
                raise _StartAgain
            if message[0] != _WRITTEN:
                self._unread.append(message)
                continue
            assert self._mediation is not None
            self._mediation.written(message[1])
            if message[1] >= number:
                return

    def _do(self, message: tuple[Any, ...]) -> None:
        kind, *words = message
        if kind == _START:
            self._start()
            return
        mediation = self._mediation
        if mediation is None:
            return  # until it is told to start again
        if kind == _WRITTEN:
            mediation.written(*words)
        elif kind == _GUIDED:
            mediation.guided([GuidedSession(*values) for values in words[0]])
        elif kind == _KNOW:
            self._know(mediation)
        elif kind == _SWEEP:
            batch, more = mediation.sweep(*words)
            self._answer(_BATCH, _plain(batch), None, more)
        else:
            mediation.decisions = [] if words.pop() else None
            self._mediate(mediation, kind, words)

    def _mediate(
        self, mediation: JournalMediation, kind: int, words: list[Any]
    ) -> None:
        batch: Mediated | None
        if kind == _NEXT:
            batch = mediation.next(*words)
        else:
            journal, position, blocks = words
            batch = mediation.mediate(journal, position, [Block(*b) for b in blocks])
        if batch is None:
            self._answer(_NOTHING)
            return
        seen = mediation.decisions
        shown = None if seen is None else pickle.dumps(seen)
        self._answer(_BATCH, _plain(batch), shown)

    def _start(self) -> None:
        if self._mediation is not None:
            self._mediation.close()
        self._mediation = None
        try:
            mediation = JournalMediation(
                self._database,
                self._settings,
                self._class_key,
                self._wait_until_written,
            )
            self._know(mediation, again=True)
        except StorageError as error:
            self._answer(_NOT_STARTED, str(error))
            return
        self._mediation = mediation
        self._answer(_STARTED)

    def _know(self, mediation: JournalMediation, *, again: bool = False) -> None:
        changed = self._feed.poll()
        if self._feed.failure is not None:
            raise StorageError(self._feed.failure)
        if changed is not None or again:
            objects = self._feed.objects
            mediation.know(network_of(objects), objects)

    def _fail(self, kind: int, reason: str) -> None:
        self._mediation = None
        self._answer(kind, reason)

    def _answer(self, *message: Any) -> None:
        self._answers.put(message)


def _received(connection: Connection) -> tuple[Any, ...]:
    message: tuple[Any, ...] = marshal.loads(connection.recv_bytes())  # noqa: S302
    return message


def _plain(batch: Mediated) -> tuple[Any, ...]:
    return batch._replace(rated=batch.rated[:])[:]  # type: ignore[arg-type]


def _batch_of(values: tuple[Any, ...]) -> Mediated:
    batch = Mediated._make(values)
    return batch._replace(rated=RatedUsage._make(batch.rated))


def main(descriptor: int) -> None:
    """Serve on an inherited socket until it ends."""
    # Signals of the group are the supervisor's matter; the end of the socket is ours.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICENESS)
    gc.set_threshold(_GC_THRESHOLD)
    try:
        _Server(Connection(descriptor)).run()
    except (EOFError, ConnectionError):
        return


if __name__ == "__main__":
    # Under this name our classes would exist twice.
    from daemon import mediation_process

    mediation_process.main(int(sys.argv[1]))
