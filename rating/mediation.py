"""Reports into sessions and usage, a batch at a time: the part that has no I/O.

The ledger role reads a batch from the journals, asks which sessions it needs that are
not in memory, loads them, has each report applied in the order of its journal, and
writes what changed in one transaction with the journal's position. If that transaction
fails, the mediator is thrown away and the batch done again with a new one: memory is
only ever a copy of what the database has.

The next batch may begin before that transaction has ended. So each session knows the
batch that changed it last; until that one is written, memory alone has the truth about
it: it is kept, and must not be loaded.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

from radius.accounting import Description, Refused, Report, Status, describe
from rating.interim_update import go_on
from rating.joined_usage import JoinedUsage
from rating.session import (
    Closed,
    Fit,
    GuidedSession,
    Nas,
    Patience,
    Session,
    State,
    Usage,
    apply,
    begin,
    close,
    fit,
    merge,
    silence,
)

_CAUSES = {Status.ACCOUNTING_ON: 11, Status.ACCOUNTING_OFF: 7}
"""Acct-Terminate-Cause NAS-Reboot and Admin-Reboot, RFC 2866 section 5.10."""

_NAMES: dict[int | None, str] = {int(s): s.name.lower() for s in Status}
_OTHER = "other"
_INTERIM_UPDATE, _OPEN = int(Status.INTERIM_UPDATE), State.OPEN
_START = int(Status.START)
_status_of = itemgetter(0)  # of what is refused, its NAS

Key = tuple[str, str]
"""A NAS's name and an Acct-Session-Id."""


class Changes(NamedTuple):
    """What a batch changed, each session in one list, usage in the order it came about.

    Sessions are new, or changed in their description, in their state, or only counted.
    ``joined`` says of each usage record how many differences it joins, ``used`` whose
    it is; ``number`` is the batch's.
    """

    begun: list[Session]
    described: list[Session]
    moved: list[Session]
    counted: list[Session]
    usage: list[Usage]
    joined: list[int]
    used: list[Session]
    number: int


class Mediator:
    """Sessions in memory, and what the current batch did to them.

    ``next_session_id`` goes on from the database; ``join_seconds`` is how long a joined
    usage record may get; ``sessions_kept`` how many sessions memory may hold.
    """

    def __init__(
        self, *, next_session_id: int, join_seconds: int, sessions_kept: int
    ) -> None:
        self._next_session_id = next_session_id
        self._kept = sessions_kept
        self._sessions: dict[Key, Session | None] = {}
        self._begun: dict[int, Session] = {}
        self._described: dict[int, Session] = {}
        self._counted: list[Session] = []
        self._moved: set[int] = set()
        self._usage = JoinedUsage(join_seconds)
        self._live: dict[str, list[Key]] = {}
        self._number = 1
        self._written = 0
        self._closed: deque[tuple[int, list[Session]]] = deque()
        self.outcomes: Counter[tuple[int, bool]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()

    def certain(
        self, reports: Iterable[Report | Refused]
    ) -> tuple[list[Session | None], set[Key]]:
        """Give each report's session where it is certain, and the keys to load.

        What must be loaded is what is not in memory, and what is there without the
        description that a report has to be compared with. A report whose standing half
        is to the octet the one seen last needs no comparison; that is nearly every one.
        It holds for the rest of a batch once it holds: the session is only seen later,
        and what else could change it needs the description first.
        """
        session_of = self._sessions.get
        found: list[Session | None] = []
        keys, append = set(), found.append
        for report in reports:
            if type(report) is not Report:
                append(None)
                continue
            status, nas, name, _, event_at, _, _, seconds = report[:8]
            key = nas, name
            session = session_of(key)
            if (
                session is not None
                and session.standing == hash(report.standing)
                and session.older is None
                and status != _START
                and (
                    seconds is None
                    or (
                        event_at >= session.started_at
                        and (
                            event_at - seconds < session.last_seen_at
                            or abs(event_at - seconds - session.started_at) <= 2
                        )
                    )
                )
            ):
                append(session)
            else:
                append(None)
                if name:  # a NAS that restarted need not send one
                    keys.add(key)
        return found, keys

    def restarted(self, reports: Sequence[Report | Refused]) -> set[str]:
        """Give the NAS whose live sessions ``adopt_live`` must be told of first."""
        if _CAUSES.keys().isdisjoint(map(_status_of, reports)):
            return set()
        return {r.nas for r in reports if type(r) is Report and r.status in _CAUSES}

    def adopt(self, keys: Iterable[Key], sessions: Iterable[Session]) -> None:
        """Take all that the database has of these keys, oldest session first."""
        for key in keys:
            self._sessions[key] = None
        for session in sessions:
            key = (session.nas, session.acct_session_id)
            session.older = self._sessions.get(key)
            self._sessions[key] = session

    def adopt_live(self, nas: str, keys: Iterable[Key]) -> None:
        """Take the keys of the live sessions of a NAS; they are adopted already."""
        self._live[nas] = list(keys)

    def apply_all(
        self,
        reports: Sequence[Report | Refused],
        sessions: Sequence[Session | None],
        nas_of: Callable[[str], Nas],
    ) -> list[Usage | None]:
        """Apply reports in their order, each as ``apply`` does; ``sessions`` are those
        that are certain."""
        number, counted, add_first = self._number, self._counted, self._usage.add_first
        added: list[Usage | None] = []
        append, went_on = added.append, 0
        for report, session in zip(reports, sessions, strict=True):
            if (
                session is None
                or type(report) is not Report
                or (usage := go_on(session, report)) is None
            ):
                append(self.apply(report, nas_of(report.nas), session))
                continue
            append(usage)
            went_on += 1
            if session.batch == number:
                self._usage.add(usage, session)
            else:  # the batch's first of this session
                session.batch = number
                counted.append(session)
                add_first(usage, session)
        if went_on:
            self.outcomes[_INTERIM_UPDATE, True] += went_on
        return added

    def apply(
        self, report: Report | Refused, nas: Nas, certain: Session | None = None
    ) -> Usage | None:
        """Apply one report, to the session that is certain or the one that is found."""
        if type(report) is not Report:
            assert type(report) is Refused
            self.refused[_NAMES.get(report.status, _OTHER), report.reason] += 1
            return None
        status = report.status
        if status in _CAUSES:
            self._restart(report)
            self.outcomes[status, True] += 1
            return None
        session = certain or self._session_of(report)
        self._touch(session)
        if status != _INTERIM_UPDATE or session.state is not _OPEN:
            self._moved.add(session.id)
        usage = apply(session, report, nas)
        if certain is None:
            newest = self._sessions[report.nas, report.acct_session_id]
            if newest is not session and session.state is not State.CLOSED:
                self._close(session, Closed.LOST, None)
        if usage is None:
            self.outcomes[status, status == Status.START] += 1
            return None
        self._usage.add(usage, session)
        self.outcomes[status, True] += 1
        return usage

    def _touch(self, session: Session) -> None:
        """Note that the batch changes a session, which may be one that it began."""
        if session.batch != self._number:
            session.batch = self._number
            self._counted.append(session)

    def _session_of(self, report: Report) -> Session:
        key = (report.nas, report.acct_session_id)
        newest = session = self._sessions[key]
        standing = hash(report.standing)
        description = describe(report.standing)
        best, found = Fit.NONE, None
        while session is not None and best is not Fit.START:
            known = session.description
            assert known is not None
            how = fit(session, known, report, description)
            if how > best:
                best, found = how, session
            session = session.older
        if found is None:
            return self._begin(key, newest, report, description, standing)
        self._learn(found, description, standing)
        return found

    def _learn(self, session: Session, now: Description, standing: int) -> None:
        assert session.description is not None
        merged = merge(session.description, now)
        if merged != session.description:
            session.description = merged
            if session.id not in self._begun:
                self._described[session.id] = session
        session.standing = standing

    def _begin(
        self,
        key: Key,
        newest: Session | None,
        report: Report,
        description: Description,
        standing: int,
    ) -> Session:
        session = begin(self._next_session_id, report, description)
        session.standing = standing
        session.batch = self._number
        self._next_session_id += 1
        self._begun[session.id] = session
        if newest is None or session.started_at >= newest.started_at:
            if newest is not None and newest.state is not State.CLOSED:
                self._close(newest, Closed.LOST, None)
            session.older = newest
            self._sessions[key] = session
        else:  # an earlier holder of the id, heard of late
            session.older, newest.older = newest.older, session
        return session

    def _close(self, session: Session, by: Closed, cause: int | None) -> None:
        close(session, by, cause)
        self._touch(session)
        self._moved.add(session.id)

    def _restart(self, report: Report) -> None:
        """Close what a NAS forgot when it restarted: its own, started before."""
        identity = describe(report.standing).nas_identity
        loaded = (self._sessions.get(key) for key in self._live.get(report.nas, ()))
        for session in chain(loaded, list(self._begun.values())):
            if (
                session is not None
                and session.state is not State.CLOSED
                and session.nas == report.nas
                and session.started_at < report.event_at
                and session.description is not None
                and session.description.nas_identity == identity
            ):
                self._close(session, Closed.NAS_REBOOT, _CAUSES[Status(report.status)])

    def sweep(self, sessions: Iterable[Session], now: int, patience: Patience) -> None:
        """Judge sessions that have been silent; those in memory as memory has them."""
        for session in sessions:
            if silence(session, now, patience) and session.id not in self._begun:
                self._touch(session)
                self._moved.add(session.id)

    def in_memory(self, session: Session) -> Session:
        """Give memory's copy of a session that was loaded, where there is one."""
        own = self._sessions.get((session.nas, session.acct_session_id))
        while own is not None and own.id != session.id:
            own = own.older
        return session if own is None else own

    def take_outcomes(self) -> dict[tuple[str, str], int]:
        """Give how many reports had which status and result, since the last call."""
        taken = {
            (status, str(reason)): count
            for (status, reason), count in self.refused.items()
        }
        for (status, new), count in self.outcomes.items():
            taken[_NAMES[status], "applied" if new else "nothing_new"] = count
        self.refused.clear()
        self.outcomes.clear()
        return taken

    def changes(self) -> Changes:
        """Give what the batch changed."""
        moved: list[Session] = []
        counted = self._counted
        if self._moved or self._described:
            counted = []
            for session in self._counted:
                if session.id not in self._described:
                    (moved if session.id in self._moved else counted).append(session)
        return Changes(
            list(self._begun.values()),
            list(self._described.values()),
            moved,
            counted,
            self._usage.usage,
            self._usage.joined,
            self._usage.used,
            self._number,
        )

    def next_batch(self) -> None:
        """Begin the next batch, when the rows of this one are made: they have what is
        known of their subscribers, which memory lets go of."""
        closed = []
        for session in chain(self._begun.values(), self._counted):
            session.description = None
            if session.state is State.CLOSED:
                closed.append(session)
        self._closed.append((self._number, closed))
        self._number += 1
        self._begun, self._described, self._counted = {}, {}, []
        self._moved = set()
        self._live = {}
        self._usage.clear()

    def written(self, number: int) -> None:
        """Let go of closed sessions, and of what memory may not hold, that the database
        has: all batches up to a number are written."""
        self._written = number
        while self._closed and self._closed[0][0] <= number:
            for session in self._closed.popleft()[1]:
                key = (session.nas, session.acct_session_id)
                newest = self._sessions.get(key)
                if newest is not None and newest.state is State.CLOSED:
                    self._let_go(key)
        while len(self._sessions) > self._kept:
            if not self._let_go(next(iter(self._sessions))):
                break

    def _let_go(self, key: Key) -> bool:
        """Forget the sessions of a key, unless the database is yet to have one."""
        settled = self.last_batch([key]) <= self._written
        if settled:
            del self._sessions[key]
        return settled

    def last_batch(self, keys: Iterable[Key]) -> int:
        """Give the last batch that changed any session of these keys in memory: they
        must not be loaded before it is written."""
        last = 0
        for key in keys:
            session = self._sessions.get(key)
            while session is not None:
                last = max(last, session.batch)
                session = session.older
        return last

    def guided(self, guided: GuidedSession) -> None:
        """Take over whose a session is, if it is in memory."""
        own = self._sessions.get((guided.nas, guided.acct_session_id))
        while own is not None:
            if own.id == guided.id:
                own.service, own.tenant = guided.service, guided.tenant
                own.guided_by = guided.guided_by
            own = own.older
