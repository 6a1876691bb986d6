"""What a client's idempotency key stands for, and the answer it was given.

A claim that was never answered (the process died in between) is open to the next
asker after ``ABANDONED_SECONDS``; keys are kept for ``KEPT_SECONDS``.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from storage.control_plane_tables import idempotency_key
from storage.database import Database

ABANDONED_SECONDS: Final = 60
KEPT_SECONDS: Final = 86_400


class Claim(Enum):
    """What became of an attempt to use a key."""

    NEW = auto()
    IN_PROGRESS = auto()
    CONFLICT = auto()


class Answer(NamedTuple):
    """The HTTP status and the JSON that a key was answered with."""

    status: int
    body: bytes


def claim(
    database: Database,
    client_id: str,
    key: str,
    operation: str,
    body_sha256: bytes,
    now: int,
) -> Claim | Answer:
    """Claim a key for an operation on a body, or give what it has been answered."""
    table = idempotency_key.c
    with database.write.begin() as connection:
        connection.execute(
            delete(idempotency_key).where(
                (table.at <= now - KEPT_SECONDS)
                | ((table.at <= now - ABANDONED_SECONDS) & table.status.is_(None))
            )
        )
        row = connection.execute(
            select(idempotency_key).where(*_is(client_id, key))
        ).first()
        if row is None:
            connection.execute(
                insert(idempotency_key).values(
                    client_id=client_id,
                    key=key,
                    operation=operation,
                    body_sha256=body_sha256,
                    at=now,
                )
            )
            return Claim.NEW
    if row.operation != operation or bytes(row.body_sha256) != body_sha256:
        return Claim.CONFLICT
    if row.status is None:
        return Claim.IN_PROGRESS
    return Answer(row.status, bytes(row.answer))


def answer(database: Database, client_id: str, key: str, given: Answer) -> None:
    """Keep the answer of a claimed key."""
    with database.write.begin() as connection:
        answer_in(connection, client_id, key, given)


def answer_in(connection: Connection, client_id: str, key: str, given: Answer) -> bool:
    """Keep the answer of a claimed key in the transaction of its work; False when it
    has one already, or was given back."""
    unanswered = idempotency_key.c.status.is_(None)
    kept = connection.execute(
        update(idempotency_key)
        .where(*_is(client_id, key), unanswered)
        .values(status=given.status, answer=given.body)
    )
    return kept.rowcount == 1


def forget(database: Database, client_id: str, key: str) -> None:
    """Give a key back whose work was not done."""
    unanswered = idempotency_key.c.status.is_(None)
    with database.write.begin() as connection:
        connection.execute(
            delete(idempotency_key).where(*_is(client_id, key), unanswered)
        )


def _is(client_id: str, key: str) -> tuple[ColumnElement[bool], ...]:
    table = idempotency_key.c
    return table.client_id == client_id, table.key == key
