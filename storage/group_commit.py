"""When a block is committed: at once in the loop, or in a thread while the next fills.

Handing a commit to a thread and back costs two switches and, under load, a fight for
the interpreter's lock; committing in the loop costs the time of the disk. Which is
dearer depends on the disk, so the commits' own times decide. There is no timer: a block
is whatever came while the one before was being written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from storage.journal import JournalError, JournalWriter

_SLOW_SECONDS = 0.003
"""A loop that stands still for 3 ms still answers within a NAS's patience, and the
kernel's queue holds many times what comes meanwhile."""

_SMOOTHING = 0.1
_PROBE_SECONDS = 0.5

Done = Callable[[JournalError | None], None]
"""Told in the loop when a block is durable (None) or has failed (why)."""


class GroupCommit:
    """Commits one block at a time to ``writer`` and tells how each ended.

    ``monotonic`` gives seconds. ``observe`` is told how long each commit took, in
    seconds, and whether it held. After a failure nothing is written for half a second
    a time: each attempt of a broken disk can take long, and the caller has to drop what
    it cannot record.
    """

    def __init__(
        self,
        writer: JournalWriter,
        *,
        monotonic: Callable[[], float],
        observe: Callable[[float, bool], None],
    ) -> None:
        self._writer = writer
        self._monotonic = monotonic
        self._observe = observe
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._seconds = 0.0
        self._retry_at = 0.0
        self._future: asyncio.Future[JournalError | None] | None = None
        self.failure: str | None = None

    @property
    def busy(self) -> bool:
        """Whether a commit is under way: the next block goes on filling."""
        return self._future is not None

    @property
    def accepts(self) -> bool:
        """Whether a block may be tried: the disk works, or its time to try has come."""
        return self.failure is None or self._monotonic() >= self._retry_at

    def commit(
        self, octets: bytes, *, records: int, received_at_ns: int, done: Done
    ) -> None:
        """Make a block durable; only while not ``busy``."""
        assert self._future is None
        append = partial(
            self._append, octets, records=records, received_at_ns=received_at_ns
        )
        if self._seconds < _SLOW_SECONDS and self.failure is None:
            done(append())
            return
        future = asyncio.get_running_loop().run_in_executor(self._executor, append)
        self._future = future
        future.add_done_callback(partial(self._finished, done))

    def probe(self, done: Done) -> None:
        """After a failure, find out in the thread whether the disk works again."""
        if self.failure is None or self.busy or not self.accepts:
            return
        future = asyncio.get_running_loop().run_in_executor(
            self._executor, self._attempt, self._writer.probe
        )
        self._future = future
        future.add_done_callback(partial(self._finished, done))

    def _finished(
        self, done: Done, future: asyncio.Future[JournalError | None]
    ) -> None:
        self._future = None
        done(future.result())

    def _append(
        self, octets: bytes, *, records: int, received_at_ns: int
    ) -> JournalError | None:
        started = self._monotonic()
        error = self._attempt(
            partial(
                self._writer.append,
                octets,
                records=records,
                received_at_ns=received_at_ns,
            )
        )
        seconds = self._monotonic() - started
        self._seconds += _SMOOTHING * (seconds - self._seconds)
        self._observe(seconds, error is None)
        return error

    def _attempt(self, write: Callable[[], object]) -> JournalError | None:
        try:
            write()
        except JournalError as error:
            self.failure = str(error)
            self._retry_at = self._monotonic() + _PROBE_SECONDS
            return error
        self.failure = None
        return None

    async def drain(self) -> None:
        """Wait for the commit under way, and for who waits for it to be told."""
        while self._future is not None:
            await asyncio.wait([self._future])
            await asyncio.sleep(0)

    def close(self) -> None:
        """End the thread and close the journal."""
        self._executor.shutdown()
        self._writer.close()
