"""What is charged from when to when: opened before a service works, closed with it.

The rater charges recurring prices by these rows, and reconciliation holds them against
the services that there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, update

from config.offers import Service
from provisioning.outcomes import Done, Outcome, Refused
from services.provisioning import Transaction
from storage import at_once
from storage.among import among
from storage.looked_up import LookedUp
from storage.provisioning_tables import subscription

_OPEN: Final = select(subscription.c.service, subscription.c.offering).where(
    among(subscription.c.service),
    subscription.c.closed_at.is_(None),
)
_CLOSE: Final = (
    update(subscription)
    .where(
        subscription.c.service == bindparam("of"), subscription.c.closed_at.is_(None)
    )
    .values(closed_at=bindparam("at"))
)


class OpenSubscriptions(LookedUp[str, set[str]]):
    """The offerings that are open for each service."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._closed: list[dict[str, Any]] = []
        self._opened: dict[str, dict[str, Any]] = {}

    def read(self, keys: list[str]) -> Mapping[str, set[str]]:
        """Read from the database."""
        found: defaultdict[str, set[str]] = defaultdict(set)
        for service, offering in self.connection.execute(_OPEN, {"keys": keys}):
            found[service].add(offering)
        return found

    def open(self, row: dict[str, Any]) -> None:
        """Open one; whatever else of the service is open is closed before."""
        self.known[row["service"]] = {row["offering"]}
        self._opened[row["service"]] = row

    def close(self, service: str, now: int) -> None:
        """Close whatever of a service is open."""
        if service in self._opened:
            self.flush()
        if self.find(service):
            self._closed.append({"of": service, "at": now})
            self.known[service] = None

    def flush(self) -> None:
        """Write what was closed, then what was opened."""
        closed, self._closed = self._closed, []
        opened, self._opened = self._opened, {}
        if closed:
            self.connection.execute(_CLOSE, closed)
        at_once.insert(self.connection, subscription, list(opened.values()))


class Subscriptions:
    """The rating port of the provisioning manager, in the order's transaction."""

    def look_ahead(self, transaction: Transaction, services: Sequence[str]) -> None:
        """Read together what is open of these services."""
        transaction.together(OpenSubscriptions).look_ahead(services)

    def open(self, transaction: Transaction, service: Service) -> Outcome:
        """Open the subscription of a service's offering, and close one of another."""
        if service.offering not in transaction.inventory.offering:
            return Refused("unknown_offering", f"{service.offering!r} is not sold")
        subscriptions = transaction.together(OpenSubscriptions)
        if subscriptions.find(service.name) == {service.offering}:
            return Done()
        subscriptions.close(service.name, transaction.now)
        subscriptions.open(
            {
                "service": service.name,
                "offering": service.offering,
                "opened_at": transaction.now,
                "tenant": service.isp,
            }
        )
        return Done()

    def close(self, transaction: Transaction, service: Service) -> Outcome:
        """Close whatever of a service is open; nothing is fine."""
        transaction.together(OpenSubscriptions).close(service.name, transaction.now)
        return Done()
