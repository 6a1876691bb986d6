"""What a batch of reports makes of sessions, usage and money, ready to be written.

This is the half of the ledger that needs no transaction: records are read, sessions
found or loaded, reports folded in, services named, usage rated, and the rows made.
Writing them is ``daemon.ledger``'s. So this half can be ahead, in a process of
its own (``daemon.mediation_process``), and what it gives is made of nothing but tuples,
lists, dictionaries, numbers and text.

Memory is a copy of what the database has and of what is yet to be written. Before a
session is loaded that a batch ahead has changed, that batch has to be written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from msgspec import convert
from sqlalchemy import Connection

from config.network import Network
from config.plant import Nas as NasObject
from config.schema import AccountingSettings
from radius.accounting import Refused, Report
from radius.records import RecordReader
from radius.report_layouts import ReportReader
from rating.counters import Gigawords
from rating.mediation import Key, Mediator
from rating.session import GuidedSession, Nas, Patience, Session, Usage, nas_of
from services.earlier_states import EarlierStates
from services.session_guiding import SessionGuiding
from services.usage_rating import RatedUsage, UsageRating, Whose
from storage import sessions as repository
from storage.database import Database
from storage.journal import Block
from storage.session_rows import (
    described_row,
    guided_row,
    life_row,
    progress_row,
    session_of,
    usage_row,
)

SESSIONS_KEPT = 2_000_000
"""Open sessions in memory, about 1.3 KiB each; the others are read when they report."""

UNKNOWN_NAS = nas_of(Gigawords.AUTO, 1_250_000_000)
_OCTETS_PER_MEGABIT = 125_000

Rows = list[tuple[Any, ...]]
Decision = tuple[int, Report | Refused, Usage | None]
"""A record's position, what it was read as, and what use it added; for a live trace."""


class Mediated(NamedTuple):
    """A batch to write: rows as ``storage.sessions`` takes them, and whose the usage
    is. ``position`` is the next one of the journal; ``received_at`` is that of the last
    report, in epoch seconds. ``outcomes`` counts reports by status and result,
    ``derived`` usage by how it was derived."""

    number: int
    journal: str
    position: int
    records: int
    received_at: int
    begun: Rows
    described: Rows
    moved: Rows
    counted: Rows
    guided: Rows
    usage: Rows
    whose: list[Whose]
    rated: RatedUsage
    outcomes: dict[tuple[str, str], int]
    derived: dict[str, int]


class Mediation:
    """Mediates batches; starts from what the database has.

    ``wait_until_written`` returns when the batch of a number and those before are
    written; nothing is ahead, and so nothing waits, where ``written`` is called for
    each batch before the next. ``class_key`` is as ``SessionGuiding`` has it.
    """

    def __init__(
        self,
        database: Database,
        settings: AccountingSettings,
        class_key: bytes | None = None,
        wait_until_written: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._wait_until_written = wait_until_written
        self._nas: dict[str, Nas] = {}
        self._records = RecordReader()
        self._read = ReportReader(settings.max_clock_skew_seconds).read
        self._states = EarlierStates()
        self._guiding = SessionGuiding(class_key, self._states)
        self._rating = UsageRating(self._states, lambda: self._wait_for(self._number))
        self._written = 0
        self._number = 0
        self.decisions: list[Decision] | None = None
        with database.read.connect() as connection:
            session_id, self._next_usage_id = repository.next_ids(connection)
        self._mediator = Mediator(
            next_session_id=session_id,
            join_seconds=settings.join_seconds,
            sessions_kept=SESSIONS_KEPT,
        )

    def know(
        self, network: Network, objects: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> None:
        """Take the network, and its objects by kind and name: counters of each NAS,
        services, tariffs."""
        self._nas = nas_rules(objects)
        self._states.know(objects)
        self._guiding.know(network, objects)
        self._rating.know(network, objects)

    def nas_of(self, name: str) -> Nas:
        """Give how to take the counters of a NAS."""
        return self._nas.get(name, UNKNOWN_NAS)

    def mediate(self, journal: str, position: int, blocks: Sequence[Block]) -> Mediated:
        """Mediate what is in blocks from a position on; the first one has it in it.

        After an exception this is unusable: make a new one, which starts from what the
        database has.
        """
        reports = self._reports(position, blocks)
        sessions = self._load(reports)
        usage = self._mediator.apply_all(reports, sessions, self.nas_of)
        if self.decisions is not None:
            self.decisions += zip(count(position), reports, usage)
        received_at = blocks[-1].received_at_ns // 1_000_000_000
        records = len(reports)
        return self._batch(journal, position + records, records, received_at)

    def sweep(self, now: int, after_id: int, limit: int) -> tuple[Mediated, int | None]:
        """Judge the next ``limit`` silent sessions behind ``after_id``.

        Gives the batch, which has to be written before the next one is asked for, and
        the id to go on behind, None at the end of the round.
        """
        patience, before = patience_at(self._settings, now)
        self._wait_for(self._number)
        with self._database.read.connect() as connection:
            rows = repository.stale_candidates(connection, before, after_id, limit)
        loaded = [session_of(row, self.nas_of) for row in rows]
        own = [self._mediator.in_memory(session) for session in loaded]
        self._mediator.sweep(own, now, patience)
        more = loaded[-1].id if len(loaded) == limit else None
        return self._batch("", 0, 0, now), more

    def written(self, number: int) -> None:
        """Let go of what the database has: batches up to a number are written."""
        self._written = number
        self._mediator.written(number)

    def guided(self, sessions: Sequence[GuidedSession]) -> None:
        """Take over whose sessions are that were guided elsewhere."""
        for session in sessions:
            self._mediator.guided(session)

    def _reports(
        self, position: int, blocks: Sequence[Block]
    ) -> list[Report | Refused]:
        """Read what the records from ``position`` on report."""
        read, records = self._read, self._records.read
        reports: list[Report | Refused] = []
        for _, _, received_at_ns, octets in blocks:
            at = received_at_ns // 1_000_000_000
            reports += read(records(octets), at)
        return reports[position - blocks[0].first :]

    def _wait_for(self, number: int) -> bool:
        """Wait until a batch is written; say whether it was not."""
        waits = number > self._written
        if waits:
            self._wait_until_written(number)
        return waits

    def _load(self, reports: Sequence[Report | Refused]) -> list[Session | None]:
        """Load what the reports need; give the session of each that is certain."""
        mediator = self._mediator
        restarted = mediator.restarted(reports)
        certain, keys = mediator.certain(reports)
        # Of a NAS that restarted all live sessions are loaded, whoever changed them.
        if self._wait_for(self._number if restarted else mediator.last_batch(keys)):
            certain, keys = mediator.certain(reports)  # some are in memory no more
        if not keys and not restarted:
            return certain
        with self._database.read.connect() as connection:
            live: dict[str, list[Key]] = {}
            for nas in restarted:
                rows = repository.open_sessions_of_nas(connection, nas)
                found = [session_of(row, self.nas_of) for row in rows]
                live[nas] = [(s.nas, s.acct_session_id) for s in found]
                keys.update(live[nas])
            mediator.adopt(keys, self._sessions_of(connection, keys))
        for nas, its_keys in live.items():
            mediator.adopt_live(nas, its_keys)
        # What was loaded has taken the place of what memory had.
        return [
            s if s is not None and (s.nas, s.acct_session_id) not in keys else None
            for s in certain
        ]

    def _sessions_of(self, connection: Connection, keys: set[Key]) -> list[Session]:
        rows = repository.load_sessions(connection, sorted({key[1] for key in keys}))
        sessions = [session_of(row, self.nas_of) for row in rows]
        return sorted(
            (s for s in sessions if (s.nas, s.acct_session_id) in keys),
            key=lambda s: (s.started_at, s.id),
        )

    def _batch(
        self, journal: str, position: int, records: int, received_at: int
    ) -> Mediated:
        """Guide the sessions of what was done since the last batch, and make rows."""
        mediator, guiding = self._mediator, self._guiding
        read = self._database.read.connect
        changes = mediator.changes()
        late = guiding.late(changes)
        if late:  # what is known of them is in the database alone
            self._wait_for(self._number)
        guided = guiding.guide(read, changes, late)
        usage = list(
            map(
                usage_row,
                count(self._next_usage_id),
                changes.usage,
                changes.joined,
                changes.used,
            )
        )
        self._next_usage_id += len(usage)
        whose = [
            (s.service, s.started_at, "" if s.service else s.guided_by or "")
            for s in changes.used
        ]
        batch = Mediated(
            changes.number,
            journal,
            position,
            records,
            received_at,
            [described_row(session) for session in changes.begun],
            [described_row(session) for session in changes.described],
            [life_row(session) for session in changes.moved],
            [progress_row(session) for session in changes.counted],
            [guided_row(session) for session in guided],
            usage,
            whose,
            self._rating.rate_rows(read, usage, whose, received_at),
            mediator.take_outcomes(),
            dict(Counter([row[9] for row in usage])),
        )
        mediator.next_batch()
        self._number = changes.number
        return batch


def patience_at(settings: AccountingSettings, now: int) -> tuple[Patience, int]:
    """Give how long silence is borne, and since when a suspect one is silent."""
    patience = Patience(
        settings.interim_seconds,
        settings.stale_after_intervals,
        settings.close_after_intervals,
    )
    return patience, now - patience.interval * patience.suspect_after


def nas_rules(
    objects: Mapping[tuple[str, str], Mapping[str, Any]],
) -> dict[str, Nas]:
    """Give how to take the counters of each NAS of a network's objects, by name."""
    nas = [
        convert(body, NasObject) for (kind, _), body in objects.items() if kind == "nas"
    ]
    return {
        n.name: nas_of(Gigawords(n.gigawords), n.max_rate_mbps * _OCTETS_PER_MEGABIT)
        for n in nas
    }
