"""The ledger: entries that balance, blocks that sum, a chain that shows a change."""

from __future__ import annotations

from typing import Any

import pytest
from settlement_network import NOVEMBER, ZONES, charge
from sqlalchemy import select, text

from rating.entry import Book, Posting, UnbalancedError, reversal
from rating.posting import Poster, detail_of
from storage.database import Database, StorageError, migrate
from storage.entries import BookIds, close_month, lock_head, post, read_closed
from storage.entry_queries import (
    EntryFilter,
    balances,
    entries_of_book,
    find_entry,
    list_entries,
    reversed_by,
)
from storage.ledger_proof import prove
from storage.schema import upgrade
from storage.settlement_tables import block, entry

POSTED = NOVEMBER + 1000


def book_usage(database: Database, *rated: Any, books: BookIds | None = None) -> None:
    """Post (tenant, retail amount, wholesale amount, usage id) of one batch."""
    with database.write.begin() as connection:
        head = lock_head(connection)
        poster = Poster(ZONES, read_closed(connection))
        for tenant, amount, owed, usage_id in rated:
            poster.usage(
                tenant,
                [charge(amount, usage_id=usage_id)],
                [charge(owed, tariff="wholesale", usage_id=usage_id)],
            )
        post(connection, head, poster.take(), POSTED, books)


def listed(database: Database, **wanted: Any) -> list[tuple[Any, ...]]:
    """Entries as (id, tenant, five legs, source id)."""
    with database.read.connect() as connection:
        return [
            (e.id, e.book.tenant, e.posting[1:6], e.posting.source_id)
            for e, _ in list_entries(connection, EntryFilter(**wanted))
        ]


def test_a_usage_record_is_one_entry_with_everyone_s_legs(database: Database) -> None:
    """The subscriber owes the ISP, the ISP owes the Network Provider, and it sums."""
    book_usage(database, ("aurora", 1234, 321, 7))
    with database.read.connect() as connection:
        found = find_entry(connection, 1)
        legs = connection.execute(
            text("SELECT account, owner, amount FROM leg ORDER BY account")
        ).all()
    assert found is not None
    stored, posted_at = found
    assert (-1234, 913, 0, 321, 0) == stored.posting[1:6]
    assert (POSTED, "2026-11", 7) == (
        posted_at,
        stored.book.month,
        stored.posting.source_id,
    )
    detail = detail_of(stored.posting.detail)
    assert [1234] == [line.amount for line in detail.lines]
    assert [321] == [line.amount for line in detail.wholesale]
    assert [
        ("isp", "aurora", 913),
        ("network", "network", 321),
        ("subscriber", "aurora-101", -1234),
    ] == [tuple(leg) for leg in legs]


def test_use_that_costs_nobody_anything_makes_no_entry(database: Database) -> None:
    """An allowance that covers it moves no money."""
    book_usage(database, ("aurora", 0, 0, 1))
    assert [] == listed(database)


def test_each_tenant_sees_its_own_and_no_other_s(database: Database) -> None:
    """Entries are listed by tenant, month and source; the newest with a limit."""
    for number in range(1, 4):
        book_usage(database, ("borealis", number, 1, number), ("aurora", 5, 1, 10))
    assert [(1, 3, 5)] == [tuple(i for i, *_ in listed(database, tenant="borealis"))]
    assert [] == listed(database, tenant="borealis", month="2026-12")
    assert [3] == [i for i, *_ in listed(database, source="usage", source_id=2)]
    assert [5, 6] == [i for i, *_ in listed(database, limit=2)]


def test_balances_are_the_sums_of_entries(database: Database) -> None:
    """A balance by book comes from the blocks, and its entries can be read."""
    books = BookIds()
    for number in range(1, 6):
        book_usage(database, ("aurora", number, 1, number), books=books)
    with database.read.connect() as connection:
        (balance,) = balances(connection, EntryFilter(tenant="aurora"))
        entries = list(entries_of_book(connection, balance, 4))
    assert (5, 5, (-15, 10, 0, 5, 0)) == (
        balance.entries,
        balance.last_entry_id,
        balance.amounts,
    )
    assert [1, 2, 3, 4] == [e.id for e, _ in entries]


def test_legs_that_do_not_sum_to_zero_are_never_written(database: Database) -> None:
    """Neither by us, who check first, nor by whoever writes SQL: the database does."""
    book = Book("aurora", "UTC", "2026-11", *["x"] * 7, "", "")
    wrong = Posting("s", -2, 1, 0, 0, 0, NOVEMBER, None, None, None, None)
    with pytest.raises(UnbalancedError), database.write.begin() as connection:
        post(connection, lock_head(connection), {book: [wrong]}, POSTED)
    right = wrong._replace(isp_amount=2)
    row = dict(zip(entry.c.keys(), (9, 1, *right), strict=True)) | {"isp_amount": 1}
    with pytest.raises(StorageError), database.write.begin() as connection:
        connection.execute(entry.insert().values(**row))
    assert [] == listed(database)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET at = 0",
        "DELETE FROM entry",
        "UPDATE block SET book_id = 2",
        "DELETE FROM ledger_batch",
        "UPDATE book SET month = '2026-12'",
    ],
)
def test_what_is_written_cannot_be_changed(database: Database, statement: str) -> None:
    """The tables of the ledger refuse every update and deletion."""
    book_usage(database, ("aurora", 1, 1, 1))
    with (
        pytest.raises(StorageError, match="append-only"),
        database.write.begin() as connection,
    ):
        connection.execute(text(statement))


def test_a_reversal_restores_and_comes_once(database: Database) -> None:
    """An entry and its reversal sum to zero; a second reversal is refused."""
    book_usage(database, ("aurora", 1234, 321, 7))
    with database.read.connect() as connection:
        found = find_entry(connection, 1)
    assert found is not None
    undone, posting = reversal(found[0], "2026-11")
    with database.write.begin() as connection:
        post(connection, lock_head(connection), {undone: [posting]}, POSTED)
    with database.read.connect() as connection:
        (balance,) = balances(connection, EntryFilter())
        assert (0, 0, 0, 0, 0) == balance.amounts
        assert 2 == reversed_by(connection, 1)
        assert [] == prove(connection).problems
    with pytest.raises(StorageError), database.write.begin() as connection:
        post(connection, lock_head(connection), {undone: [posting]}, POSTED)


def test_what_comes_late_is_booked_in_the_next_month_and_marked(
    database: Database,
) -> None:
    """A closed month takes nothing more; another ISP's is not concerned."""
    with database.write.begin() as connection:
        close_month(connection, "aurora", "Europe/Oslo", "2026-11", POSTED)
    book_usage(database, ("aurora", 1, 1, 1), ("borealis", 2, 1, 2))
    with database.read.connect() as connection:
        found = {
            e.book.tenant: (e.book.month, e.posting.late_from)
            for e, _ in list_entries(connection, EntryFilter())
        }
    assert {"aurora": ("2026-12", "2026-11"), "borealis": ("2026-11", None)} == found


def test_a_ledger_that_was_not_touched_is_proved(database: Database) -> None:
    """Every entry is read, and the last digest is the head's."""
    books = BookIds()
    for number in range(1, 9):
        book_usage(
            database,
            ("aurora", number, 1, number),
            ("borealis", 2, 2, number),
            books=books,
        )
    with database.read.connect() as connection:
        proof = prove(connection)
        head = lock_head(connection) if not database.is_postgresql else None
    assert ([], 16, 8) == (proof.problems, proof.entries, proof.batches)
    if head is not None:
        assert head.digest == proof.digest


_TAMPERED = {
    "UPDATE entry SET subscriber_amount = -3, isp_amount = 3 WHERE id = 2": "batch 2",
    "UPDATE entry SET detail = '' WHERE id = 2": "batch 2: entries 2 to 2 are not what",
    "DELETE FROM entry WHERE id = 2": "entry 2: missing",
    "DELETE FROM ledger_batch WHERE id = 3": "the head is at entry 3",
    "UPDATE book SET tenant = 'borealis' WHERE id = 1": "batch 1",
    "UPDATE ledger_batch SET posted_at = 1 WHERE id = 1": "batch 1",
    "UPDATE block SET subscriber_amount = -9, isp_amount = 9 "
    "WHERE first_entry_id = 1": "block of entry 1: its sums",
    "UPDATE ledger_head SET book_id = 0": "the head is at book 0, the books end at 1",
}


_FALSE_CLOSINGS = {
    "DELETE FROM closing WHERE tenant = 'aurora'": "batch 2: the closing of a month",
    "DELETE FROM closing WHERE tenant = 'borealis'": "batch 4: the closing of a month",
    "UPDATE closing SET month = '2026-12' WHERE tenant = 'aurora'": (
        "batch 2: the closing of 2026-12 of aurora in Europe/Oslo is not what was"
    ),
    "UPDATE closing SET closed_at = 1 WHERE tenant = 'borealis'": "batch 4: the clos",
    "INSERT INTO closing VALUES ('aurora', 'UTC', '2027-01', 1, 1, 2)": "batch 2: the",
    "INSERT INTO closing VALUES ('aurora', 'UTC', '2027-01', 1, 1, 9)": (
        "2 months were closed: 2 are in the chain, and there are 3"
    ),
    "INSERT INTO closing VALUES ('aurora', 'UTC', '2027-01', 1, 1, NULL)": (
        "2 months were closed: 2 are in the chain, and there are 3"
    ),
}


@pytest.mark.parametrize("statement", list(_FALSE_CLOSINGS))
def test_a_closing_that_was_changed_behind_our_back_is_found(
    database: Database, statement: str
) -> None:
    """Deleted, changed or added: what a month may still take depends on it. A closing
    is in the chain at its place, the last one as well."""
    book_usage(database, ("aurora", 1, 0, 1))
    for tenant in ("aurora", "borealis"):
        with database.write.begin() as connection:
            close_month(connection, tenant, "Europe/Oslo", "2026-11", POSTED)
        if tenant == "aurora":
            book_usage(database, ("aurora", 2, 0, 2))
    with database.read.connect() as connection:
        proof = prove(connection)
        [(first, posted_at), *_] = list_entries(connection, EntryFilter())
    assert ([], 2, 4) == (proof.problems, proof.entries, proof.batches)
    assert (1, POSTED) == (first.id, posted_at)
    behind_our_back(database, statement)
    with database.read.connect() as connection:
        problems = prove(connection).problems
    wanted = _FALSE_CLOSINGS[statement]
    assert any(wanted in problem for problem in problems), problems


def test_months_that_were_closed_before_closings_were_chained_are_proved_together(
    empty_database: Database,
) -> None:
    """A database of then is chained from its migration on: whole, with all of its old
    closings, and with what is closed later; none can be taken away."""
    database = empty_database
    upgrade(database, "0019")
    with database.write.begin() as connection:
        for place, tenant in enumerate(("borealis", "aurora")):
            row = f"'{tenant}', 'UTC', '2026-10', {POSTED + place}, 0"
            connection.execute(text(f"INSERT INTO closing VALUES ({row})"))
        connection.execute(text("UPDATE ledger_head SET closings = 2"))
    migrate(database)
    book_usage(database, ("aurora", 1, 0, 1))
    with database.write.begin() as connection:
        close_month(connection, "aurora", "UTC", "2026-11", POSTED)
    with database.read.connect() as connection:
        assert ([], 3) == prove(connection)[3:0:-2]
    behind_our_back(database, "DELETE FROM closing WHERE tenant = 'borealis'")
    with database.read.connect() as connection:
        problems = prove(connection).problems
    assert problems[0].startswith("batch 1: the closing of 2026-10 of aurora in UTC")


def behind_our_back(database: Database, statement: str) -> None:
    """Do what the triggers of append-only tables refuse."""
    words = statement.split()
    table = words[1 if words[0] == "UPDATE" else 2]
    with database.write.begin() as connection:
        if database.is_postgresql:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        elif words[0] != "INSERT":
            connection.execute(
                text(f"DROP TRIGGER IF EXISTS {table}_no_{words[0].lower()}")
            )
        connection.execute(text(statement))


@pytest.mark.parametrize("statement", list(_TAMPERED))
def test_whatever_was_changed_behind_our_back_is_found(
    database: Database, statement: str
) -> None:
    """An amount, a text, a deletion, a book: the proof names where."""
    for number in range(1, 4):
        book_usage(database, ("aurora", number, 0, number))
    behind_our_back(database, statement)
    with database.read.connect() as connection:
        problems = prove(connection).problems
    assert any(_TAMPERED[statement] in problem for problem in problems), problems


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        ("UPDATE entry SET tax_amount = 'none' WHERE id = 2", "batch 2: "),
        ("UPDATE ledger_batch SET digest = 'none' WHERE id = 2", "batch 2: "),
        ("UPDATE ledger_batch SET last_entry_id = 'x' WHERE id = 2", "batch 2: "),
        ("UPDATE ledger_head SET digest = 'none'", "the head is at entry 3"),
    ],
)
def test_what_is_of_another_type_is_a_problem_and_no_error(
    database: Database, statement: str, wanted: str
) -> None:
    """SQLite takes a text for a number; whoever proves the ledger is told where."""
    if database.is_postgresql:
        pytest.skip("PostgreSQL refuses it")
    for number in range(1, 4):
        book_usage(database, ("aurora", number, 0, number))
    behind_our_back(database, statement)
    with database.read.connect() as connection:
        problems = prove(connection).problems
    assert any(problem.startswith(wanted) for problem in problems), problems


@pytest.mark.parametrize("first", [-7, 0, 4])
def test_a_block_without_entries_is_found(database: Database, first: int) -> None:
    """Summaries and balances add up blocks: a false one would be money."""
    book_usage(database, *(("aurora", number, 0, number) for number in range(1, 4)))
    columns = ", ".join(column.name for column in block.c)
    others = columns.replace("first_entry_id", str(first), 1)
    with database.write.begin() as connection:
        connection.execute(
            text(f"INSERT INTO block ({columns}) SELECT {others} FROM block")
        )
    with database.read.connect() as connection:
        found = prove(connection).problems
    assert [f"block of entry {first}: it is in no batch"] == found


def test_a_transaction_that_failed_leaves_no_gap(database: Database) -> None:
    """Numbers go on behind the last entry that was committed."""
    book_usage(database, ("aurora", 1, 1, 1))
    with database.write.connect() as connection:
        poster = Poster(ZONES, {})
        poster.usage("aurora", [charge(1)], [])
        post(connection, lock_head(connection), poster.take(), POSTED)
        connection.rollback()
    book_usage(database, ("aurora", 2, 1, 2))
    with database.read.connect() as connection:
        assert [] == prove(connection).problems
        assert [1, 2] == list(connection.execute(select(entry.c.id)).scalars())
