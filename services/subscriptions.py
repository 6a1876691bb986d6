"""What is charged from when to when: opened before a service works, closed with it.

The rater charges recurring prices by these rows, and reconciliation holds them against
the services that there are.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import bindparam, insert, select, update

from config.offers import Service
from provisioning.outcomes import Done, Outcome, Refused
from services.provisioning import Transaction
from storage.provisioning_tables import subscription

_OPEN: Final = select(subscription.c.offering).where(
    subscription.c.service == bindparam("of"), subscription.c.closed_at.is_(None)
)
_CLOSE: Final = (
    update(subscription)
    .where(
        subscription.c.service == bindparam("of"), subscription.c.closed_at.is_(None)
    )
    .values(closed_at=bindparam("at"))
)
_INSERT: Final = insert(subscription)


class Subscriptions:
    """The rating port of the provisioning manager, in the order's transaction."""

    def open(self, transaction: Transaction, service: Service) -> Outcome:
        """Open the subscription of a service's offering, and close one of another."""
        if service.offering not in transaction.inventory.offering:
            return Refused("unknown_offering", f"{service.offering!r} is not sold")
        connection, name = transaction.connection, {"of": service.name}
        open_ones = set(connection.scalars(_OPEN, name))
        if open_ones == {service.offering}:
            return Done()
        if open_ones:
            connection.execute(_CLOSE, {**name, "at": transaction.now})
        row = {
            "service": service.name,
            "offering": service.offering,
            "opened_at": transaction.now,
            "tenant": service.isp,
        }
        connection.execute(_INSERT, row)
        return Done()

    def close(self, transaction: Transaction, service: Service) -> Outcome:
        """Close whatever of a service is open; nothing is fine."""
        given = {"of": service.name, "at": transaction.now}
        transaction.connection.execute(_CLOSE, given)
        return Done()
