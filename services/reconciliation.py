"""Reads what reconciliation compares: the network, orders, subscriptions, sessions,
leases, and what devices acknowledged and reported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select, text

from provisioning.device_drift import (
    NOTHING,
    Configuration,
    DeviceCommand,
    Ordered,
    device_drift,
)
from provisioning.order_states import Action
from provisioning.reconciliation import Facts, Finding, monthly_fees, reconcile
from provisioning.task_graph import Kind, TaskState
from services.actor import NETWORK
from services.device_reports import reports
from storage import network
from storage.lease_tables import lease
from storage.provisioning_tables import (
    OF_DEVICE,
    device,
    order_task,
    service_order,
    service_order_item,
    service_record,
    subscription,
)
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
    commanded = _commanded(connection)
    devices, reported = _devices(connection), reports(connection)
    names = services.keys() | records.keys() | open_ones.keys() | seen.keys()
    facts = []
    for name in sorted(names | commanded.keys()):
        body, record = services.get(name), records.get(name)
        charged = open_ones.get(name)
        told = commanded.get(name, [])
        known: Any = record if record is not None else charged
        if known is None and told:
            known = told[-1]
        owner = (
            body["isp"] if body else known.tenant if known is not None else "network"
        )
        if tenant is not None and owner != tenant:
            continue
        offering = body["offering"] if body else known.offering if known else ""
        ordered = None
        if body is not None and record is not None:
            sold = objects.get(("offering", offering), {})
            ordered = _ordered(body, sold, devices)
        line = body["line"] if body else record.line if record is not None else ""
        has = reported.get((line, owner))
        if body is None and has is not None and has.has.service != name:
            has = None  # of whoever is on the line now
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
                device=device_drift(
                    [one.command for one in told],
                    has,
                    ordered,
                    now,
                    gone=body is None and record is not None,
                ),
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


def _ordered(
    body: Mapping[str, Any],
    offering: Mapping[str, Any],
    devices: Mapping[tuple[str, str], set[str]],
) -> Ordered:
    on_line = (devices.get((body["line"], of), set()) for of in (body["isp"], NETWORK))
    return Ordered(
        service=body["name"],
        line=body["line"],
        offering=body["offering"],
        user_names=body.get("user_names", ()),
        configured=bool(offering.get("device")),
        devices=set().union(*on_line),
    )


class _Told(NamedTuple):
    """A command, and whose it is while no service is there yet."""

    tenant: str
    offering: str
    command: DeviceCommand


def _commanded(connection: Connection) -> dict[str, list[_Told]]:
    """Give the commands to devices by service, in the order of their orders: there is
    one open order about a service at most."""
    order, item, task = service_order.c, service_order_item.c, order_task.c
    rows = connection.execute(
        select(
            order_task,
            item.service,
            item.wanted,
            order.completed_at,
            order.ordered_at,
        )
        .join(
            service_order_item,
            (item.order_id == task.order_id) & (item.number == task.item),
        )
        .join(service_order, order.id == task.order_id)
        .where(text(f"order_task.{OF_DEVICE}"))
        .order_by(
            order.ordered_at,
            order.completed_at.is_(None),
            order.completed_at,
            task.number,
        )
    )
    found: dict[str, list[_Told]] = {}
    for row in rows:
        said, removes = row.wanted, row.kind == Kind.DEVICE_REMOVE
        elsewhere = "line" in row.about  # on the line that it has moved away from
        command = DeviceCommand(
            action=Action(said["action"]),
            state=TaskState(row.state),
            attempts=row.attempts,
            deadline_at=row.deadline_at,
            ended=row.completed_at is not None,
            at=row.ordered_at if row.completed_at is None else row.completed_at,
            removes=removes and not elsewhere,
            told=NOTHING
            if removes
            else Configuration(None, *(said.get(name) for name in _TOLD)),
        )
        # A change of ISP tells the old one's device too.
        service = row.about.get("service", row.service)
        owner = row.about.get("isp", row.tenant)
        told = _Told(owner, said.get("offering") or "", command)
        found.setdefault(service, []).append(told)
    return found


_TOLD: Final = ("line", "offering", "user_name", "device")


def _devices(connection: Connection) -> dict[tuple[str, str], set[str]]:
    """Give the names and MAC addresses of the devices by line and tenant."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in connection.execute(select(device).where(device.c.line.is_not(None))):
        names = {row.name, *([row.mac] if row.mac else [])}
        found.setdefault((row.line, row.tenant), set()).update(names)
    return found
