"""The outbox: what happened, written in the transaction in which it happened.

Numbers are drawn under the network's lock, so who has read up to a number has missed
nothing below it; webhooks, MQTT and the replayable cursor of REST read the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, func, select

from storage import at_once
from storage.provisioning_tables import outbox_event


class Event(NamedTuple):
    """One piece of news: whom it is for, TM Forum's event type, and what it tells.

    ``subject`` is the id of what it is about; ``line`` the line whose news is told in
    order, or None.
    """

    tenant: str
    type: str
    subject: str
    line: str | None
    body: Mapping[str, Any]


class NumberedEvent(NamedTuple):
    """An event with its number and when it was written, in epoch seconds."""

    number: int
    at: int
    event: Event


def publish(connection: Connection, events: Iterable[Event], now: int) -> None:
    """Write events; the caller holds the network's lock."""
    rows = [
        {**event._asdict(), "body": dict(event.body), "at": now} for event in events
    ]
    at_once.insert(connection, outbox_event, rows)


def events_since(
    connection: Connection, number: int, limit: int, tenant: str | None = None
) -> list[NumberedEvent]:
    """Give the first events after a number, of one tenant or (None) of all."""
    table = outbox_event.c
    query = select(outbox_event).where(table.number > number)
    if tenant is not None:
        query = query.where(table.tenant == tenant)
    rows = connection.execute(query.order_by(table.number).limit(limit))
    return [
        NumberedEvent(
            row.number,
            row.at,
            Event(row.tenant, row.type, row.subject, row.line, row.body),
        )
        for row in rows
    ]


def latest_event(connection: Connection) -> int:
    """Give the highest number; 0 before the first event."""
    return connection.execute(select(func.max(outbox_event.c.number))).scalar() or 0
