"""The role ``ledger``: reads every journal, keeps what it says in the database.

It follows the journals of all receivers, those of receivers that are configured no more
too, until each is applied. While the database is away it waits and tries again; the
journals grow meanwhile, and the lag shows.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from daemon import clock
from daemon.fees import Fees
from daemon.journal_batches import JournalBatches
from daemon.journal_lag import JournalLag
from daemon.mediation_process import NICENESS, MediationEndedError
from daemon.mediation_watch import MediationWatch
from daemon.money_metrics import MoneyMetrics
from daemon.network_feed import POLL_SECONDS, NetworkFeed
from daemon.role import RoleContext
from storage.balances import REJECTED, reject_unrated, unrated_by_reason, waiting
from storage.database import StorageError, is_away, open_database
from storage.journal import JournalError
from storage.quarantine import quarantined
from storage.rollup import roll_up
from storage.sessions import sessions_by_state
from storage.usage_states import RECYCLED
from telemetry import logs, metrics

Result = TypeVar("Result")

_IDLE_SECONDS = 0.05
_BACK_OFF_SECONDS = (0.25, 5.0)
_SWEEP_SECONDS = 15.0
_SWEEP_SESSIONS = 5000
_RECYCLE_RECORDS = 2000
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
        self._batches = JournalBatches(role, self._database)
        self._watch = MediationWatch()
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
        self.quarantined = 0

    @property
    def positions(self) -> dict[str, int]:
        """How far each journal is applied: the next record to read."""
        return self._batches.positions

    def mediation(self) -> dict[str, Any]:
        """Look at the process that mediates; may be called from another thread."""
        batches = self._batches
        return self._watch.look(batches.mediation_pid, batches.batches_ahead)

    def step(self) -> bool:
        """Do what is due and a batch of each journal; say whether to go on at once."""
        try:
            self._every(POLL_SECONDS, self._follow_network)
            self._every(_FOLLOW_SECONDS, self._follow_journals)
            more = self._batches.apply_some()
            # Somebody waits for it, and it is work of the journals as any other.
            self._every(_FOLLOW_SECONDS, self._retry, at_most=1)
            self._every(_SWEEP_SECONDS, self._sweep)
            self._every(_FOLLOW_SECONDS, self._follow_quotas)
            self._every(_SWEEP_SECONDS, self._count_unrated)
            self._recycle()
            self._every(_CHARGE_SECONDS, self._begin_fees)
            if more:  # a fee can wait, records that come can not
                self._every(0.0, self._charge_some)
            else:
                self._charge_some()
            self._every(_SWEEP_SECONDS, self._book_sales)
            self._every(_METERED_SECONDS, self._rate_bsp_usage)
            self._every(_SWEEP_SECONDS, self._count_money)
            self._every(_ROLL_UP_SECONDS, self._roll_up)
        except (StorageError, JournalError, MediationEndedError) as error:
            self._failed(error)
            return False
        self.failure = None
        left = self._recycle_after is not None or self._fees.unfinished
        return more or left

    def _failed(self, error: Exception) -> None:
        """Forget what memory has: the database alone says what is so."""
        self._batches.forget()
        self.failure = str(error).splitlines()[0]
        metrics.LEDGER_FAILURES.inc()
        suppressed = self._limiter.allow("database", clock.monotonic())
        if suppressed is not None:
            self._log.error(
                "a store refused; the journals wait",
                error=self.failure,
                suppressed=suppressed,
            )

    def _every(
        self, seconds: float, work: Callable[[], None], *, at_most: int = 10
    ) -> None:
        """Do work when it is due; what takes long is due later, so that it never takes
        more of the time than one in ``at_most``."""
        begun = clock.monotonic()
        if begun >= self._due.get(work.__name__, 0.0):
            self._due[work.__name__] = begun + seconds
            work()
            took = clock.monotonic() - begun
            if took > seconds / at_most:
                later = begun + took * at_most
                self._due[work.__name__] = max(self._due[work.__name__], later)

    def _follow_network(self) -> None:
        objects = self._feed.poll()
        if objects is not None:
            self._batches.know(objects)
            self._recycle_after = 0  # a service may be there now
            self._fees.know(objects)
            self._due[self._begin_fees.__name__] = 0.0

    def _follow_journals(self) -> None:
        self._batches.follow()
        with self._database.read.connect() as connection:
            self.quarantined = quarantined(connection)
            for state, count in sessions_by_state(connection).items():
                metrics.SESSIONS.labels(state).set(count)

    def _retry(self) -> None:
        if self._batches.retry():  # the rest without a rest
            self._due[self._retry.__name__] = 0.0

    def _sweep(self) -> None:
        """Judge one slice of silent sessions; a round goes on where it was."""
        ledger = self._batches.settled_ledger()
        after = ledger.sweep(int(clock.now()), self._sweep_after, _SWEEP_SESSIONS)
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
        self._batches.ledger().follow_quotas()

    def _recycle(self) -> None:
        """Try a slice of the usage that waits again; a round follows each change of the
        network. A record that breaks the rating is rejected, with the reason."""
        after = self._recycle_after
        if after is None:
            return
        limit = self._recycle_records
        try:
            now = int(clock.now())
            ledger = self._batches.ledger()
            if ledger.waits(after):
                ledger = self._batches.settled_ledger()
            self._recycle_after = ledger.recycle(now, after, limit)
            self._recycle_records = _RECYCLE_RECORDS
        except Exception as error:
            self._batches.forget()
            if is_away(error):
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

    def _charge_some(self) -> None:
        self._fees.charge_some()

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
        self._batches.close()
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
        if not role.shares_process:
            role.beat_status["detail"]["mediation"] = worker.mediation()
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
        1, thread_name_prefix="ledger", initializer=os.nice, initargs=(NICENESS,)
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
