"""Reads what reconciliation compares: the network, orders, subscriptions, sessions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select

from provisioning.reconciliation import Facts, Finding, monthly_fees, reconcile
from storage import network
from storage.lease_tables import lease
from storage.provisioning_tables import service_record, subscription
from storage.tables import session

QUIET_SECONDS: Final = 30 * 86_400
"""An active service that shows nothing for so long is worth a look."""


def report(
    connection: Connection, now: int, tenant: str | None = None
) -> list[Finding]:
    """Compare everything at this moment, of one tenant or (None) of all."""
    objects = network.read_network(connection)
    services = {name: b for (kind, name), b in objects.items() if kind == "service"}
    tariffs = {name: body for (kind, name), body in objects.items() if kind == "tariff"}
    records = {row.name: row for row in connection.execute(select(service_record))}
    open_ones = {
        row.service: row
        for row in connection.execute(
            select(subscription).where(subscription.c.closed_at.is_(None))
        )
    }
    seen = _seen(connection, services, now)
    names = services.keys() | records.keys() | open_ones.keys() | seen.keys()
    facts = []
    for name in sorted(names):
        body, record = services.get(name), records.get(name)
        charged = open_ones.get(name)
        known = record if record is not None else charged
        owner = (
            body["isp"] if body else known.tenant if known is not None else "network"
        )
        if tenant is not None and owner != tenant:
            continue
        offering = body["offering"] if body else known.offering if known else ""
        old = record is not None and now - record.changed_at > QUIET_SECONDS
        facts.append(
            Facts(
                service=name,
                tenant=owner,
                offering=offering,
                is_there=body is not None,
                state=record.state if record else None,
                billed=charged is not None,
                seen=name in seen,
                seen_quiet=old and name not in seen,
            )
        )

    def price(offering: str) -> tuple[int, str] | None:
        return monthly_fees(objects.get(("offering", offering)), tariffs)

    return reconcile(facts, price)


def _seen(
    connection: Connection, services: dict[str, dict[str, object]], now: int
) -> dict[str, str]:
    """Give what is online by service: by a lease's service or a session's user; a user
    without a service stands for himself."""
    owners: dict[str, str] = {}
    for name, body in services.items():
        users = body.get("user_names")
        for user in users if isinstance(users, list) else []:
            owners[str(user).casefold()] = name
    found: dict[str, str] = {}
    live = select(session.c.user_name).where(
        session.c.state != "closed", session.c.user_name.is_not(None)
    )
    users = [str(user) for user in connection.scalars(live.distinct())]
    found |= {owners.get(user.casefold(), user): "session" for user in users}
    table = lease.c
    leased = select(table.service).where(
        table.service.is_not(None), table.ended_at.is_(None), table.expires_at > now
    )
    found |= {name: "lease" for name in connection.scalars(leased.distinct()) if name}
    return found
