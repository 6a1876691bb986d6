"""What becomes of an answer: read again, expired, invalidated, ordered; and leads."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

import msgspec

from provisioning.refusal import Refusal
from services.actor import Actor
from services.provisioning import Transaction
from services.qualification import Qualification
from storage import holds, qualifications
from storage.qualifications import OpenAnswers

_EXPIRED_AT_ONCE: Final = 500
_TEXT: Final = 500


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
    over = qualifications.expired(connection, transaction.now, _EXPIRED_AT_ONCE)
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


def leave_lead(
    transaction: Transaction,
    actor: Actor,
    id_: str,
    *,
    contact: str,
    wanted: str,
    qualification: str | None = None,
) -> Refusal | None:
    """Keep somebody who wants what cannot be had now, to be called back."""
    for pointer, text in (("/contact", contact), ("/wanted", wanted)):
        if not text.strip() or len(text) > _TEXT:
            reason = f"must have 1 to {_TEXT} characters"
            return Refusal("lead_incomplete", pointer, reason)
    if qualification is not None and find(transaction, qualification, actor) is None:
        reason = "there is no such qualification"
        return Refusal("unknown_qualification", "/qualification", reason)
    row = {
        "id": id_,
        "at": transaction.now,
        "actor": actor.name,
        "qualification_id": qualification,
        "contact": contact,
        "wanted": wanted,
        "state": "open",
        "tenant": actor.isp or actor.tenant,
    }
    qualifications.add_lead(transaction.connection, row)
    return None


def leads(
    transaction: Transaction, actor: Actor, *, state: str = "open", limit: int = 100
) -> list[dict[str, Any]]:
    """List an actor's leads, the oldest first."""
    rows = qualifications.leads(transaction.connection, actor.sees, state, limit)
    return [dict(row._mapping) for row in rows]


def close_lead(transaction: Transaction, actor: Actor, id_: str) -> bool:
    """Say that a lead was called back; False when there is none of the actor's."""
    return qualifications.move_lead(transaction.connection, id_, actor.sees, "closed")
