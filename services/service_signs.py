"""The signs by which the network shows that a service works: sessions and leases."""

from __future__ import annotations

from itertools import chain

from config.offers import Service
from provisioning.proof import Sign, proves
from radius.mac_address import notations
from services.provisioning import Transaction
from storage import line_leases
from storage.service_records import (
    LiveSessions,
    begun_sessions,
    ended_sessions,
    unnamed_sessions,
)


def live_sessions(transaction: Transaction, service: Service) -> list[Sign]:
    """Give the live sessions of a service."""
    known = transaction.together(LiveSessions)
    users = _users_of(service)
    known.look_ahead(users)
    found = known.signs_of(users)
    if not service.user_names:
        found += unnamed_sessions(transaction.connection, service.name)
    return found


def live_signs(transaction: Transaction, service: Service) -> list[Sign]:
    """Give its live sessions and whatever its line has leased now, for whom ever."""
    leases = line_leases.live_on(transaction.connection, service.line, transaction.now)
    return live_sessions(transaction, service) + leases


def is_seen(transaction: Transaction, service: Service, since: int) -> bool:
    """Tell whether a service was seen at work since it was written."""
    connection, inventory = transaction.connection, transaction.inventory
    return (
        proves(service, inventory, live_sessions(transaction, service), since)
        or proves(service, inventory, _leases(transaction, service, since), since)
        or proves(
            service,
            inventory,
            ended_sessions(connection, _users_of(service), since),
            since,
        )
    )


def is_seen_moved(transaction: Transaction, service: Service, since: int) -> bool:
    """Tell whether a service that moves was seen at work on the line it moves to: what
    goes on where it was proves nothing."""
    connection, inventory = transaction.connection, transaction.inventory
    if proves(service, inventory, _leases(transaction, service, since), since):
        return True
    former = inventory.line.get(service.former_line or "")
    circuit = former.circuit_id if former else None
    begun = begun_sessions(connection, _users_of(service), since)
    here = [sign for sign, circuits in begun if circuit not in circuits]
    return proves(service, inventory, here, since)


def _leases(transaction: Transaction, service: Service, since: int) -> list[Sign]:
    connection, now = transaction.connection, transaction.now
    return line_leases.signs_of(connection, service.line, service.name, now, since)


def _users_of(service: Service) -> list[str]:
    """Give the User-Names of its sessions: of IPoE that is the MAC address, as the NAS
    writes it, or there is none."""
    return [*service.user_names, *chain(*map(notations, service.mac_addresses))]
