"""Services that are in the network no more, as they last were.

A subscriber's last usage comes when its service has ended: it is still that service's,
by the offering that it had. The change feed knows how it was; and how an ISP or an
offering was that is no more, so that what was used does not become free, or another's,
because nobody sells it now.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection

from config.network import Network, network_of
from config.offers import Service
from storage.network import last_bodies
from storage.rerating import services_of_sessions

Key = tuple[str, str]
"""An object's kind and name."""


def former_services(
    connection: Connection, there: Container[Key], names: Iterable[str]
) -> dict[str, Mapping[str, Any]]:
    """Give the last bodies of those of these services that are not there any more."""
    wanted = [name for name in names if ("service", name) not in there]
    return last_bodies(connection, "service", wanted)


def payer(name: str, body: Mapping[str, Any]) -> Service:
    """Give of a service who pays by what: its ISP, its offering and its account."""
    return Service(
        name=name,
        isp=body["isp"],
        line="",
        offering=body["offering"],
        account=body.get("account"),
    )


def of_then(
    connection: Connection, there: Container[Key], services: Collection[Service]
) -> Network:
    """Give these services, with what they have that is not there any more, as it last
    was: ISPs, offerings and their tariffs."""
    found: dict[Key, Mapping[str, Any]] = {}

    def add(kind: str, names: Iterable[str | None]) -> None:
        gone = {n for n in names if n is not None and (kind, n) not in there}
        for name, body in last_bodies(connection, kind, sorted(gone)).items():
            found[kind, name] = body

    add("isp", (service.isp for service in services))
    add("offering", (service.offering for service in services))
    bodies = list(found.values())
    add("tariff", (b.get("wholesale") for b in bodies))
    add("tariff", (b.get("tariff") for b in bodies))

    def known(kind: str, name: str) -> bool:
        return (kind, name) in there or (kind, name) in found

    own = tuple(
        service
        for service in services
        if known("isp", service.isp) and known("offering", service.offering)
    )
    return msgspec.structs.replace(network_of(found), service=own)


def joined(network: Network, more: Network) -> Network:
    """Give a network with what services of then have as well."""
    return msgspec.structs.replace(
        network,
        isp=(*network.isp, *more.isp),
        offering=(*network.offering, *more.offering),
        tariff=(*network.tariff, *more.tariff),
        service=(*network.service, *more.service),
    )


def keys_of(network: Network) -> set[Key]:
    """Give the keys of what ``of_then`` looks for in a network."""
    return {
        *(("isp", isp.name) for isp in network.isp),
        *(("offering", offering.name) for offering in network.offering),
        *(("tariff", tariff.name) for tariff in network.tariff),
        *(("service", service.name) for service in network.service),
    }


def with_former_services(connection: Connection, network: Network) -> Network:
    """Give a network with every service that a session was guided to."""
    there = keys_of(network)
    former = former_services(connection, there, services_of_sessions(connection))
    services = [payer(name, body) for name, body in former.items()]
    return joined(network, of_then(connection, there, services))
