"""The quarantine: what is put aside is kept, and the journal goes on behind it."""

from __future__ import annotations

from storage.database import Database
from storage.journal import Block
from storage.quarantine import (
    RETRIES,
    Place,
    RetryReader,
    ask_again,
    find_quarantined,
    list_quarantined,
    newest_quarantined,
    put_aside,
    put_back,
    quarantined,
)
from storage.sessions import read_positions, write_position


def test_what_is_put_aside_is_kept_whole_and_passed(database: Database) -> None:
    """Octets, reason and time; the position moves in the same transaction."""
    with database.write.begin() as connection:
        put_aside(connection, "radius-0", Block(7, 1, 5, b"a"), reason="x\0y", at=100)
        put_aside(connection, "radius-0", Block(9, 3, 6, b"\0"), reason="z", at=101)
    with database.read.connect() as connection:
        newest = newest_quarantined(connection)
        assert newest is not None

        assert 4 == quarantined(connection)
        assert (9, 3, 6, b"\0", "z", 101) == (
            newest.position,
            newest.records,
            newest.received_at_ns,
            bytes(newest.octets),
            newest.reason,
            newest.quarantined_at,
        )
        assert {"radius-0": 12} == read_positions(connection)


def test_nothing_put_aside_is_nothing(database: Database) -> None:
    """A fresh database has none."""
    with database.read.connect() as connection:
        assert (0, None) == (quarantined(connection), newest_quarantined(connection))


def test_what_is_asked_for_again_is_a_journal_of_its_own(database: Database) -> None:
    """Numbered once, in the order received; one that fails is put back without a
    number, what is applied goes, and the numbers go on behind the position."""
    retries = RetryReader(database)
    with database.write.begin() as connection:
        for first, received, octets in ((7, 6, b"late"), (8, 5, b"early")):
            block = Block(first, 1, received, octets)
            put_aside(connection, "radius-0", block, reason="x", at=100)
        put_aside(connection, "ipserver", Block(1, 1, 4, b"no"), reason="x", at=100)
    early, late = Place("radius-0", 8), Place("radius-0", 7)
    with database.write.begin() as connection:
        assert [early, late] == ask_again(connection)
        assert [] == ask_again(connection)
        assert [] == ask_again(connection, Place("ipserver", 1))

    assert [Block(1, 1, 5, b"early"), Block(2, 1, 6, b"late")] == retries.read(1, 9)
    assert [Block(2, 1, 6, b"late")] == retries.read(2, 9)
    assert [Block(1, 1, 5, b"early")] == retries.read(1, 1)

    with database.write.begin() as connection:
        put_back(connection, Block(1, 1, 5, b"early"), reason="still", at=200)
        write_position(connection, RETRIES, 3)
        # `late` is applied, and still here as after a crash: it is not asked for twice.
        assert [early] == ask_again(connection)
    assert [Block(3, 1, 5, b"early")] == retries.read(3, 9)
    retries.discard(3)
    with database.read.connect() as connection:
        left = [(r.journal, r.reason) for r in list_quarantined(connection, None)]
        assert [("radius-0", "still"), ("ipserver", "x")] == left
        assert find_quarantined(connection, late) is None
