"""Entries taken back by hand: once, with the reason, and only what has no other way."""

from __future__ import annotations

from pathlib import Path

from settlement_network import DECEMBER, NOVEMBER, ZONES, charge, network

from rating.posting import Poster, detail_of
from services.corrections import Correction, Refusal, take_back
from services.explanation import explain
from services.packets_behind import Journals
from services.periods import close_months, levy_month
from storage.database import Database
from storage.entries import lock_head, post, read_closed
from storage.entry_queries import EntryFilter, balances
from storage.ledger_proof import prove


def book(database: Database) -> None:
    """A fee (entry 1), metered use (2) and network usage (3)."""
    with database.write.begin() as connection:
        poster = Poster(ZONES, read_closed(connection))
        poster.fees("aurora", [charge(4000, usage_id=None)])
        poster.bsp_usage("aurora", "filmhouse", [charge(1000, tariff="films")])
        poster.usage("aurora", [charge(500)], [])
        post(connection, lock_head(connection), poster.take(), NOVEMBER)


def sums(database: Database) -> tuple[int, ...]:
    """The five legs of everything, in a ledger that is whole."""
    with database.read.connect() as connection:
        assert [] == prove(connection).problems
        found = balances(connection, EntryFilter())
    return tuple(map(sum, zip(*(b.amounts for b in found), strict=True)))


def test_what_is_taken_back_restores_and_its_tax_follows(
    database: Database, tmp_path: Path
) -> None:
    """A fee and metered use are undone, in the next month where theirs is closed, with
    the tax and commissions on them; why stays in the entry."""
    book(database)
    levy_month(database, network(), "2026-11", NOVEMBER)
    close_months(database, network(), "2026-11", DECEMBER)
    before = sums(database)
    dry = take_back(database, 1, "charged twice", DECEMBER, dry_run=True)
    assert isinstance(dry, Correction)
    assert before == sums(database)
    for number in (1, 2):
        done = take_back(database, number, "charged twice", DECEMBER)
        assert isinstance(done, Correction)
        assert (number, "2026-11") == (
            done.undo.posting.reverses,
            done.undo.posting.late_from,
        )
    levy_month(database, network(), "2026-12", DECEMBER)
    assert (-625, 500, 0, 0, 125) == sums(database)  # the usage alone
    with database.read.connect() as connection:
        found = explain(connection, network(), Journals(tmp_path, 300), done.undo.id)
    assert found is not None
    detail = detail_of(found.entry.posting.detail)
    assert ("charged twice", 1) == (detail.reason, len(detail.lines))


def test_what_cannot_be_taken_back_is_refused_with_a_code(database: Database) -> None:
    """Twice, a reversal, what is not there, and what has a way of its own."""
    book(database)
    levy_month(database, network(), "2026-11", NOVEMBER)
    done = take_back(database, 1, "why", NOVEMBER)
    assert isinstance(done, Correction)
    before = sums(database)
    assert [
        Refusal.REVERSED,
        Refusal.REVERSAL,
        Refusal.UNKNOWN,
        Refusal.RATED,
        Refusal.LEVIED,
    ] == [
        take_back(database, number, "why", NOVEMBER)
        for number in (1, done.undo.id, 999, 3, 4)
    ]
    assert before == sums(database)
