"""Records that could not be applied, put aside so that those behind them are.

A record that breaks its applier would stop the journal behind it for ever. It is kept
here whole, as the journal had it, with what went wrong, in the transaction that moves
the position past it. Nothing here is deleted by itself: each row is use that nobody
was charged for yet.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from storage.journal import Block
from storage.sessions import write_position
from storage.tables import quarantine

REASON_CHARACTERS = 500


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
            reason=reason.replace("\0", "")[:REASON_CHARACTERS],
            quarantined_at=at,
        )
    )
    write_position(connection, journal, block.first + block.records)


def quarantined(connection: Connection) -> int:
    """How many records are put aside."""
    total = select(func.coalesce(func.sum(quarantine.c.records), 0))
    return int(connection.execute(total).scalar_one())


def newest_quarantined(connection: Connection) -> Row[Any] | None:
    """The record that was put aside last; None when there is none."""
    at = quarantine.c
    newest = select(quarantine).order_by(at.quarantined_at.desc(), at.position.desc())
    return connection.execute(newest.limit(1)).first()
