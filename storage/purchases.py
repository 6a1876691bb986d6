"""Purchases and the events that made them, as rows; everything in the caller's
transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import sqlalchemy
from sqlalchemy import Connection, Row, case, func, insert, select, update

from storage.bulk import is_postgresql
from storage.settlement_tables import purchase, purchase_event

# Any number will do, as long as no other lock of ours there has it.
_LOCK: Final = 0x5055_5243

_HELD: Final = ("authorised", "captured", "partly_refunded", "refunded")


def lock_buyer(connection: Connection, bsp: str, service: str | None) -> None:
    """Let nobody else buy at this BSP, or for this service, in the meantime.

    The BSP's lock keeps two copies of one event apart, the service's its limit. They
    are taken in this order by everybody. On SQLite a writing transaction is alone.
    """
    if not is_postgresql(connection):
        return
    keys = [f"bsp/{bsp}"] if service is None else [f"service/{service}"]
    for key in keys:
        connection.execute(
            sqlalchemy.text("SELECT pg_advisory_xact_lock(:lock, hashtext(:key))"),
            {"lock": _LOCK, "key": key},
        )


def find_event(connection: Connection, bsp: str, event_id: str) -> Row[Any] | None:
    """An event that a BSP sent before, with its body and the answer it got."""
    e = purchase_event.c
    query = select(purchase_event).where(e.bsp == bsp, e.event_id == event_id)
    return connection.execute(query).one_or_none()


def add_event(connection: Connection, **values: Any) -> None:
    """Keep an event with its answer."""
    connection.execute(insert(purchase_event).values(**values))


def find_purchase(connection: Connection, bsp: str, reference: str) -> Row[Any] | None:
    """A purchase by the BSP's own reference, which nobody else changes meanwhile."""
    p = purchase.c
    query = select(purchase).where(p.bsp == bsp, p.reference == reference)
    return connection.execute(query.with_for_update()).one_or_none()


def add_purchase(connection: Connection, **values: Any) -> int:
    """Add a purchase; give its id."""
    made = connection.execute(
        insert(purchase).values(**values).returning(purchase.c.id)
    )
    return int(made.scalar_one())


def change_purchase(connection: Connection, purchase_id: int, **values: Any) -> None:
    """Change some columns of a purchase."""
    statement = update(purchase).where(purchase.c.id == purchase_id)
    connection.execute(statement.values(**values))


def spent(
    connection: Connection,
    service: str,
    bsp: str | None,
    currency: str,
    since: int,
    until: int,
    now: int,
) -> int:
    """What a service has spent or holds authorised in a span, in micro-units.

    With ``bsp`` None at all BSPs. An authorisation that has expired holds nothing.
    """
    p = purchase.c
    held = case(
        (
            (p.state == "authorised")
            & ((p.expires_at.is_(None)) | (p.expires_at > now)),
            p.authorised_amount,
        ),
        else_=p.captured_amount - p.refunded_amount,
    )
    conditions = [
        p.service == service,
        p.currency == currency,
        p.at >= since,
        p.at < until,
        p.state.in_(_HELD),
    ]
    if bsp is not None:
        conditions.append(p.bsp == bsp)
    query = select(func.coalesce(func.sum(held), 0)).where(*conditions)
    return int(connection.execute(query).scalar_one())


def pending(connection: Connection, after_id: int, limit: int) -> list[Row[Any]]:
    """Sales that could not be priced, by id, each with the body of its event; nobody
    else changes them meanwhile."""
    p, e = purchase.c, purchase_event.c
    query = (
        select(purchase, e.body, e.event_id)
        .select_from(purchase.join(purchase_event, e.purchase_id == p.id))
        .where(p.state == "pending", e.action == "sale", p.id > after_id)
        .order_by(p.id)
        .limit(limit)
        .with_for_update(of=purchase)
    )
    return list(connection.execute(query))


def lapsed(connection: Connection, now: int, limit: int) -> list[int]:
    """Ids of authorisations that have expired and are still held; nobody else changes
    them meanwhile."""
    p = purchase.c
    query = select(p.id).where(p.state == "authorised", p.expires_at <= now)
    query = query.order_by(p.id).limit(limit).with_for_update()
    return list(connection.execute(query).scalars())


def list_purchases(
    connection: Connection,
    *,
    tenant: str | None = None,
    bsp: str | None = None,
    service: str | None = None,
    state: str | None = None,
    limit: int | None = None,
) -> Iterator[Row[Any]]:
    """The purchases that match, oldest first; with a limit the newest."""
    p = purchase.c
    asked = ((p.tenant, tenant), (p.bsp, bsp), (p.service, service), (p.state, state))
    wanted = [column == value for column, value in asked if value is not None]
    query = select(purchase).where(*wanted)
    if limit is None:
        stream = connection.execute(
            query.order_by(p.id), execution_options={"yield_per": 1000}
        )
        yield from stream
        return
    newest = connection.execute(query.order_by(p.id.desc()).limit(limit)).all()
    yield from reversed(newest)
