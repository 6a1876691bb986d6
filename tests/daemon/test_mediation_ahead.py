"""Batches that are mediated before the ones in front of them are written."""

from __future__ import annotations

import shutil
import tempfile
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from radius_packets import octets, packet
from rated_site import KEY, NETWORK, NOON, USER
from sqlalchemy import select

from config.network import bodies, network_of
from config.schema import AccountingSettings
from daemon.ledger import Ledger
from daemon.mediation import Mediated, Mediation
from radius.records import Origin, encode_origin
from rating.entry import Source
from services import topups
from services.live_balances import balance_of
from services.periods import close_months
from services.rerated_usage import own_service
from services.rerating import dry_run
from storage import network as feed
from storage.balances import balances_rewritten
from storage.database import SQLITE_FILE, Database, open_database
from storage.entry_queries import EntryFilter, list_entries
from storage.journal import Block
from storage.ledger_proof import prove
from storage.rating_tables import balance
from storage.settlement_tables import entry
from storage.tables import journal_position, session, usage

_ORIGIN = encode_origin(Origin(b"\x7f\x00\x00\x01", 5000, "bng1"))
_LONGEST_AHEAD = 3

_report = st.tuples(
    st.sampled_from("ABC"),
    st.sampled_from([1, 2, 3, 3, 3, 7]),
    st.integers(0, 9),
    st.sampled_from([USER, None]),
    st.sampled_from([None, "100.64.0.9"]),
)
"""Acct-Session-Id, status, ten minutes of its time, user and address."""
_batches = st.lists(st.lists(_report, min_size=1, max_size=6), min_size=1, max_size=8)


def _octets(report: Sequence[Any]) -> bytes:
    session_id, status, step, user, address = report
    if status == 7:
        return packet(step, status=7, event_at=NOON + 600 * step)
    return packet(
        step,
        status=status,
        acct_session_id=session_id,
        event_at=NOON + 600 * step,
        session_seconds=None if status == 1 else 600 * step,
        user_name=user,
        framed_ip_address=address,
        **({} if status == 1 else octets("output", step * 10**9)),
    )


def _blocks(batches: Sequence[Sequence[Any]]) -> list[list[Block]]:
    position, made = 1, []
    for batch in batches:
        own = b"".join(_ORIGIN + _octets(report) for report in batch)
        made.append([Block(position, len(batch), (NOON + 7200) * 10**9, own)])
        position += len(batch)
    return made


def _tables(database: Database) -> list[Any]:
    with database.read.connect() as connection:
        return [
            connection.execute(select(table).order_by(*table.primary_key)).all()
            for table in (session, usage, entry, balance, journal_position)
        ]


class _Ahead:
    """A ledger that books as late as it may: when it must, or when enough waits."""

    def __init__(self, database: Database) -> None:
        self.waiting: deque[Mediated] = deque()
        self.waits = 0
        self.mediation = Mediation(database, AccountingSettings(), KEY, self._written)
        self.ledger = Ledger(database, AccountingSettings(), KEY, self.mediation)
        self.ledger.know(bodies(NETWORK))

    def _written(self, number: int) -> None:
        self.waits += 1
        while self.waiting and self.waiting[0].number <= number:
            self.ledger.book(self.waiting.popleft())

    def apply(self, blocks: Sequence[Block], ahead: int) -> None:
        self.waiting.append(self.mediation.mediate("r-0", blocks[0].first, blocks))
        while len(self.waiting) > ahead:
            self.ledger.book(self.waiting.popleft())


def _database(template: Path, folder: str) -> Database:
    shutil.copy(template, Path(folder) / SQLITE_FILE)
    return open_database("sqlite", folder)


_ahead = st.tuples(st.integers(0, _LONGEST_AHEAD), st.sampled_from([0, 0, 1]))
"""How many batches may wait, and how often another then says it wrote balances."""


@given(_batches, st.lists(_ahead, min_size=8, max_size=8))
def test_what_is_written_does_not_depend_on_how_far_ahead_it_was_mediated(
    sqlite_template: Path, batches: list[list[Any]], ahead: list[tuple[int, int]]
) -> None:
    """Sessions, usage, balances, entries and position are those of one batch after the
    other: whatever began, ended, said more, came late or restarted in between, and
    whoever else wrote balances."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        first, second = (
            _database(sqlite_template, one),
            _database(sqlite_template, other),
        )
        ledger = Ledger(first, AccountingSettings(), KEY)
        ledger.know(bodies(NETWORK))
        early = _Ahead(second)
        for blocks, (how_far, others) in zip(_blocks(batches), ahead, strict=False):
            ledger.apply("r-0", blocks)
            early.apply(blocks, how_far)
            for _ in range(others):
                with second.write.begin() as connection:
                    balances_rewritten(connection)
        ledger.apply("r-0", _last(batches))
        early.apply(_last(batches), 0)
        assert _tables(first) == _tables(second)
        first.close()
        second.close()


def _last(batches: Sequence[Sequence[Any]]) -> list[Block]:
    position = 1 + sum(map(len, batches))
    stop = _ORIGIN + _octets(("A", 2, 9, USER, None))
    return [Block(position, 1, (NOON + 7200) * 10**9, stop)]


def test_only_a_session_that_is_ahead_and_has_to_be_read_is_waited_for(
    sqlite_template: Path,
) -> None:
    """New sessions, and those whose reports say nothing new, go ahead."""
    with tempfile.TemporaryDirectory() as folder:
        database = _database(sqlite_template, folder)
        early = _Ahead(database)
        start = [("A", 1, 0, USER, None)]
        same, more = [("A", 3, 1, USER, None)], [("A", 3, 2, USER, "100.64.0.9")]
        blocks = _blocks([start, same, [("B", 1, 0, USER, None)], same, more])
        for batch, waits in zip(blocks, (0, 0, 0, 0, 1), strict=True):
            early.apply(batch, 4)
            assert waits == early.waits
        database.close()


def test_a_session_without_a_service_is_guided_by_the_next_network(
    sqlite_template: Path,
) -> None:
    """Though what is known of it is in a batch that was not written yet."""
    with tempfile.TemporaryDirectory() as folder:
        database = _database(sqlite_template, folder)
        early = _Ahead(database)
        early.ledger.know({})
        begun, used = _blocks([[("A", 1, 0, USER, None)], [("A", 3, 1, USER, None)]])
        early.apply(begun, 4)
        objects = bodies(NETWORK)
        early.mediation.know(network_of(objects), objects)
        early.apply(used, 0)
        with database.read.connect() as connection:
            assert ["aurora-101"] == list(connection.scalars(select(session.c.service)))
        database.close()


def test_use_that_was_rated_ahead_is_rated_again_when_a_topup_came_first(
    sqlite_template: Path,
) -> None:
    """What was bought counts for all of the period, as if it had been there before."""
    with tempfile.TemporaryDirectory() as folder:
        database = _database(sqlite_template, folder)
        early = _Ahead(database)
        begun, *used = _blocks([[("A", 3, n, USER, None)] for n in range(1, 5)])
        early.apply(begun, 0)
        for blocks in used:
            early.apply(blocks, 4)
        assert 3 == len(early.waiting)
        with database.write.begin() as connection:
            at = NOON + 600
            wanted = "aurora-101", "100 GB more"
            assert topups.buy(connection, NETWORK, *wanted, at=at, now=at)
        early.apply(_last([[None]] * 4), 0)
        assert [] == dry_run(database, NETWORK, own_service, "2026-11").differences()
        with database.read.connect() as connection:
            assert [] == list(prove(connection).problems)
            live = balance_of(connection, NETWORK, "aurora-101", at)
        assert live is not None
        (bucket,) = live.buckets
        assert 9 * 10**9 == bucket.granted - bucket.remaining
        assert 100 * 10**9 == bucket.topped_up
        database.close()


def test_a_change_of_offering_holds_from_its_second_on_however_far_ahead_it_is_rated(
    sqlite_template: Path,
) -> None:
    """It is made while batches wait, a top-up has them rated again, and the network is
    known only behind the next ones: each use is by the offering of when it ended."""
    with tempfile.TemporaryDirectory() as folder:
        database = _database(sqlite_template, folder)
        early = _Ahead(database)
        other = msgspec.structs.replace(
            NETWORK,
            service=tuple(
                msgspec.structs.replace(one, offering="start-500")
                if one.name == "aurora-101"
                else one
                for one in NETWORK.service
            ),
        )
        new, was = (bodies(each)["service", "aurora-101"] for each in (NETWORK, other))
        begun, *used = _blocks([[("A", 3, n, USER, None)] for n in range(1, 7)])
        with database.write.begin() as connection:
            feed.apply(
                connection, [feed.Change("add", "service", "aurora-101", was)], NOON
            )
        early.ledger.know(bodies(other))
        early.apply(begun, 0)
        for blocks in used[:2]:
            early.apply(blocks, 4)
        change = feed.Change("modify", "service", "aurora-101", new)
        with database.write.begin() as connection:
            feed.apply(connection, [change], NOON + 1800)
            balances_rewritten(connection)
        for blocks in used[2:4]:
            early.apply(blocks, 4)
        early.ledger.know(bodies(NETWORK))
        early.apply(used[4], 0)
        assert [] == dry_run(database, NETWORK, own_service, "2026-11").differences()
        with database.read.connect() as connection:
            lives = [
                balance_of(connection, network, "aurora-101", NOON)
                for network in (other, NETWORK)
            ]
        used_up = [
            b.granted - b.remaining for live in lives if live for b in live.buckets
        ]
        assert [3 * 10**9, 3 * 10**9] == used_up
        database.close()


def test_use_that_was_rated_ahead_of_a_closing_is_booked_behind_it(
    sqlite_template: Path,
) -> None:
    """Nothing comes into a month once it is closed."""
    with tempfile.TemporaryDirectory() as folder:
        database = _database(sqlite_template, folder)
        early = _Ahead(database)
        begun, used = _blocks([[("A", 3, 1, USER, None)], [("A", 3, 2, USER, None)]])
        early.apply(begun, 0)
        early.apply(used, 4)
        closed = close_months(database, NETWORK, "2026-11", NOON + 30 * 86_400)
        assert [None] == [closing.refusal for closing in closed]
        early.apply(_last([[None]] * 2), 0)
        with database.read.connect() as connection:
            late = [
                (e.book.month, e.posting.late_from)
                for e, _ in list_entries(connection, EntryFilter())
                if e.book.source == Source.USAGE
            ]
        assert {("2026-11", None), ("2026-12", "2026-11")} == set(late)
        assert 2 == late.count(("2026-12", "2026-11"))
        database.close()
