"""Changing and ending sessions that run: commands for the NAS, one for each session.

``request_coa`` and ``request_disconnect`` are what the provisioning manager, quotas and
people call, inside a transaction of theirs: the command is durable when that commits,
and the role ``control`` sends it. What became of it is in ``storage.coa``; a command
whose effect accounting has shown is ``verified``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, select

from radius import class_token
from radius.dynamic_authorization import Kind
from radius.mac_address import notations
from storage.access_sessions import (
    NasSession,
    sessions_of_users,
    sessions_without_user,
)
from storage.coa import Command, add_command, commands
from storage.tables import network_object

NETWORK_TENANT = "network"


class UnknownServiceError(LookupError):
    """There is no such service, or it is not the tenant's: which, is not told."""


def request_coa(
    connection: Connection,
    *,
    tenant: str,
    service: str,
    requested_by: str,
    class_key: bytes,
    now: int,
    rates: tuple[int, int] | None = None,
    falls_back: bool = True,
) -> list[int]:
    """Bring every live session of a service to what it is entitled to now.

    ``rates`` (up, down, in kbit/s) are sent in the place of the service's own, such as
    those after a quota. With ``falls_back`` a session whose NAS refuses, is silent or
    does not show the change is disconnected instead. Gives the commands' numbers, none
    when nothing is online; UnknownServiceError for what is not the tenant's.
    """
    return _request(
        connection,
        Kind.COA,
        tenant=tenant,
        service=service,
        requested_by=requested_by,
        class_key=class_key,
        now=now,
        up_kbps=rates[0] if rates else None,
        down_kbps=rates[1] if rates else None,
        falls_back=falls_back,
    )


def request_disconnect(
    connection: Connection,
    *,
    tenant: str,
    service: str,
    requested_by: str,
    class_key: bytes,
    now: int,
    line: str | None = None,
) -> list[int]:
    """End every live session of a service, or those that its NAS saw on one line; else
    like ``request_coa``."""
    return _request(
        connection,
        Kind.DISCONNECT,
        line=line,
        tenant=tenant,
        service=service,
        requested_by=requested_by,
        class_key=class_key,
        now=now,
    )


def list_commands(
    connection: Connection, *, tenant: str, service: str | None = None, limit: int
) -> Iterator[Command]:
    """List a tenant's commands, the newest first; the network's tenant sees all."""
    owner = None if tenant == NETWORK_TENANT else tenant
    return commands(connection, tenant=owner, service=service, limit=limit)


def live_sessions(
    connection: Connection, *, tenant: str, service: str, class_key: bytes
) -> list[NasSession]:
    """Find the sessions of a service: by the Class we issued, else by User-Name.

    A session with a Class of another service is that one's, whatever its User-Name. Of
    an IPoE session that is the MAC address, as its NAS writes it, or the circuit; one
    without User-Name is found by the service that its use was guided to.
    """
    body = _object(connection, "service", service)
    if body is None or tenant not in (NETWORK_TENANT, body["isp"]):
        raise UnknownServiceError(service)
    own = set(body.get("user_names", ()))
    users = own.union(*map(notations, body.get("mac_addresses", ())))
    for key in ("line", "former_line"):
        users |= _circuits(connection, body.get(key))
    found = []
    for session in sessions_of_users(connection, users, since=1 << 62):
        token = class_token.find(class_key, session.class_)
        named = token.service if token is not None else None
        if named == service or (named is None and session.user_name in own):
            found.append(session)
    for session in sessions_without_user(connection, service):
        token = class_token.find(class_key, session.class_)
        if token is None or token.service == service:
            found.append(session)
    return found


def _circuits(connection: Connection, line: str | None) -> set[str]:
    body = _object(connection, "line", line) if line else None
    return {body["circuit_id"]} if body and body.get("circuit_id") else set()


def _request(
    connection: Connection,
    kind: Kind,
    *,
    tenant: str,
    service: str,
    requested_by: str,
    class_key: bytes,
    now: int,
    line: str | None = None,
    **values: int | bool | None,
) -> list[int]:
    sessions = live_sessions(
        connection, tenant=tenant, service=service, class_key=class_key
    )
    if line is not None:
        there = _circuits(connection, line)
        sessions = [s for s in sessions if {s.agent_circuit_id, s.nas_port_id} & there]
    body = _object(connection, "service", service)
    assert body is not None
    return [
        add_command(
            connection,
            kind=kind,
            tenant=body["isp"],
            service=service,
            nas=session.nas,
            session_id=session.id,
            acct_session_id=session.acct_session_id,
            requested_by=requested_by,
            requested_at=now,
            **values,
        )
        for session in sessions
    ]


def _object(connection: Connection, kind: str, name: str) -> dict[str, Any] | None:
    objects = network_object.c
    query = select(objects.body).where(objects.kind == kind, objects.name == name)
    return connection.execute(query).scalar_one_or_none()
