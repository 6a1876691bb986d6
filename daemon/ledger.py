"""Journal records into sessions and usage: one batch, one transaction, one position.

The position of the journal is written in the transaction that writes what its records
changed, so a crash between two batches repeats nothing and loses nothing. Everything
here blocks, and runs in the ledger role's thread or in ``fairlane replay``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

from msgspec import convert
from sqlalchemy import Connection, Row

from config.plant import Nas as NasObject
from config.schema import AccountingSettings
from radius.accounting import Refused, Report, describe
from radius.records import RecordReader
from radius.report_layouts import ReportReader
from rating.counters import Gigawords
from rating.mediation import Key, Mediator
from rating.session import Nas, Patience, Session, Usage, nas_of
from services.usage_rating import UsageRating
from storage import sessions as repository
from storage.balances import waiting
from storage.database import Database
from storage.journal import Block
from storage.session_rows import (
    described_row,
    life_row,
    progress_row,
    session_of,
    usage_row,
)

SESSIONS_KEPT = 2_000_000
"""Open sessions in memory, about 1.3 KiB each; the others are read when they report."""

_UNKNOWN_NAS = nas_of(Gigawords.AUTO, 1_250_000_000)
_OCTETS_PER_MEGABIT = 125_000

Decision = Callable[[int, Report | Refused, Usage | None], None]
"""Told of each record: its position, what it was read as, and what use it added; for
a live trace."""


class Ledger:
    """Applies journals to the database; the only one that writes sessions and usage."""

    def __init__(
        self,
        database: Database,
        settings: AccountingSettings,
        class_key: bytes | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._nas: dict[str, Nas] = {}
        self._records = RecordReader()
        self._read = ReportReader(settings.max_clock_skew_seconds).read
        self.decision: Decision | None = None
        with database.read.connect() as connection:
            self.positions = dict(repository.read_positions(connection))
            session_id, self._next_usage_id = repository.next_ids(connection)
            self._rating = UsageRating(connection, class_key)
        self._mediator = Mediator(
            next_session_id=session_id,
            join_seconds=settings.join_seconds,
            sessions_kept=SESSIONS_KEPT,
        )

    def know(self, objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """Take the network's objects by kind and name: counters of each NAS, services,
        tariffs."""
        nas = [
            convert(body, NasObject)
            for (kind, _), body in objects.items()
            if kind == "nas"
        ]
        self._nas = {
            n.name: nas_of(
                Gigawords(n.gigawords), n.max_rate_mbps * _OCTETS_PER_MEGABIT
            )
            for n in nas
        }
        self._rating.know(objects)

    def position(self, journal: str) -> int:
        """Give the next position of a journal to apply."""
        return self.positions.get(journal, 1)

    def take_outcomes(self) -> Mapping[tuple[str, str], int]:
        """Give the counts of (status, result) since the last call."""
        return self._mediator.take_outcomes()

    def _nas_of(self, name: str) -> Nas:
        return self._nas.get(name, _UNKNOWN_NAS)

    def apply(self, journal: str, blocks: Sequence[Block]) -> Mapping[str, int]:
        """Apply a batch; give the usage records written, by how they were derived.

        The first block is the one with the journal's position in it.

        A ``StorageError`` leaves the database as it was and this ledger unusable: make
        a new one, which starts from what the database has.
        """
        begin = self.position(journal)
        reports = self._reports(begin, blocks)
        with self._database.write.begin() as connection:
            sessions = self._load(connection, reports)
            apply, known, decision = self._mediator.apply, self._nas_of, self.decision
            position = begin
            for report, session in zip(reports, sessions, strict=True):
                usage = apply(report, known(report.nas), session)
                if decision is not None:
                    decision(position, report, usage)
                position += 1
            received_at = blocks[-1].received_at_ns // 1_000_000_000
            derived = self._write(connection, received_at)
            repository.write_position(connection, journal, position)
        self.positions[journal] = position
        self._written()
        return derived

    def _reports(
        self, position: int, blocks: Sequence[Block]
    ) -> list[Report | Refused]:
        """Read what the records from ``position`` on report."""
        read, reports = self._read, []
        for _, _, received_at_ns, octets in blocks:
            at = received_at_ns // 1_000_000_000
            records = self._records.read(octets)
            reports += [read(packet, origin.nas, at) for origin, packet in records]
        return reports[position - blocks[0].first :]

    def _load(
        self, connection: Connection, reports: Sequence[Report | Refused]
    ) -> list[Session | None]:
        """Load what the reports need; give the session of each that is certain."""
        mediator = self._mediator
        certain, keys = mediator.certain(reports)
        live: dict[str, list[Key]] = {}
        for nas in mediator.restarted(reports):
            rows = repository.open_sessions_of_nas(connection, nas)
            found = [session_of(row, self._nas_of) for row in rows]
            live[nas] = [(s.nas, s.acct_session_id) for s in found]
            keys.update(live[nas])
        mediator.adopt(keys, self._sessions_of(connection, keys))
        for nas, its_keys in live.items():
            mediator.adopt_live(nas, its_keys)
        # What was loaded has taken the place of what memory had.
        return (
            [
                s if s is not None and (s.nas, s.acct_session_id) not in keys else None
                for s in certain
            ]
            if keys
            else certain
        )

    def _sessions_of(self, connection: Connection, keys: set[Key]) -> list[Session]:
        rows = repository.load_sessions(connection, sorted({key[1] for key in keys}))
        sessions = [session_of(row, self._nas_of) for row in rows]
        return sorted(
            (s for s in sessions if (s.nas, s.acct_session_id) in keys),
            key=lambda s: (s.started_at, s.id),
        )

    def _written(self) -> None:
        self._mediator.written()
        self._rating.written()

    def _write(self, connection: Connection, now: int) -> Mapping[str, int]:
        changes = self._mediator.changes()
        self._rating.guide(connection, changes)
        first = self._next_usage_id
        usage = list(
            map(usage_row, count(first), changes.usage, changes.joined, changes.used)
        )
        self._next_usage_id += len(usage)
        derived: Counter[str] = Counter(record.derived for record in changes.usage)
        repository.insert_sessions(
            connection, [described_row(session) for session in changes.begun]
        )
        repository.update_sessions(
            connection, [described_row(session) for session in changes.described]
        )
        repository.update_life(
            connection, [life_row(session) for session in changes.moved]
        )
        repository.update_progress(
            connection, [progress_row(session) for session in changes.counted]
        )
        repository.insert_usage(connection, usage)
        self._rating.apply(connection, first, changes, now)
        return derived

    def recycle(self, now: int, after_usage_id: int, limit: int) -> int | None:
        """Try again the next ``limit`` records of usage that wait behind an id.

        Gives the id to go on behind, or None when there are no more.
        """

        def own(row: Row[Any]) -> Session:
            return self._mediator.in_memory(session_of(row, self._nas_of))

        with self._database.read.connect() as connection:
            some = waiting(connection, after_usage_id, limit)
        if not some:
            return None
        with self._database.write.begin() as connection:
            self._rating.recycle(connection, some, own, now)
        self._written()
        return some[-1].usage_id if len(some) == limit else None

    def follow_quotas(self) -> None:
        """Learn what was carried out of quota events."""
        with self._database.read.connect() as connection:
            self._rating.follow_quotas(connection)

    def sweep(self, now: int, after_id: int, limit: int) -> int | None:
        """Judge the next ``limit`` silent sessions behind ``after_id``.

        Gives the id to go on behind, or None at the end of the round.
        """
        settings = self._settings
        patience = Patience(
            settings.interim_seconds,
            settings.stale_after_intervals,
            settings.close_after_intervals,
        )
        before = now - patience.interval * patience.suspect_after
        mediator = self._mediator
        with self._database.read.connect() as connection:
            rows = repository.stale_candidates(connection, before, after_id, limit)
        with self._database.write.begin() as connection:
            loaded = [session_of(row, self._nas_of) for row in rows]
            mediator.sweep([mediator.in_memory(s) for s in loaded], now, patience)
            self._write(connection, now)
        self._written()
        return loaded[-1].id if len(loaded) == limit else None


def subject(report: Report | Refused) -> str:
    """Say whose report it is, for a trace."""
    if isinstance(report, Refused):
        return ""
    return describe(report.standing).user_name or ""
