"""What is charged from when to when: opened before a service works, closed with it.

The rater charges recurring prices by these rows, and reconciliation holds them against
the services that there are.
"""

from __future__ import annotations

from sqlalchemy import insert, select, update

from config.offers import Service
from provisioning.outcomes import Done, Outcome, Refused
from services.provisioning import Transaction
from storage.provisioning_tables import subscription


class Subscriptions:
    """The rating port of the provisioning manager, in the order's transaction."""

    def open(self, transaction: Transaction, service: Service) -> Outcome:
        """Open the subscription of a service's offering, and close one of another."""
        if service.offering not in transaction.inventory.offering:
            return Refused("unknown_offering", f"{service.offering!r} is not sold")
        table = subscription.c
        query = select(table.offering).where(
            table.service == service.name, table.closed_at.is_(None)
        )
        open_ones = set(transaction.connection.scalars(query))
        if open_ones == {service.offering}:
            return Done()
        self.close(transaction, service)
        transaction.connection.execute(
            insert(subscription).values(
                service=service.name,
                offering=service.offering,
                opened_at=transaction.now,
                tenant=service.isp,
            )
        )
        return Done()

    def close(self, transaction: Transaction, service: Service) -> Outcome:
        """Close whatever of a service is open; nothing is fine."""
        table = subscription.c
        transaction.connection.execute(
            update(subscription)
            .where(table.service == service.name, table.closed_at.is_(None))
            .values(closed_at=transaction.now)
        )
        return Done()
