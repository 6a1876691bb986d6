"""What a session is, and what each report does to it.

Identity. A NAS's Acct-Session-Id is unique only to it and only until it reboots, so a
session is the NAS, its own identity in the packet, the Acct-Session-Id, the user and
the time of its start. A report tells when its session started (its time less
Acct-Session-Time), and belongs to the one that started then; one that started after the
known session was last seen alive is a new session under an old id.

State. The report that is latest on the session's own time decides: a Stop closes it,
anything later opens it again, anything earlier only fills in. So a Start after its
Stop, an Interim-Update after its Stop and the same packets in any order end alike.

Closing without a Stop (the NAS rebooted, the session went stale, its id came up again)
is at the last report: what was used after that nobody has reported, and a later report
puts it right.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from functools import partial
from typing import NamedTuple

from radius.accounting import Description, Report, Status
from radius.mac_address import mac_address
from rating.counters import (
    START,
    Counters,
    Derived,
    Gigawords,
    Totals,
    WrapRule,
    advance,
    longest_gap,
)
from rating.entry import NETWORK

_SAME_START_REPORTED_SECONDS = 2
"""A NAS rounds both times that its start is computed from."""

_SAME_START_SECONDS = 30
"""Without Event-Timestamp the start moves by how late the packet came: a NAS
retransmits for about this long before it gives a request up."""


class State(StrEnum):
    """Where a session is in its life."""

    OPEN = "open"
    SUSPECT = "suspect"
    CLOSED = "closed"


class Closed(StrEnum):
    """What closed a session; all but a Stop are our conclusion."""

    STOP = "stop"
    NAS_REBOOT = "nas_reboot"
    LOST = "lost"
    STALE = "stale"


class Nas(NamedTuple):
    """How to take the counters of a NAS: by whether the session showed Gigawords."""

    rules: tuple[WrapRule, WrapRule]


def nas_of(gigawords: Gigawords, octets_per_second: int) -> Nas:
    """Make the rules of a NAS; the rate is that of its fastest line."""

    def rule(*, shown: bool) -> WrapRule:
        return WrapRule(
            octets_may_wrap=gigawords is Gigawords.NEVER
            or (gigawords is Gigawords.AUTO and not shown),
            certain=gigawords is Gigawords.NEVER,
            octets_per_second=octets_per_second,
        )

    return Nas((rule(shown=False), rule(shown=True)))


class Usage(NamedTuple):
    """One difference as the network reported it; times in seconds since 1970."""

    session_id: int
    started_at: int
    ended_at: int
    seconds: int
    input_octets: int
    output_octets: int
    input_packets: int
    output_packets: int
    derived: Derived


class GuidedSession(NamedTuple):
    """A session that was given a service, or not, where the mediator did not see it."""

    nas: str
    acct_session_id: str
    id: int
    service: str | None
    guided_by: str | None
    tenant: str


class Session:
    """One session; ``seconds`` is the latest point of its own time.

    ``description`` is None when it is only in the database; ``standing`` is the hash of
    the raw attributes that gave it, or 0. ``older`` is the session that had the same
    Acct-Session-Id on this NAS before. ``service`` and ``tenant`` say whose use it
    is once it was guided, ``guided_by`` what said so or why nothing did; ``tried`` is
    the network, by number, that it was last looked for in. ``batch`` is the mediator's
    batch that changed it last, 0 when it is as it was loaded.
    """

    __slots__ = (
        "acct_session_id",
        "batch",
        "closed_by",
        "counters",
        "description",
        "gigawords",
        "guided_by",
        "id",
        "last_arrival_at",
        "last_seen_at",
        "nas",
        "older",
        "seconds",
        "service",
        "standing",
        "start_reported",
        "started_at",
        "state",
        "stopped_at",
        "tenant",
        "terminate_cause",
        "tried",
    )

    id: int
    nas: str
    acct_session_id: str
    state: State
    started_at: int
    start_reported: bool
    last_seen_at: int
    last_arrival_at: int
    stopped_at: int | None
    terminate_cause: int | None
    closed_by: Closed | None
    seconds: int
    gigawords: bool
    counters: Counters
    standing: int
    description: Description | None
    older: Session | None
    service: str | None
    guided_by: str | None
    tenant: str
    tried: int
    batch: int


def started_at(report: Report) -> int | None:
    """Say when the session of a report started, as far as the report tells."""
    if report.status == Status.START:
        return report.event_at
    if report.session_seconds is None:
        return None
    return report.event_at - report.session_seconds


class Fit(IntEnum):
    """How well a report fits a session: not at all, by its life, or by its start."""

    NONE = 0
    LIFE = 1
    START = 2


def fit(session: Session, known: Description, report: Report, now: Description) -> Fit:
    """Say whether a report is one of this session's; ids and NAS are the same already.

    ``known`` describes the session, ``now`` the report. Of several sessions that had
    the id the one whose start fits is meant.
    """
    if known.nas_identity != now.nas_identity or _differ(
        known.user_name, now.user_name
    ):
        return Fit.NONE
    start = started_at(report)
    if start is None:
        return Fit.LIFE
    is_start = report.status == Status.START
    if is_start and (
        _differ(known.framed_ip_address, now.framed_ip_address)
        or _differ(_station(known), _station(now))
    ):
        return Fit.NONE
    again = is_start and session.start_reported and session.state is State.CLOSED
    exact = session.start_reported and report.event_reported
    near = _SAME_START_REPORTED_SECONDS if exact or again else _SAME_START_SECONDS
    if abs(start - session.started_at) <= near:
        return Fit.START
    if start > session.started_at:
        within = start < session.last_seen_at
    elif is_start:
        within = not session.start_reported
    else:
        # Its own time says it began earlier: that of an earlier holder of the id, or
        # of this one if it reports from this one's life (a NAS whose clock is wrong).
        within = report.event_at >= session.started_at
    return Fit.LIFE if within else Fit.NONE


def _station(description: Description) -> str | None:
    """Name the subscriber's device the same however the NAS writes it."""
    text = description.calling_station_id
    return text if text is None else mac_address(text) or text


def _differ(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one != other


def begin(session_id: int, report: Report, description: Description) -> Session:
    """Make the session that a report is the first of; ``apply`` then folds it in."""
    start = started_at(report)
    session = Session()
    session.id = session_id
    session.nas = report.nas
    session.acct_session_id = report.acct_session_id
    session.state = State.OPEN
    session.started_at = report.event_at if start is None else start
    session.start_reported = report.status == Status.START
    session.last_seen_at = session.started_at
    session.last_arrival_at = report.received_at
    session.stopped_at = None
    session.terminate_cause = None
    session.closed_by = None
    session.seconds = 0
    session.gigawords = False
    session.counters = START
    session.standing = 0
    session.description = description
    session.older = None
    session.service = session.guided_by = None
    session.tenant = NETWORK
    session.tried = session.batch = 0
    return session


def merge(known: Description, now: Description) -> Description:
    """Add what a report tells anew; what it leaves out stays (dual stack)."""
    return Description._make(
        new if new is not None else old for old, new in zip(known, now, strict=True)
    )


def apply(session: Session, report: Report, nas: Nas) -> Usage | None:
    """Fold a report into its session; give the use that it adds, if any."""
    event_at, at, status = report.event_at, report.session_seconds, report.status
    if report.received_at > session.last_arrival_at:
        session.last_arrival_at = report.received_at
    if status == _START and not session.start_reported:
        session.started_at = min(event_at, session.last_seen_at)
        session.start_reported = True
    if at is None:
        at = max(0, event_at - session.started_at)
    before = session.seconds
    if status == _STOP or session.state is not _OPEN:  # else it stays open
        _move(session, report, at, stop=status == _STOP)
    added: Totals = _NO_USE
    derived = _REPORTED
    if report.gigawords:
        session.gigawords = True
    values = report[8:12]
    if values != _NO_VALUES:
        rule = nas.rules[session.gigawords]
        session.counters, added, derived = advance(session.counters, at, values, rule)
    seconds = 0
    if at > before:
        seconds = at - before
        session.seconds = at
    began = session.last_seen_at
    if event_at > began:
        session.last_seen_at = event_at
    if not seconds and added == _NO_USE:
        return None
    if derived is Derived.CORRECTED:
        began = min(began, event_at)
    ended = max(began, event_at)
    return _new_usage((session.id, began, ended, seconds, *added, derived))


# Where the names would be looked up for each report.
_START, _STOP = int(Status.START), int(Status.STOP)
_OPEN, _REPORTED = State.OPEN, Derived.REPORTED
_new_usage = partial(tuple.__new__, Usage)

_FINAL = frozenset({Closed.NAS_REBOOT, Closed.LOST})
"""No report of the same start is from after these: the NAS forgot the session."""

_NO_VALUES = (None, None, None, None)
_NO_USE = (0, 0, 0, 0)


def _move(session: Session, report: Report, at: int, *, stop: bool) -> None:
    """Let the report decide the state if none is later on the session's own time."""
    ended = session.closed_by is Closed.STOP
    if at < session.seconds or (at == session.seconds and ended and not stop):
        return
    if stop:
        if not ended or at > session.seconds:
            session.stopped_at = report.event_at
        session.state, session.closed_by = State.CLOSED, Closed.STOP
        if report.terminate_cause is not None:
            session.terminate_cause = report.terminate_cause
    elif session.closed_by in _FINAL:
        session.stopped_at = max(session.last_seen_at, report.event_at)
    elif at > session.seconds or session.state is State.SUSPECT:
        session.state, session.closed_by = State.OPEN, None
        session.stopped_at = session.terminate_cause = None


def close(session: Session, by: Closed, terminate_cause: int | None) -> None:
    """Close a session that sent no Stop, at its last report."""
    session.state, session.closed_by = State.CLOSED, by
    session.stopped_at = session.last_seen_at
    session.terminate_cause = terminate_cause


class Patience(NamedTuple):
    """How long silence is borne, in intervals between Interim-Updates.

    ``interval`` is the shortest that is taken for a session's own, in seconds: one that
    has shown to report less often is given its own time.
    """

    interval: int
    suspect_after: int
    close_after: int


def silence(session: Session, now: int, patience: Patience) -> bool:
    """Judge a session by how long nothing came; say whether it changed."""
    if session.state is State.CLOSED:
        return False
    silent = now - session.last_arrival_at
    interval = max(patience.interval, longest_gap(session.counters))
    if silent >= interval * patience.close_after:
        close(session, Closed.STALE, None)
        return True
    if silent >= interval * patience.suspect_after and session.state is State.OPEN:
        session.state = State.SUSPECT
        return True
    return False
