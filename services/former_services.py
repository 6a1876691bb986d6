"""Services that are in the network no more, as they last were.

A subscriber's last usage comes when its service has ended: it is still that service's,
by the offering that it had. The change feed knows how it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection

from config.network import Network, bodies, network_of
from storage.network import last_bodies
from storage.rerating import services_of_sessions


def former_services(
    connection: Connection,
    objects: Mapping[tuple[str, str], Mapping[str, Any]],
    names: Iterable[str],
) -> dict[tuple[str, str], Mapping[str, Any]]:
    """Give the last bodies, by kind and name, of those of these services that the
    network has no more and whose ISP and offering it still has."""
    wanted = [name for name in names if ("service", name) not in objects]
    return {
        ("service", name): body
        for name, body in last_bodies(connection, "service", wanted).items()
        if ("isp", body["isp"]) in objects and ("offering", body["offering"]) in objects
    }


def with_former_services(connection: Connection, network: Network) -> Network:
    """Give a network with every service that a session was guided to."""
    objects = bodies(network)
    names = services_of_sessions(connection)
    return network_of({**objects, **former_services(connection, objects, names)})
