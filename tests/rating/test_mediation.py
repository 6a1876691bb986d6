"""Reports into sessions: identity, order, restarts, silence, joined usage.

Packets are built and read by the real codec; only the database is left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radius_packets import octets, packet

from radius.accounting import Refused, Report, read_report
from rating.counters import Derived, Gigawords
from rating.mediation import Changes, Key, Mediator
from rating.session import Closed, Patience, Session, State, nas_of

BEGAN = 1_700_000_000
NAS = nas_of(Gigawords.AUTO, 1_250_000_000)


class Book:
    """A mediator with an endless memory: what a batch wrote is loaded for the next."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[Session, Any]] = {}
        self.mediator = Mediator(next_session_id=1, join_seconds=900, sessions_kept=100)

    def batch(self, *reports: Report | Refused) -> Changes:
        """Apply reports in one batch."""
        mediator = self.mediator
        certain, keys = self.certain(reports)
        live = {
            nas: [
                (s.nas, s.acct_session_id)
                for s, _ in self.rows.values()
                if s.nas == nas and s.state is not State.CLOSED
            ]
            for nas in mediator.restarted(reports)
        }
        keys |= {key for its_keys in live.values() for key in its_keys}
        loaded = []
        for session, description in self.rows.values():
            if (session.nas, session.acct_session_id) in keys:
                session.description, session.older = description, None
                loaded.append(session)
        mediator.adopt(keys, sorted(loaded, key=lambda s: (s.started_at, s.id)))
        for nas, its_keys in live.items():
            mediator.adopt_live(nas, its_keys)
        found = [
            s if s is not None and (s.nas, s.acct_session_id) not in keys else None
            for s in certain
        ]
        self.apply(reports, found)
        changes = mediator.changes()
        for session in (*changes.begun, *changes.described):
            self.rows[session.id] = (session, session.description)
        mediator.next_batch()
        mediator.written(changes.number)
        return changes

    def certain(
        self, reports: Sequence[Report | Refused]
    ) -> tuple[list[Session | None], set[Key]]:
        """Give the sessions that are certain, and the keys to load."""
        return self.mediator.certain(reports)

    def apply(
        self, reports: Sequence[Report | Refused], certain: Sequence[Session | None]
    ) -> None:
        """Apply a batch's reports as the ledger does."""
        self.mediator.apply_all(reports, certain, lambda _: NAS)

    @property
    def sessions(self) -> list[Session]:
        """All sessions, in the order in which they were first heard of."""
        return [session for session, _ in self.rows.values()]

    def one(self) -> Session:
        """Give the only session there may be."""
        assert 1 == len(self.sessions)
        return self.sessions[0]


class SlowBook(Book):
    """The same with each report applied by itself, as one that is out of order."""

    def apply(
        self, reports: Sequence[Report | Refused], certain: Sequence[Session | None]
    ) -> None:
        """Apply one report after the other."""
        for report, session in zip(reports, certain, strict=True):
            self.mediator.apply(report, NAS, session)


class UncertainBook(Book):
    """The same with each session found by its description."""

    def certain(
        self, reports: Sequence[Report | Refused]
    ) -> tuple[list[Session | None], set[Key]]:
        """Give none, and the keys of all reports."""
        sent = [report for report in reports if isinstance(report, Report)]
        return [None] * len(reports), {(r.nas, r.acct_session_id) for r in sent}


def report(
    status: int,
    seconds: int | None = None,
    *,
    used: int | None = None,
    at: int | None = None,
    arrives: int | None = None,
    stamp: bool = True,
    **values: Any,
) -> Report:
    """Make a report of ``used`` input octets, ``seconds`` into a session."""
    event = BEGAN + (seconds or 0) if at is None else at
    values = {"acct_session_id": "A1", "user_name": "sub101", **values}
    read = read_report(
        packet(
            status=status,
            session_seconds=seconds,
            event_at=event if stamp else None,
            **octets("input", used),
            **values,
        ),
        nas="bng1",
        received_at=event if arrives is None else arrives,
        max_clock_skew_seconds=300,
    )
    assert isinstance(read, Report)
    return read


def start(**values: Any) -> Report:
    """Make a Start."""
    return report(1, **values)


def stop(seconds: int | None, **values: Any) -> Report:
    """Make a Stop."""
    return report(2, seconds, **values)


def interim(seconds: int | None, **values: Any) -> Report:
    """Make an Interim-Update."""
    return report(3, seconds, **values)


OTHERS = {"output_octets": 1, "input_packets": 1, "output_packets": 1}
"""The counters beside input octets: with them a report shows all."""

STORY = [
    start(),
    interim(600, used=10_000),
    interim(1200, used=5_000_000_000),
    interim(1800, used=5_000_000_000),
    stop(2000, used=6_000_000_007, terminate_cause=1),
]


@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_repetition_and_batching_ends_in_the_same_session(
    chance: random.Random, batches: int
) -> None:
    """The state, the times and the use of a session do not depend on arrival."""
    reports = STORY + chance.choices(STORY, k=4)
    chance.shuffle(reports)
    book, usage = Book(), []
    for i in range(batches):
        usage += book.batch(*reports[i::batches]).usage

    session = book.one()

    assert (State.CLOSED, Closed.STOP, 1) == (
        session.state,
        session.closed_by,
        session.terminate_cause,
    )
    assert (BEGAN, BEGAN + 2000, 2000) == (
        session.started_at,
        session.stopped_at,
        session.seconds,
    )
    assert 6_000_000_007 == sum(record.input_octets for record in usage)
    assert 2000 == sum(record.seconds for record in usage)


_step = st.tuples(
    st.sampled_from([1, 2, 3, 3, 3, 3, 3, 3]),
    st.sampled_from("AAB"),
    st.integers(0, 20),
    st.sampled_from([0, 0, 0, 0, 0, 0, -2 * 10**9, None]),
    st.sampled_from([0, 0, 0, 45]),
    st.sampled_from([None, None, None, "192.0.2.9"]),
    st.sampled_from([0, 0, 0, 2, 900, 9000]),
)
"""Status, Acct-Session-Id, five minutes, what its counter is off by, lateness, an
address that it may tell, and when the session began."""


def _reports(steps: list[Any]) -> list[Report]:
    """Give reports whose counters rise every ten minutes, and need Gigawords later."""
    return [
        report(
            status,
            300 * five,
            acct_session_id=session_id,
            at=began + 300 * five,
            arrives=began + 300 * five + late,
            stamp=not late,
            framed_ip_address=address,
            output_octets=used and five // 2,
            input_packets=used and five // 2,
            output_packets=used and five // 2,
            **(
                octets("input", used) if used and used >> 32 else {"input_octets": used}
            ),
        )
        for status, session_id, five, off, late, address, later in steps
        for began in [BEGAN + later]
        for used in [None if off is None else max(1, five // 2 * 10**9 + off)]
    ]


def _facts(session: Session | None) -> tuple[Any, ...] | None:
    if session is None:
        return None
    facts = {name: getattr(session, name) for name in Session.__slots__}
    facts["older"] = _facts(session.older)
    return tuple(facts.values())


def _comparable(changes: Changes) -> list[Any]:
    return [
        [_facts(one) if isinstance(one, Session) else one for one in some]
        for some in changes[:7]
    ]


def _life(session: Session) -> tuple[Any, ...]:
    return session.state, session.closed_by, session.started_at, session.stopped_at


@given(
    st.lists(st.lists(_step, min_size=1, max_size=12), min_size=1, max_size=4),
    st.booleans(),
)
def test_the_quick_way_ends_as_one_report_after_the_other(
    batches: list[list[Any]], in_order: bool
) -> None:
    """Sessions, usage, what is joined and what is counted are the same, whatever is
    among what is as it should be; each session is in one list, by what changed."""
    if in_order:
        places = iter(sorted(step[2] for batch in batches for step in batch))
        batches = [[(*s[:2], next(places), *s[3:]) for s in batch] for batch in batches]
    quick, others = Book(), (SlowBook(), UncertainBook())
    for batch in batches:
        reports = _reports(batch)
        before = {session.id: _life(session) for session in quick.sessions}
        one = quick.batch(*reports)
        listed = [session.id for some in one[:4] for session in some]
        assert len(set(listed)) == len(listed)
        assert {s.id: before[s.id] for s in one.counted} == {
            s.id: _life(s) for s in one.counted
        }
        outcomes = quick.mediator.take_outcomes()
        for slow in others:
            assert _comparable(one) == _comparable(slow.batch(*reports))
            assert outcomes == slow.mediator.take_outcomes()


def test_an_interim_without_a_start_begins_its_session_in_the_past() -> None:
    """RFC 2866 section 5.7: Acct-Session-Time says when a session began."""
    book = Book()
    book.batch(interim(600, used=10))

    assert (BEGAN, False) == (book.one().started_at, book.one().start_reported)


def test_a_stop_without_a_start_counts() -> None:
    """A lost Start costs nothing of the use."""
    changes = Book().batch(stop(600, used=10))

    assert 10 == changes.usage[0].input_octets


def test_a_start_behind_its_stop_does_not_open_the_session_again() -> None:
    """A reordered Start only fills in."""
    book = Book()
    book.batch(stop(5, used=10))
    book.batch(start())

    assert State.CLOSED is book.one().state


def test_an_interim_later_than_the_stop_opens_the_session_again() -> None:
    """A NAS that goes on reporting has the session still."""
    book = Book()
    book.batch(*STORY)
    book.batch(interim(2600, used=7_000_000_000))

    assert (State.OPEN, None) == (book.one().state, book.one().stopped_at)


def test_an_id_used_again_after_the_session_ended_is_a_new_session() -> None:
    """Acct-Session-Id is unique only until the NAS reboots (RFC 2866 section 5.5)."""
    book = Book()
    book.batch(*STORY)
    book.batch(start(at=BEGAN + 5000), interim(60, at=BEGAN + 5060, used=3))

    first, second = book.sessions
    assert (6_000_000_007, 3) == (first.counters.totals[0], second.counters.totals[0])


def test_a_late_report_finds_the_earlier_holder_of_its_id() -> None:
    """A day-old retransmission is not charged to the new session."""
    book = Book()
    book.batch(*STORY[:-1])
    book.batch(start(at=BEGAN + 9000))
    changes = book.batch(STORY[-1])

    first, second = book.sessions
    assert (State.CLOSED, State.OPEN) == (first.state, second.state)
    assert [(1, 1_000_000_007)] == [
        (u.session_id, u.input_octets) for u in changes.usage
    ]


def test_a_report_from_before_a_session_is_of_an_earlier_holder_of_its_id() -> None:
    """Whose it is was never heard of, so it begins a session that is over."""
    book = Book()
    book.batch(interim(600, at=BEGAN + 9600, used=5))
    book.batch(interim(600, used=3))

    assert [5, 3] == [session.counters.totals[0] for session in book.sessions]


@pytest.mark.parametrize("changed", ["framed_ip_address", "calling_station_id"])
def test_a_start_with_another_address_closes_the_open_session_as_lost(
    changed: str,
) -> None:
    """Two subscribers cannot have one session: the NAS lost the first."""
    book = Book()
    book.batch(start(**{changed: "192.0.2.1"}))
    book.batch(start(**{changed: "192.0.2.2"}, at=BEGAN + 10))

    first, second = book.sessions
    assert (Closed.LOST, State.OPEN) == (first.closed_by, second.state)


def test_another_user_or_nas_identity_is_another_session() -> None:
    """The key has the NAS's own identity and the user: several NAS share an address."""
    book = Book()
    book.batch(start(), start(user_name="sub102"), start(nas_identifier="bng2"))

    assert 3 == len(book.sessions)


def test_what_a_report_leaves_out_stays_known() -> None:
    """Dual stack: the IPv4 address comes in a later Interim-Update, and stays."""
    book = Book()
    book.batch(start())
    more = book.batch(interim(60, used=1, framed_ip_address="192.0.2.9"))
    book.batch(interim(120, used=2))

    assert (1, []) == (len(more.described), more.counted)

    ((_, description),) = book.rows.values()
    assert ("192.0.2.9", "sub101") == (
        description.framed_ip_address,
        description.user_name,
    )


@pytest.mark.parametrize(("status", "cause"), [(7, 11), (8, 7)])
def test_accounting_on_and_off_close_what_the_nas_forgot(
    status: int, cause: int
) -> None:
    """RFC 2866 section 5.1: at the last report, what began before, its own alone."""
    book = Book()
    book.batch(
        start(),
        interim(600, used=5),
        start(acct_session_id="B", nas_identifier="bng2"),
        start(acct_session_id="C", at=BEGAN + 5000),
    )
    restart = report(
        status, at=BEGAN + 4000, user_name=None, acct_session_id="00000000"
    )
    book.batch(restart)
    book.batch(restart)

    forgotten, other, later = book.sessions
    assert (Closed.NAS_REBOOT, cause, BEGAN + 600) == (
        forgotten.closed_by,
        forgotten.terminate_cause,
        forgotten.stopped_at,
    )
    assert (State.OPEN, State.OPEN) == (other.state, later.state)


def test_a_report_from_before_a_restart_counts_and_opens_nothing() -> None:
    """What the NAS had queued is use, but the session is gone."""
    book = Book()
    book.batch(start(), interim(600, used=5))
    book.batch(report(7, at=BEGAN + 1300, user_name=None))
    changes = book.batch(interim(1200, used=9))

    assert (4, State.CLOSED) == (
        changes.usage[0].input_octets,
        book.one().state,
    )


def test_a_silent_session_is_suspect_then_closed_and_a_report_opens_it() -> None:
    """Silence is judged, reversibly; a late Stop puts the estimate right."""
    book = Book()
    book.batch(start(), interim(600, used=5))
    session = book.one()
    patience = Patience(600, 3, 6)

    book.mediator.sweep([session], BEGAN + 600 + 1799, patience)
    assert State.OPEN is session.state
    book.mediator.sweep([session], BEGAN + 600 + 1800, patience)
    assert State.SUSPECT is session.state
    book.mediator.sweep([session], BEGAN + 600 + 3600, patience)
    assert (Closed.STALE, BEGAN + 600) == (session.closed_by, session.stopped_at)
    number = book.mediator.changes().number
    book.mediator.next_batch()
    book.mediator.written(number)
    changes = book.batch(stop(9000, used=50))

    assert (Closed.STOP, BEGAN + 9000) == (book.one().closed_by, book.one().stopped_at)
    assert 45 == changes.usage[0].input_octets


def test_a_session_that_reports_less_often_is_given_its_own_time() -> None:
    """RFC 2869 section 5.16 leaves the interval to each session: one that shows an hour
    is not suspect after half of one."""
    book = Book()
    book.batch(start(), interim(600, used=5), interim(4200, used=6))
    session = book.one()
    patience = Patience(600, 3, 6)

    book.mediator.sweep([session], BEGAN + 4200 + 3 * 3600 - 1, patience)
    assert State.OPEN is session.state
    book.mediator.sweep([session], BEGAN + 4200 + 3 * 3600, patience)
    assert State.SUSPECT is session.state
    book.mediator.sweep([session], BEGAN + 4200 + 6 * 3600, patience)
    assert (Closed.STALE, BEGAN + 4200) == (session.closed_by, session.stopped_at)


def test_a_retransmission_with_a_new_delay_charges_nothing_rfc_2866_section_4_1() -> (
    None
):
    """A changed Acct-Delay-Time makes another packet of the same report."""
    book = Book()
    book.batch(start(), interim(600, used=5))
    again = interim(600, used=5)._replace(received_at=BEGAN + 630, delay_seconds=30)
    changes = book.batch(again)

    assert [] == changes.usage
    assert (600, 5) == (book.one().seconds, book.one().counters.totals[0])


def test_counters_that_come_behind_their_second_are_used_once() -> None:
    """An Interim-Update that left them out, and one of the same second that has them:
    what shows nothing new is no use."""
    book = Book()
    book.batch(start(), interim(600, used=5, **OTHERS))
    book.batch(interim(1200))

    assert [] == book.batch(interim(1200, used=5, **OTHERS)).usage
    more = book.batch(interim(1201, used=5, **OTHERS), interim(1202, used=7, **OTHERS))
    assert [(2, 2)] == [(u.seconds, u.input_octets) for u in more.usage]


def test_differences_of_one_batch_join_up_to_fifteen_minutes() -> None:
    """Only what touches, was reported alike and stays short becomes one record."""
    book = Book()
    book.batch(start())
    changes = book.batch(
        *[interim(300 * i, used=100 * i, **OTHERS) for i in range(1, 5)],
        interim(1300, used=1),
    )

    assert [(900, 3), (300, 1), (100, 1)] == [
        (record.seconds, joined)
        for record, joined in zip(changes.usage, changes.joined, strict=True)
    ]
    assert Derived.ESTIMATED is changes.usage[-1].derived


def test_differences_of_two_batches_are_not_joined() -> None:
    """A record that is written stays as it is."""
    book = Book()
    book.batch(interim(300, used=100))

    assert 1 == len(book.batch(interim(600, used=200)).usage)


@given(st.integers(1, 3))
def test_reports_of_one_moment_are_one_session_in_any_batching(batches: int) -> None:
    """A NAS without a clock, or one that catches up, reports hours in one second."""
    now = {"stamp": False, "at": BEGAN}
    reports = [start(**now), interim(600, used=5, **now), stop(900, used=9, **now)]
    book = Book()
    for i in range(batches):
        book.batch(*reports[i * 3 // batches : (i + 1) * 3 // batches])

    assert (9, State.CLOSED) == (book.one().counters.totals[0], book.one().state)


def test_an_id_used_again_at_once_is_a_new_session() -> None:
    """A second Start, later than the first and after the Stop, is another session."""
    book = Book()
    book.batch(start(), stop(5, used=9))
    book.batch(start(at=BEGAN + 8, stamp=False))

    first, second = book.sessions
    assert (State.CLOSED, State.OPEN) == (first.state, second.state)


def test_without_event_timestamp_the_delay_is_taken_off_once() -> None:
    """RFC 2866 section 5.2: a retransmission with a new delay is the same report."""
    book = Book()
    first = interim(600, used=9, stamp=False, at=BEGAN + 600)
    again = interim(600, used=9, stamp=False, at=BEGAN + 607, delay=7)
    book.batch(first)

    assert first.event_at == again.event_at
    assert [] == book.batch(again).usage
