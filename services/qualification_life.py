"""What becomes of an answer: read again, expired, invalidated, ordered."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

import msgspec

from services.actor import Actor
from services.provisioning import Transaction
from services.qualification import Qualification
from storage import holds, qualifications
from storage.qualifications import OpenAnswers

EXPIRED_AT_ONCE: Final = 128
"""Answers whose time is over that one transaction ends: as long as a batch of questions
takes, which wait for it."""


def find(
    transaction: Transaction, id_: str, actor: Actor
) -> tuple[Qualification, str] | None:
    """Give an answer as it was told, and its state now; None for a stranger's."""
    row = qualifications.find(transaction.connection, id_, actor.sees)
    if row is None:
        return None
    return msgspec.json.decode(row.body, type=Qualification), row.state


def expire(transaction: Transaction) -> int:
    """Release what answers hold whose time is over; how many they were."""
    connection = transaction.connection
    over = qualifications.expired(connection, transaction.now, EXPIRED_AT_ONCE)
    end(transaction, over, "expired")
    return len(over)


def end(transaction: Transaction, ids: list[str], state: str) -> None:
    """End green answers and release what they hold."""
    connection = transaction.connection
    if ids:
        qualifications.close(connection, ids, state)
        holds.change(connection, gone=holds.holds_of(connection, ids))
        transaction.look_again()


def invalidate(
    transaction: Transaction, places: list[str], ordered: Container[str | None]
) -> None:
    """End the green answers for places that are ordered; ``ordered`` are those that the
    order names."""
    answers = transaction.together(OpenAnswers)
    known = [one.id for place in places for one in answers.find(place) or ()]
    end(transaction, [one for one in known if one not in ordered], "invalidated")
    end(transaction, [one for one in known if one in ordered], "ordered")
