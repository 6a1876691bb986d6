"""The journals applied batch by batch, each around the records that cannot be.

Accounting is mediated ahead (``daemon.mediation_process``) and booked here; other
journals have appliers of their own. A batch that fails throws away what memory
has: the database alone says what is so.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from daemon import clock
from daemon.appliers import ACCOUNTING, APPLIERS, Applier, kind_of, single_records
from daemon.isolation import apply_around
from daemon.journal_lag import journals
from daemon.journal_mediation import JournalMediation
from daemon.ledger import Ledger
from daemon.ledger_trace import show
from daemon.mediation import Mediated
from daemon.mediation_process import (
    MediationEndedError,
    MediationProcess,
    RecordError,
)
from daemon.network_feed import Objects
from daemon.role import RoleContext
from storage.database import Database, is_away
from storage.journal import Block, JournalError, JournalReader
from storage.keys import load_keys
from storage.quarantine import RETRIES, RetryReader, put_aside, put_back
from telemetry import logs, metrics

_WORTHWHILE = 8
"""A batch of less than this part of the largest is cheaper after a rest; a larger one
means that the next has come already, and resting would only let the lag grow."""

_BATCHES_AHEAD = 3
"""Asked for behind a batch that was full, so that neither process waits for the other
when one batch of either takes longer: a commit that checkpoints, a slice of fees."""


class JournalBatches:
    """What is applied of each journal, and the ledger that it is applied to.

    ``StorageError``, ``JournalError`` and ``MediationEndedError`` pass through: call
    ``forget``, and try again later.
    """

    def __init__(self, role: RoleContext, database: Database) -> None:
        self._role = role
        self._settings = role.settings
        self._limit = role.settings.accounting.batch_records
        self._database = database
        self._folder = Path(role.settings.data_dir) / "journal"
        self._class_key = load_keys(role.settings, make=True).class_tokens
        self._objects: Objects = {}
        self._mediation: JournalMediation | MediationProcess | None = None
        self._ledger: Ledger | None = None
        self._appliers: dict[str, Applier] = {}
        self._asked: deque[str] = deque()
        self._ahead: dict[str, int] = {}
        self._readers: dict[str, JournalReader] = {}
        self._retries = RetryReader(database)
        self._log = logs.get_logger("ledger")
        self.positions: dict[str, int] = {}

    @property
    def mediation_pid(self) -> int:
        """The process that mediates; 0 for none, and where it is this one."""
        mediation = self._mediation
        return mediation.pid if isinstance(mediation, MediationProcess) else 0

    @property
    def batches_ahead(self) -> int:
        """How many batches were asked for and are not booked yet."""
        return len(self._asked)

    def ledger(self) -> Ledger:
        """Give the ledger, which starts from the database if it was forgotten."""
        if self._ledger is None:
            self._asked.clear()
            self._mediation = mediation = self._mediation_again()
            self._ledger = Ledger(
                self._database, self._settings.accounting, self._class_key, mediation
            )
            self._ledger.know(self._objects)
            self._appliers = {ACCOUNTING: self._ledger} | {
                kind: make(self._database, self._settings)
                for kind, make in APPLIERS.items()
            }
            self.positions = self._applied()
        assert self._mediation is not None
        self._mediation.decisions = None if self._role.tracing is None else []
        return self._ledger

    def settled_ledger(self) -> Ledger:
        """Give the ledger when all that was asked for is booked."""
        ledger = self.ledger()
        while self._asked:
            self._book()
            ledger = self.ledger()
        return ledger

    def know(self, objects: Objects) -> None:
        """Take the network, between two batches."""
        self._objects = objects
        self.ledger().know(objects)

    def forget(self) -> None:
        """Let go of what memory has."""
        self._ledger = None

    def follow(self) -> None:
        """Find new journals, and delete files that are applied and need not be kept."""
        for name in journals(self._folder):
            if name not in self._readers:
                self._readers[name] = JournalReader(self._folder / name)
        kept = self._settings.journal.retention_bytes
        for name, reader in self._readers.items():
            reader.discard(self.positions.get(name, 1), kept)

    def apply_some(self) -> bool:
        """Apply a batch of each journal; say whether to go on at once."""
        more = False
        self.ledger()
        for name, reader in self._readers.items():
            kind = kind_of(name)
            if kind == ACCOUNTING:
                more |= self._mediated(name)
            elif kind in self._appliers:
                more |= self._batch(name, reader)
        return more

    def retry(self) -> bool:
        """Apply a batch of the records in quarantine that someone asked for; say
        whether there are more."""
        more = False
        if self._next(RETRIES, 1):
            self.settled_ledger()
            more = self._mediated(RETRIES)
        if RETRIES in self.positions:
            self._retries.discard(self.positions[RETRIES])
        return more

    def close(self) -> None:
        """Let go of the files, and of the mediation."""
        for reader in self._readers.values():
            reader.close()
        if self._mediation is not None:
            self._mediation.close()

    def _mediation_again(self) -> JournalMediation | MediationProcess:
        """Give a mediation that starts from what the database has."""
        if self._role.shares_process:
            return JournalMediation(self._database, self._settings, self._class_key)
        process = self._mediation
        if not isinstance(process, MediationProcess):
            return MediationProcess(self._settings, self._class_key)
        process.start_again()
        return process

    def _applied(self) -> dict[str, int]:
        """Give how far each journal is applied, by what its own applier knows."""
        return {
            name: position
            for kind, applier in self._appliers.items()
            for name, position in applier.positions.items()
            if kind_of(name) == kind
        }

    def _mediated(self, name: str) -> bool:
        """Book what was asked for first; a busy journal is mediated ahead."""
        self.ledger()
        while self._asked.count(name) <= self._ahead.get(name, 0):
            if not self._ask(name):
                return False
        more = self._book()
        while not more and self._asked:  # what else was asked for is there already
            more = self._book()
        return more

    def _ask(self, name: str) -> bool:
        """Ask for a journal's next batch; not while there never was anything to do."""
        assert self._mediation is not None
        if not self._mediation.running and not self._next(name, 1):
            return False
        self._mediation.ask(name)
        self._asked.append(name)
        return True

    def _next(self, name: str, limit: int) -> list[Block]:
        reader = self._retries if name == RETRIES else self._readers[name]
        return reader.read(self.positions.get(name, 1), limit)

    def _book(self) -> bool:
        """Book the batch that was asked for first; say whether to go on at once."""
        ledger, mediation = self.ledger(), self._mediation
        assert mediation is not None
        name = self._asked.popleft()
        self._ahead.pop(name, None)
        try:
            batch = mediation.receive()
            if batch is None:
                return False
            started = clock.monotonic()
            ledger.book(batch)
        except (MediationEndedError, JournalError):
            raise
        except Exception as error:
            self.forget()  # whatever it was, memory may have half of the batch
            if is_away(error):
                raise
            self._log.exception("a batch cannot be applied", journal=name)
            self._isolate(name, self._next(name, self._limit))
            return True
        metrics.LEDGER_BATCH_SECONDS.observe(clock.monotonic() - started)
        self.positions = self._applied()
        self._count(batch)
        if batch.records >= self._limit:
            self._ahead[name] = _BATCHES_AHEAD
        elif self._is_worthwhile(batch.records):
            self._ahead[name] = 1
        return name in self._ahead

    def _is_worthwhile(self, records: int) -> bool:
        return records >= self._limit // _WORTHWHILE

    def _batch(self, name: str, reader: JournalReader) -> bool:
        blocks = reader.read(self.positions.get(name, 1), self._limit)
        if not blocks:
            return False
        started = clock.monotonic()
        try:
            self._appliers[kind_of(name)].apply(name, blocks)
        except Exception as error:
            self.forget()  # whatever it was, memory may have half of the batch
            if is_away(error):
                raise
            self._log.exception("a batch cannot be applied", journal=name)
            self._isolate(name, blocks)
        metrics.LEDGER_BATCH_SECONDS.observe(clock.monotonic() - started)
        self.positions = self._applied()
        return self._is_worthwhile(sum(block.records for block in blocks))

    def _count(self, batch: Mediated) -> None:
        """Show what a batch that was booked had in it."""
        for word, count in batch.derived.items():
            metrics.USAGE_RECORDS.labels(word).inc(count)
        for (status, result), count in batch.outcomes.items():
            metrics.ACCOUNTING_REPORTS.labels(status, result).inc(count)
        assert self._mediation is not None
        seen, self._mediation.decisions = self._mediation.decisions, None
        for decision in seen or ():
            show(self._role, *decision)

    def _isolate(self, name: str, blocks: Sequence[Block]) -> None:
        """Apply a batch that failed around the records that cannot be applied."""

        def apply(some: Sequence[Block]) -> None:
            self.ledger()
            try:
                batch = self._appliers[kind_of(name)].apply(name, some)
            except Exception:
                self.forget()
                raise
            if isinstance(batch, Mediated):
                self._count(batch)

        def aside(block: Block, error: Exception) -> None:
            own = isinstance(error, RecordError)
            reason = str(error) if own else f"{type(error).__name__}: {error}"
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
        self.ledger()
        self.positions = self._applied()
