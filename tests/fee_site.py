"""The demo's network, charged fees; and what of that is new."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from changed_network import change_network

from config.loader import load_network
from config.network import Network
from config.offers import Service
from services.periodic_charges import PeriodicCharges
from storage.database import Database
from storage.entry_queries import EntryFilter, list_entries

DEMO = load_network(Path(__file__).parents[1] / "config" / "demo-network.toml")
EURO = 1_000_000


def at(month: int, day: int, hour: int = 12) -> int:
    """An epoch second of 2026."""
    return int(datetime(2026, month, day, hour, tzinfo=UTC).timestamp())


def site(*services: Service, **changes: Any) -> Network:
    """The demo's network with these services, and with some tables replaced."""
    tables = {kind: getattr(DEMO, kind) for kind in DEMO.__struct_fields__}
    return Network(**(tables | {"service": services} | changes))


def service(**values: Any) -> Service:
    """aurora-101 of the demo, as a test wants it."""
    common = {"name": "aurora-101", "isp": "aurora", "line": "harbour-101"}
    return Service(**({**common, "offering": "home-500"} | values))


def charge(
    database: Database, charges: PeriodicCharges, now: int, at_once: int = 1
) -> None:
    """Charge services their fees, in slices of some."""
    after: str | None = ""
    while after is not None:
        after = charges.charge_services(database, now, after, at_once)


def charged(database: Database, network: Network, now: int) -> list[tuple[Any, ...]]:
    """Make this the network, and charge twice, in slices of one; give month,
    subscriber's and network's legs of what was new."""
    change_network(database, network, now)
    with database.read.connect() as connection:
        before = {e.id for e, _ in list_entries(connection, EntryFilter())}
    for _ in range(2):
        charges = PeriodicCharges(network)
        charge(database, charges, now)
        charges.charge_isps(database, now)
    with database.read.connect() as connection:
        entries = [e for e, _ in list_entries(connection, EntryFilter())]
    return sorted(
        (e.book.month, -e.posting.subscriber_amount, e.posting.network_amount)
        for e in entries
        if e.id not in before
    )
