"""The signs by which the network shows that a service works: sessions and leases."""

from __future__ import annotations

from itertools import chain

from config.offers import Service
from provisioning.proof import Sign
from radius.mac_address import notations
from services.provisioning import Transaction
from storage import line_leases
from storage.service_records import LiveSessions, ended_sessions, unnamed_sessions


def live_sessions(transaction: Transaction, service: Service) -> list[Sign]:
    """Give the live sessions of a service."""
    known = transaction.together(LiveSessions)
    users = users_of(service)
    known.look_ahead(users)
    found = known.signs_of(users)
    if not service.user_names:
        found += unnamed_sessions(transaction.connection, service.name)
    return found


def live_signs(transaction: Transaction, service: Service) -> list[Sign]:
    """Give its live sessions and whatever its line has leased now, for whom ever."""
    leases = line_leases.live_on(transaction.connection, service.line, transaction.now)
    return live_sessions(transaction, service) + leases


def leases_since(transaction: Transaction, service: Service, since: int) -> list[Sign]:
    """Give the leases that a service has, or was given ``since``."""
    connection, now = transaction.connection, transaction.now
    return line_leases.signs_of(connection, service.line, service.name, now, since)


def ended_since(transaction: Transaction, service: Service, since: int) -> list[Sign]:
    """Give the sessions of a service that began ``since`` and are over already."""
    return ended_sessions(transaction.connection, users_of(service), since)


def users_of(service: Service) -> list[str]:
    """Give the User-Names of its sessions: of IPoE that is the MAC address, as the NAS
    writes it, or there is none."""
    return [*service.user_names, *chain(*map(notations, service.mac_addresses))]
