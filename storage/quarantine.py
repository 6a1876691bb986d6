"""Records that could not be applied, put aside so that those behind them are.

A record that breaks its applier would stop the journal behind it for ever. It is kept
here whole, as the journal had it, with what went wrong, in the transaction that moves
the position past it. Nothing here is deleted by itself: each row is use that nobody
was charged for yet.

After a fix a record can be applied again. Those that someone asks for are numbered, and
so are a journal of their own, ``RETRIES``: its position moves in the transaction that
applies a record, so that no crash applies one twice, and what is behind the position is
deleted later. One that fails again is put back, without a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from storage.database import Database
from storage.journal import Block
from storage.sessions import read_positions, write_position
from storage.tables import quarantine

REASON_CHARACTERS = 500

RETRIES = "radius-retries"
"""The journal of what is applied again, named like those of the packets' receivers.

Only packets are: they carry their own time, so one that is applied late changes nothing
that came after it. Records of leases are told by their order alone.
"""

_PACKETS = quarantine.c.journal.startswith("radius-")


class Place(NamedTuple):
    """Where a record was when it was put aside: its journal, and its position there."""

    journal: str
    position: int


def put_aside(
    connection: Connection, journal: str, block: Block, *, reason: str, at: int
) -> None:
    """Keep a block that cannot be applied, at ``at`` (seconds), and go on behind it."""
    connection.execute(
        insert(quarantine).values(
            journal=journal,
            position=block.first,
            records=block.records,
            received_at_ns=block.received_at_ns,
            octets=block.octets,
            reason=_kept(reason),
            quarantined_at=at,
        )
    )
    write_position(connection, journal, block.first + block.records)


def put_back(connection: Connection, block: Block, *, reason: str, at: int) -> None:
    """Keep a block of ``RETRIES`` that cannot be applied yet, and go on behind it."""
    connection.execute(
        update(quarantine)
        .where(quarantine.c.retry_position == block.first)
        .values(retry_position=None, reason=_kept(reason), quarantined_at=at)
    )
    write_position(connection, RETRIES, block.first + block.records)


def _kept(reason: str) -> str:
    """Give what is kept of a reason; PostgreSQL takes no NUL."""
    return reason.replace("\0", "")[:REASON_CHARACTERS]


def ask_again(connection: Connection, place: Place | None = None) -> list[Place]:
    """Number the record at ``place``, or all, to be applied again; give which they are.

    In the order in which they were received. A record that is numbered already keeps
    its number, and what is no packet gets none. Two who ask at once cannot give out
    the same number: one of them gets an IntegrityError.
    """
    at = quarantine.c
    wanted = select(at.journal, at.position).where(at.retry_position.is_(None))
    wanted = wanted.where(_PACKETS).order_by(at.received_at_ns, at.journal, at.position)
    if place is not None:
        wanted = wanted.where(at.journal == place.journal)
        wanted = wanted.where(at.position == place.position)
    places = [Place(*row) for row in connection.execute(wanted)]
    if not places:
        return []
    behind = connection.execute(select(func.max(at.retry_position))).scalar() or 0
    first = max(read_positions(connection).get(RETRIES, 1), behind + 1)
    connection.execute(
        update(quarantine)
        .where(at.journal == bindparam("its_journal"))
        .where(at.position == bindparam("its_position"))
        .values(retry_position=bindparam("number")),
        [
            {"its_journal": journal, "its_position": position, "number": number}
            for number, (journal, position) in enumerate(places, first)
        ],
    )
    return places


class RetryReader:
    """Reads ``RETRIES``, as a JournalReader reads a journal in a folder."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, position: int, limit: int) -> list[Block]:
        """Give the records from ``position`` on, ``limit`` at the most."""
        row = quarantine.c
        wanted = select(row.retry_position, row.records, row.received_at_ns, row.octets)
        wanted = wanted.where(row.retry_position >= position)
        wanted = wanted.order_by(row.retry_position).limit(limit)
        with self._database.read.connect() as connection:
            found = connection.execute(wanted).all()
        return [Block(first, n, at, bytes(octets)) for first, n, at, octets in found]

    def discard(self, position: int) -> None:
        """Delete what is applied: all in front of ``position``."""
        applied = quarantine.c.retry_position < position
        with self._database.read.connect() as connection:
            any_ = connection.execute(select(applied).where(applied).limit(1)).first()
        if any_:
            with self._database.write.begin() as connection:
                connection.execute(delete(quarantine).where(applied))


def quarantined(connection: Connection) -> int:
    """How many records are put aside."""
    total = select(func.coalesce(func.sum(quarantine.c.records), 0))
    return int(connection.execute(total).scalar_one())


def list_quarantined(connection: Connection, limit: int | None) -> Sequence[Row[Any]]:
    """List what is put aside, without octets; what was received last is first."""
    at = quarantine.c
    newest = select(*(c for c in at if c is not at.octets))
    newest = newest.order_by(at.received_at_ns.desc(), at.position.desc())
    return connection.execute(newest.limit(limit)).all()


def find_quarantined(connection: Connection, place: Place) -> Row[Any] | None:
    """Give the record that was put aside at ``place``; None when none is there."""
    at = quarantine.c
    return connection.execute(
        select(quarantine)
        .where(at.journal == place.journal)
        .where(at.position == place.position)
    ).first()


def newest_quarantined(connection: Connection) -> Row[Any] | None:
    """The record that was put aside last; None when there is none."""
    at = quarantine.c
    newest = select(quarantine).order_by(at.quarantined_at.desc(), at.position.desc())
    return connection.execute(newest.limit(1)).first()
