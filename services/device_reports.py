"""What devices say of their own configuration: asked for, kept, and read back.

A device reports when it is asked, or by itself, after it was started for one. The last
report of a line's device is kept, whoever of its ISPs' topics it came by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import Connection, delete, insert, select

from provisioning.device_drift import Configuration, Reported
from provisioning.refusal import Refusal
from services.provisioning import Transaction
from storage import outbox
from storage.outbox import Event
from storage.provisioning_tables import device_report

REQUEST_EVENT = "DeviceReportRequestEvent"
"""In the outbox: a device is to be asked; its subject is the line."""

_Text = Annotated[str, Meta(min_length=1, max_length=253)]


class _Report(msgspec.Struct, rename="camel"):
    """What is read of a report; without any of it, the device has nothing."""

    service: _Text | None = None
    offering: _Text | None = None
    user_name: _Text | None = None
    device: _Text | None = None


def take_up(
    transaction: Transaction, isp: str, line: str, body: Mapping[str, Any]
) -> list[Refusal]:
    """Keep what the device of a line says; a refusal when that cannot be read."""
    if line not in transaction.inventory.line:
        return [Refusal("unknown_line", "", f"there is no line {line!r}")]
    if isp not in transaction.inventory.isp:
        return [Refusal("unknown_isp", "", f"there is no ISP called {isp!r}")]
    try:
        said = msgspec.convert(body, _Report)
    except msgspec.ValidationError as error:
        return [Refusal("invalid_report", "", str(error))]
    has = {k: v for k, v in msgspec.structs.asdict(said).items() if v is not None}
    of = (device_report.c.line == line, device_report.c.tenant == isp)
    transaction.connection.execute(delete(device_report).where(*of))
    row = {"line": line, "tenant": isp, "at": transaction.now, "has": has}
    transaction.connection.execute(insert(device_report).values(row))
    return []


def reports(connection: Connection) -> dict[tuple[str, str], Reported]:
    """Give the last report of each line's device, by line and ISP."""
    return {
        (row.line, row.tenant): Reported(row.at, Configuration(**row.has))
        for row in connection.execute(select(device_report))
    }


def ask_all(transaction: Transaction, isp: str | None = None) -> int:
    """Ask every device that an offering configures, of one ISP or of all; give how
    many."""
    inventory = transaction.inventory
    asked = {
        (service.isp, service.line)
        for service in inventory.service.values()
        if isp in (None, service.isp)
        and (sold := inventory.offering.get(service.offering)) is not None
        and sold.device
    }
    events = [
        Event(owner, REQUEST_EVENT, line, None, {"line": line})
        for owner, line in sorted(asked)
    ]
    outbox.publish(transaction.connection, events, transaction.now)
    return len(events)
