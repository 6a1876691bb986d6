"""The role ``ledger``: reads every journal, keeps what it says in the database.

It follows the journals of all receivers, those of receivers that are configured no more
too, until each is applied. While the database is away it waits and tries again; the
journals grow meanwhile, and the lag shows.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from daemon import clock
from daemon.appliers import (
    ACCOUNTING,
    APPLIERS,
    Applier,
    kind_of,
    single_records,
)
from daemon.fees import Fees
from daemon.isolation import REFUSED_DATA, apply_around
from daemon.journal_lag import JournalLag, journals
from daemon.ledger import Ledger
from daemon.ledger_trace import show
from daemon.money_metrics import MoneyMetrics
from daemon.network_feed import POLL_SECONDS, NetworkFeed, Objects
from daemon.role import RoleContext
from storage.balances import REJECTED, reject_unrated, unrated_by_reason, waiting
from storage.database import StorageError, open_database
from storage.journal import Block, JournalError, JournalReader
from storage.keys import load_keys
from storage.quarantine import (
    RETRIES,
    RetryReader,
    put_aside,
    put_back,
    quarantined,
)
from storage.rollup import roll_up
from storage.sessions import sessions_by_state
from storage.usage_states import RECYCLED
from telemetry import logs, metrics

Result = TypeVar("Result")

_NICENESS = 5
_IDLE_SECONDS = 0.05
_WORTHWHILE = 8
"""A batch of less than this part of the largest is cheaper after a rest; a larger one
means that the next has come already, and resting would only let the lag grow."""
_BACK_OFF_SECONDS = (0.25, 5.0)
_SWEEP_SECONDS = 15.0
_SWEEP_SESSIONS = 5000
_RECYCLE_RECORDS = 2000
_MOST_OF_THE_TIME = 10
_BROKEN = "broken"
"""The reason of what was rejected, whose own words have no bound."""
_CHARGE_SECONDS = 3600.0
_METERED_SECONDS = 5.0
_ROLL_UP_SLICES = 10
_ROLL_UP_SECONDS = 3600.0
_FOLLOW_SECONDS = 1.0
_DAY_SECONDS = 86400


class Worker:
    """What the ledger's thread does; nothing of it runs in the loop."""

    def __init__(self, role: RoleContext) -> None:
        self._role = role
        self._settings = role.settings
        self._data_dir = Path(role.settings.data_dir)
        self._database = open_database(role.settings.database, self._data_dir)
        self._feed = NetworkFeed(
            self._database, self._data_dir / f"network-{role.label}.json"
        )
        self._objects: Objects = {}
        self._class_key = load_keys(role.settings, make=True).class_tokens
        self._ledger: Ledger | None = None
        self._appliers: dict[str, Applier] = {}
        self._readers: dict[str, JournalReader] = {}
        self._retries = RetryReader(self._database)
        self._due: dict[str, float] = {}
        self._sweep_after = 0
        self._recycle_after: int | None = 0
        self._recycle_records = _RECYCLE_RECORDS
        self._fees = Fees(self._database)
        self._money = MoneyMetrics(self._database)
        self._unrated: set[tuple[str, str]] = set()
        self._limiter = logs.RateLimiter(10)
        self._log = logs.get_logger("ledger")
        self.failure: str | None = None
        self.positions: dict[str, int] = {}
        self.quarantined = 0

    def step(self) -> bool:
        """Do what is due and a batch of each journal; say whether to go on at once."""
        try:
            self._current()
            self._every(POLL_SECONDS, self._follow_network)
            self._every(_FOLLOW_SECONDS, self._follow_journals)
            more = False
            for name, reader in self._readers.items():
                if kind_of(name) in self._appliers:
                    more |= self._batch(name, reader)
            self._every(_FOLLOW_SECONDS, self._retry)
            self._every(_SWEEP_SECONDS, self._sweep)
            self._every(_FOLLOW_SECONDS, self._follow_quotas)
            self._every(_SWEEP_SECONDS, self._count_unrated)
            self._recycle()
            self._every(_CHARGE_SECONDS, self._begin_fees)
            self._fees.charge_some()
            self._every(_SWEEP_SECONDS, self._book_sales)
            self._every(_METERED_SECONDS, self._rate_bsp_usage)
            self._every(_SWEEP_SECONDS, self._count_money)
            self._every(_ROLL_UP_SECONDS, self._roll_up)
        except (StorageError, JournalError) as error:
            self._failed(error)
            return False
        self.failure = None
        left = self._recycle_after is not None or self._fees.unfinished
        return more or left

    def _current(self) -> Ledger:
        if self._ledger is None:
            self._ledger = Ledger(
                self._database, self._settings.accounting, self._class_key
            )
            self._ledger.know(self._objects)
            self._appliers = {ACCOUNTING: self._ledger} | {
                kind: make(self._database, self._settings)
                for kind, make in APPLIERS.items()
            }
            self.positions = self._applied()
        self._ledger.decision = (
            partial(show, self._role) if self._role.tracing is not None else None
        )
        return self._ledger

    def _applied(self) -> dict[str, int]:
        """Give how far each journal is applied, by what its own applier knows."""
        return {
            name: position
            for kind, applier in self._appliers.items()
            for name, position in applier.positions.items()
            if kind_of(name) == kind
        }

    def _failed(self, error: Exception) -> None:
        """Forget what memory has: the database alone says what is so."""
        self._ledger = None
        self.failure = str(error).splitlines()[0]
        metrics.LEDGER_FAILURES.inc()
        suppressed = self._limiter.allow("database", clock.monotonic())
        if suppressed is not None:
            self._log.error(
                "a store refused; the journals wait",
                error=self.failure,
                suppressed=suppressed,
            )

    def _every(self, seconds: float, work: Callable[[], None]) -> None:
        """Do work when it is due; what takes long is due later, and never more than a
        tenth of the time."""
        begun = clock.monotonic()
        if begun >= self._due.get(work.__name__, 0.0):
            self._due[work.__name__] = begun + seconds
            work()
            took = clock.monotonic() - begun
            if took > seconds / _MOST_OF_THE_TIME:
                later = begun + took * _MOST_OF_THE_TIME
                self._due[work.__name__] = max(self._due[work.__name__], later)

    def _batch(self, name: str, reader: JournalReader | RetryReader) -> bool:
        limit = self._settings.accounting.batch_records
        blocks = reader.read(self.positions.get(name, 1), limit)
        if not blocks:
            return False
        started = clock.monotonic()
        try:
            self._apply(self._appliers[kind_of(name)], name, blocks)
        except Exception as error:
            # Whatever it was, memory may have half of the batch.
            self._ledger = None
            if isinstance(error, StorageError) and not isinstance(error, REFUSED_DATA):
                raise
            self._log.exception("a batch cannot be applied", journal=name)
            self._isolate(name, blocks)
        metrics.LEDGER_BATCH_SECONDS.observe(clock.monotonic() - started)
        self.positions = self._applied()
        return sum(block.records for block in blocks) >= limit // _WORTHWHILE

    def _isolate(self, name: str, blocks: Sequence[Block]) -> None:
        """Apply a batch that failed around the records that cannot be applied."""

        def apply(some: Sequence[Block]) -> None:
            self._current()
            try:
                self._apply(self._appliers[kind_of(name)], name, some)
            except Exception:
                self._ledger = None
                raise

        def aside(block: Block, error: Exception) -> None:
            reason = f"{type(error).__name__}: {error}"
            with self._database.write.begin() as connection:
                now = int(clock.now())
                if name == RETRIES:
                    put_back(connection, block, reason=reason, at=now)
                else:
                    put_aside(connection, name, block, reason=reason, at=now)
            metrics.QUARANTINED_RECORDS.labels(name).inc(block.records)
            self._log.error(
                "a record is put aside",
                journal=name,
                position=block.first,
                reason=reason.splitlines()[0],
            )

        position = self.positions.get(name, 1)
        apply_around(single_records(name, blocks, position), apply, aside)
        self._current()

    def _apply(self, applier: Applier, name: str, blocks: Sequence[Block]) -> None:
        if not isinstance(applier, Ledger):
            applier.apply(name, blocks)
            return
        for word, count in applier.apply(name, blocks).items():
            metrics.USAGE_RECORDS.labels(word).inc(count)
        for (status, result), count in applier.take_outcomes().items():
            metrics.ACCOUNTING_REPORTS.labels(status, result).inc(count)

    def _follow_network(self) -> None:
        objects = self._feed.poll()
        if objects is not None:
            self._objects = objects
            self._current().know(objects)
            self._recycle_after = 0  # a service may be there now
            self._fees.know(objects)
            self._due[self._begin_fees.__name__] = 0.0

    def _follow_journals(self) -> None:
        folder = self._data_dir / "journal"
        for name in journals(folder):
            if name not in self._readers:
                self._readers[name] = JournalReader(folder / name)
        for name, reader in self._readers.items():
            reader.discard(
                self.positions.get(name, 1), self._settings.journal.retention_bytes
            )
        with self._database.read.connect() as connection:
            self.quarantined = quarantined(connection)
            for state, count in sessions_by_state(connection).items():
                metrics.SESSIONS.labels(state).set(count)

    def _retry(self) -> None:
        """Apply a batch of the records in quarantine that someone asked for."""
        if self._batch(RETRIES, self._retries):  # the rest without a rest
            self._due[self._retry.__name__] = 0.0
        if RETRIES in self.positions:
            self._retries.discard(self.positions[RETRIES])

    def _sweep(self) -> None:
        """Judge one slice of silent sessions; a round goes on where it was."""
        after = self._current().sweep(
            int(clock.now()), self._sweep_after, _SWEEP_SESSIONS
        )
        self._sweep_after = after or 0

    def _count_unrated(self) -> None:
        with self._database.read.connect() as connection:
            found = unrated_by_reason(connection)
        counts = Counter(dict.fromkeys(self._unrated, 0))
        for (state, reason), count in found.items():
            broken = state in (REJECTED, RECYCLED)  # their words have no bound
            counts[state, _BROKEN if broken else reason] += count
            if state == RECYCLED and self._recycle_after is None:
                self._recycle_after = 0
        self._unrated = set(counts)
        for labels, count in counts.items():
            metrics.UNRATED_USAGE.labels(*labels).set(count)

    def _follow_quotas(self) -> None:
        self._current().follow_quotas()

    def _recycle(self) -> None:
        """Try a slice of the usage that waits again; a round follows each change of the
        network. A record that breaks the rating is rejected, with the reason."""
        after = self._recycle_after
        if after is None:
            return
        limit = self._recycle_records
        try:
            now = int(clock.now())
            self._recycle_after = self._current().recycle(now, after, limit)
            self._recycle_records = _RECYCLE_RECORDS
        except Exception as error:
            self._ledger = None
            if isinstance(error, StorageError) and not isinstance(error, REFUSED_DATA):
                raise
            self._recycle_records = 1
            if limit == 1:
                reason = f"{type(error).__name__}: {error}"
                with self._database.write.begin() as connection:
                    (usage,) = waiting(connection, after, 1)
                    reject_unrated(connection, usage.usage_id, reason)
                self._log.exception("usage is rejected", usage_id=usage.usage_id)

    def _begin_fees(self) -> None:
        self._fees.begin()

    def _book_sales(self) -> None:
        self._fees.book_sales()

    def _rate_bsp_usage(self) -> None:
        self._fees.rate_bsp_usage()

    def _count_money(self) -> None:
        self._money.count()

    def _roll_up(self) -> None:
        days = self._settings.accounting.rollup_after_days
        before = int(clock.now()) - days * _DAY_SECONDS
        more = roll_up(self._database, before, slices=_ROLL_UP_SLICES)
        if more:  # the rest when the journals had their turn
            self._due[self._roll_up.__name__] = 0.0

    def close(self) -> None:
        """Let go of the files and connections."""
        for reader in self._readers.values():
            reader.close()
        self._database.close()


async def _follow_lag(role: RoleContext, worker: Worker) -> None:
    lag = JournalLag(Path(role.settings.data_dir) / "journal")
    while True:
        await asyncio.to_thread(lag.measure, worker.positions)
        role.beat_status["detail"] = {
            "database": worker.failure or "writable",
            "journal_lag_records": dict(lag.records),
            "quarantined_records": worker.quarantined,
        }
        await asyncio.sleep(_FOLLOW_SECONDS)


async def run(role: RoleContext) -> None:
    """Apply the journals until told to stop; what is left waits for the next start."""
    await role.ready()
    worker = Worker(role)
    loop = asyncio.get_running_loop()
    first, longest = _BACK_OFF_SECONDS
    back_off = first
    following = asyncio.create_task(_follow_lag(role, worker))
    # On Linux this is the thread's niceness: who answers packets goes first.
    with ThreadPoolExecutor(
        1, thread_name_prefix="ledger", initializer=os.nice, initargs=(_NICENESS,)
    ) as thread:
        try:
            while not role.stopping.is_set():
                more = await loop.run_in_executor(thread, worker.step)
                role.beat_status["healthy"] = worker.failure is None
                if worker.failure is not None:
                    await role.stopped_within(back_off)
                    back_off = min(longest, back_off * 2)
                    continue
                back_off = first
                if not more:
                    await role.stopped_within(_IDLE_SECONDS)
        finally:
            following.cancel()
            await loop.run_in_executor(thread, worker.close)
