"""Webhooks: who is told of which events, and how far each has been told.

An event is delivered at least once and in order: the next one waits until the last was
taken. A callback that keeps failing is asked less and less often, then suspended; its
cursor stays, so nothing is lost when it comes back.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from sqlalchemy import Row, delete, insert, select, update

from services.actor import NETWORK
from services.principal import Principal
from storage.control_plane_tables import webhook
from storage.database import Database
from storage.outbox import NumberedEvent, events_since, latest_event

WEBHOOKS_PER_TENANT_MAX: Final = 20
CALLBACK_CHARACTERS_MAX: Final = 2000
BACK_OFF_SECONDS: Final = (5, 3600)
SUSPENDED_AFTER_FAILURES: Final = 60
"""Some two days of trying, at an hour's distance at the end."""

_SECRET_OCTETS: Final = 32


class Webhook(NamedTuple):
    """A registration; ``secret`` signs what is sent, ``types`` is empty for all."""

    id: int
    tenant: str
    callback: str
    types: frozenset[str]
    secret: bytes
    cursor: int
    failures: int


class Refusal(NamedTuple):
    """Why a callback is not registered: a stable code, and words."""

    code: str
    detail: str


def register(
    database: Database,
    principal: Principal,
    callback: str,
    types: Sequence[str],
    *,
    insecure: bool = False,
) -> Webhook | Refusal:
    """Tell ``callback`` of the principal's tenant's events from now on.

    ``insecure`` allows http, for tests and for networks behind walls.
    """
    schemes = {"https", "http"} if insecure else {"https"}
    try:
        parts = urlsplit(callback)
        named = parts.scheme in schemes and parts.hostname and parts.port != 0
    except ValueError:
        named = False
    if not named or len(callback) > CALLBACK_CHARACTERS_MAX:
        return Refusal("invalid_callback", "a callback is an https:// URL")
    secret = secrets.token_bytes(_SECRET_OCTETS)
    with database.write.begin() as connection:
        mine = select(webhook.c.id).where(webhook.c.tenant == principal.tenant)
        if len(connection.execute(mine).all()) >= WEBHOOKS_PER_TENANT_MAX:
            return Refusal("too_many_webhooks", f"at most {WEBHOOKS_PER_TENANT_MAX}")
        values = {
            "tenant": principal.tenant,
            "callback": callback,
            "query": ",".join(sorted(set(types))),
            "secret": secret,
            "cursor": latest_event(connection),
        }
        row = connection.execute(
            insert(webhook).values(values).returning(webhook)
        ).one()
    return _webhook(row)


def unregister(database: Database, principal: Principal, number: int) -> bool:
    """Forget a registration of the principal's tenant; False when it has none such."""
    with database.write.begin() as connection:
        gone = connection.execute(
            delete(webhook).where(
                webhook.c.id == number, webhook.c.tenant == principal.tenant
            )
        )
    return gone.rowcount == 1


def due(database: Database, now: int, limit: int) -> list[Webhook]:
    """Give the registrations that may be told now and have something to be told."""
    with database.read.connect() as connection:
        latest = latest_event(connection)
        rows = connection.execute(
            select(webhook)
            .where(
                ~webhook.c.suspended,
                webhook.c.next_at <= now,
                webhook.c.cursor < latest,
            )
            .order_by(webhook.c.next_at, webhook.c.id)
            .limit(limit)
        ).all()
    return [_webhook(row) for row in rows]


def asked_for(database: Database, tenant: str, kind: str) -> Webhook | None:
    """Give the newest registration of a tenant for a kind of question, by name."""
    with database.read.connect() as connection:
        rows = connection.execute(
            select(webhook)
            .where(webhook.c.tenant == tenant, ~webhook.c.suspended)
            .order_by(webhook.c.id.desc())
        ).all()
    found = (_webhook(row) for row in rows)
    return next((one for one in found if kind in one.types), None)


def events_for(
    database: Database, told: Webhook, limit: int
) -> tuple[list[NumberedEvent], int]:
    """Give the events to tell next, and the number up to which they were looked for."""
    tenant = None if told.tenant == NETWORK else told.tenant
    with database.read.connect() as connection:
        events = events_since(connection, told.cursor, limit, tenant)
        end = events[-1].number if len(events) == limit else latest_event(connection)
    wanted = [e for e in events if not told.types or e.event.type in told.types]
    return wanted, end


def delivered(database: Database, told: Webhook, cursor: int) -> None:
    """Keep that everything up to ``cursor`` was taken."""
    _update(database, told, cursor=cursor, failures=0, next_at=0, failure=None)


def failed(database: Database, told: Webhook, reason: str, now: int) -> bool:
    """Keep that a delivery failed; tells whether the registration is suspended now."""
    failures = told.failures + 1
    least, most = BACK_OFF_SECONDS
    wait = min(most, least << min(failures - 1, 20))
    suspended = failures >= SUSPENDED_AFTER_FAILURES
    _update(
        database,
        told,
        failures=failures,
        next_at=now + wait,
        failure=reason[:200],
        suspended=suspended,
    )
    return suspended


def _update(database: Database, told: Webhook, **values: Any) -> None:
    with database.write.begin() as connection:
        connection.execute(
            update(webhook).where(webhook.c.id == told.id).values(values)
        )


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        row.id,
        row.tenant,
        row.callback,
        frozenset(filter(None, row.query.split(","))),
        bytes(row.secret),
        row.cursor,
        row.failures,
    )
