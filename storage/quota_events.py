"""Quota events: what passed thresholds ask for, and whether it showed.

The ledger writes them in the transaction of the usage that passed a threshold. Whoever
carries them out reads them in order of number and says when it did (``acted``); the
ledger then looks in the service's next usage for the effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, func, insert, select, text, update

from rating.quota import Action, Effect, QuotaEvent, event_of
from storage.rating_tables import DUE, quota_event


class NumberedQuotaEvent(NamedTuple):
    """An event, its number, when it was carried out (epoch seconds) and the effect."""

    number: int
    event: QuotaEvent
    acted_at: int | None
    effect: str | None
    tries: int


def insert_quota_events(connection: Connection, events: Sequence[QuotaEvent]) -> None:
    """Write events in their order."""
    if events:
        connection.execute(insert(quota_event), [_row(event) for event in events])


def quota_events_since(
    connection: Connection, number: int, limit: int, tenant: str | None = None
) -> list[NumberedQuotaEvent]:
    """Give the first events after a number, of one tenant or (None) of all."""
    query = select(quota_event).where(quota_event.c.number > number)
    if tenant is not None:
        query = query.where(quota_event.c.tenant == tenant)
    rows = connection.execute(query.order_by(quota_event.c.number).limit(limit))
    return [_event(row) for row in rows]


def due(connection: Connection, tries: int, limit: int) -> list[NumberedQuotaEvent]:
    """Give the oldest events that ask for something: not carried out yet, or without
    effect and tried less often than ``tries``."""
    columns = quota_event.c
    query = select(quota_event).where(text(DUE), columns.tries < tries)
    rows = connection.execute(query.order_by(columns.number).limit(limit))
    return [_event(row) for row in rows]


def acted(
    connection: Connection, number: int, at: int, effect: Effect | None = None
) -> None:
    """Say that what an event asks for was carried out at a time; ``effect`` where that
    is known at once."""
    own = quota_event.c.number == number
    said = None if effect is None else effect.value
    changed = update(quota_event).where(own)
    connection.execute(
        changed.values(
            acted_at=at,
            effect=said,
            effect_usage_id=None,
            tries=quota_event.c.tries + 1,
        )
    )


def count_events(connection: Connection) -> dict[tuple[str, str, str], int]:
    """Count events by kind, action, and what became of it: ``due``, ``awaited``, or the
    effect; ``told`` for those that ask for nothing."""
    columns = quota_event.c
    became = case(
        (columns.action == Action.NONE.value, "told"),
        (columns.acted_at.is_(None), "due"),
        (columns.effect.is_(None), "awaited"),
        else_=columns.effect,
    )
    query = select(columns.kind, columns.action, became, func.count())
    rows = connection.execute(query.group_by(columns.kind, columns.action, became))
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def awaited(connection: Connection, limit: int) -> list[NumberedQuotaEvent]:
    """Give the oldest events that were carried out and whose effect is not known."""
    columns = quota_event.c
    query = select(quota_event).where(
        columns.acted_at.is_not(None), columns.effect.is_(None)
    )
    rows = connection.execute(query.order_by(columns.number).limit(limit))
    return [_event(row) for row in rows]


def write_effects(
    connection: Connection, effects: Sequence[tuple[int, Effect, int]]
) -> None:
    """Write what usage said of events: number, effect and the usage record's id."""
    if not effects:
        return
    statement = (
        update(quota_event)
        .where(quota_event.c.number == bindparam("which"))
        .values(effect=bindparam("said"), effect_usage_id=bindparam("by"))
    )
    connection.execute(
        statement, [{"which": n, "said": e.value, "by": by} for n, e, by in effects]
    )


def _row(event: QuotaEvent) -> dict[str, Any]:
    return {
        "tenant": event.tenant,
        "service": event.service,
        "holder": event.holder,
        "kind": event.kind.value,
        "action": event.action.value,
        "at": event.at,
        "body": event._asdict(),
    }


def _event(row: Any) -> NumberedQuotaEvent:
    event = event_of(row.body[name] for name in QuotaEvent._fields)
    return NumberedQuotaEvent(row.number, event, row.acted_at, row.effect, row.tries)
