"""The quarantine: what is put aside is kept, and the journal goes on behind it."""

from __future__ import annotations

from storage.database import Database
from storage.journal import Block
from storage.quarantine import newest_quarantined, put_aside, quarantined
from storage.sessions import read_positions


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
