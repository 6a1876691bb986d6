"""Whose use it was: a session's service, from what its reports say of it.

In the order of how certain each is: the Class attribute, which names what was
authorised; the User-Name; the circuit that the NAS or relay saw; the addresses that are
a service's own; and the lease that was bound to the address then. The first that names
a service of the network decides. One that names several decides nothing, and a later
one may not overrule it: use is never given to a guess. What stays unguided keeps the
reason, and is guided again when the network has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

from config.network import Network
from radius.accounting import Description

ReadClass = Callable[[bytes], str | None]
"""Gives the service that a Class value of ours names; None for one that is not."""

LineOf = Callable[[str, int], str | None]
"""Gives the line that an address or prefix was bound to at a time."""

Key = tuple[str, str]
"""What a session may be found by: a ``name``, ``circuit_id``, ``remote_id``, ``line``
or ``address``, and its value."""

_CLASS = 25


class GuidedBy(StrEnum):
    """What it was that named the service."""

    CLASS = "class"
    USER_NAME = "user_name"
    CIRCUIT = "circuit"
    ADDRESS = "address"
    LEASE = "lease"


class Unguided(StrEnum):
    """Why there is no service for a session; a label of a counter."""

    NOTHING_KNOWN = "nothing_known"
    SEVERAL_SERVICES = "several_services"


class Guided(NamedTuple):
    """A session's service, whose tenant it is, and what named it."""

    service: str
    isp: str
    by: GuidedBy


class Guide:
    """The services of a network, by all that reports can say of them.

    ``own_addresses`` gives the service of an address or prefix that is always its own.
    """

    def __init__(
        self,
        network: Network,
        *,
        read_class: ReadClass,
        own_addresses: Mapping[str, str],
        line_of: LineOf,
    ) -> None:
        self._read_class = read_class
        self._own_addresses = own_addresses
        self._line_of = line_of
        self._isps = {service.name: service.isp for service in network.service}
        self._by_user_name: dict[str, str] = {}
        self._by_line: dict[str, list[str]] = {}
        for service in network.service:
            for name in service.user_names:
                self._by_user_name[name.casefold()] = service.name
            for on in service.lines:
                self._by_line.setdefault(on, []).append(service.name)
        self._areas = {nas.name: nas.area for nas in network.nas}
        self._circuits: dict[str, list[tuple[str, str]]] = {}
        self._remotes: dict[str, list[tuple[str, str]]] = {}
        for line in network.line:
            here = (line.area, line.name)
            if line.circuit_id is not None:
                self._circuits.setdefault(line.circuit_id, []).append(here)
            if line.remote_id is not None:
                self._remotes.setdefault(line.remote_id, []).append(here)

    def guide(self, nas: str, session: Description, at: int) -> Guided | Unguided:
        """Find the service of a session that a NAS reported, as of a time."""
        by, services = GuidedBy.CLASS, self._there(session.class_)
        if not services and session.user_name is not None:
            name = self._by_user_name.get(session.user_name.casefold())
            by, services = GuidedBy.USER_NAME, [name] if name else []
        if not services:
            by, services = GuidedBy.CIRCUIT, self._of_circuit(nas, session)
        if not services:
            by, services = self._of_addresses(session, at)
        if len(services) == 1:
            service = services[0]
            return Guided(service, self._isps[service], by)
        return Unguided.SEVERAL_SERVICES if services else Unguided.NOTHING_KNOWN

    def services_of_class(self, attributes: bytes | None) -> list[str]:
        """Give the services that Class names, in the network or not."""
        services: list[str] = []
        for value in class_values(attributes) if attributes else ():
            service = self._read_class(value)
            if service is not None and service not in services:
                services.append(service)
        return services

    def lines_of(self, session: Description, at: int) -> list[str]:
        """Give the lines that the addresses of a session were bound to at a time."""
        found = (self._line_of(address, at) for address in _addresses(session))
        return [line for line in found if line is not None]

    def having(self, key: Key) -> Iterator[tuple[str, str]]:
        """Give the objects, by kind and name, that have what may be found."""
        kind, value = key
        if kind == "name" and value in self._by_user_name:
            yield "service", self._by_user_name[value]
        elif kind == "line":
            yield "line", value
            for service in self._by_line.get(value, ()):
                yield "service", service
        elif kind == "address" and value in self._own_addresses:
            yield "service", self._own_addresses[value]
        elif kind in ("circuit_id", "remote_id"):
            known = self._circuits if kind == "circuit_id" else self._remotes
            for _, line in known.get(value, ()):
                yield "line", line

    def _there(self, attributes: bytes | None) -> list[str]:
        return [s for s in self.services_of_class(attributes) if s in self._isps]

    def _of_circuit(self, nas: str, session: Description) -> list[str]:
        """Give what is on a circuit's lines; ids are unique in an area, not beyond."""
        for known, value in (
            (self._circuits, session.agent_circuit_id),
            (self._circuits, session.nas_port_id),
            (self._remotes, session.agent_remote_id),
        ):
            places = known.get(value) if value is not None else None
            if places:
                area = self._areas.get(nas, "")
                found = {line for its, line in places if not area or its == area}
                if found:
                    return self._on(found)
        return []

    def _of_addresses(
        self, session: Description, at: int
    ) -> tuple[GuidedBy, list[str]]:
        """Give the services whose own the addresses are, else those they are lent."""
        own_addresses, line_of = self._own_addresses, self._line_of
        addresses = _addresses(session)
        own = {own_addresses[a] for a in addresses if a in own_addresses}
        if own and (services := sorted(own & self._isps.keys())):
            return GuidedBy.ADDRESS, services
        lines = {line for a in addresses if (line := line_of(a, at)) is not None}
        return GuidedBy.LEASE, self._on(lines) if lines else []

    def _on(self, lines: set[str]) -> list[str]:
        return [s for line in sorted(lines) for s in self._by_line.get(line, ())]


def keys_of(session: Description) -> list[Key]:
    """Give what a session may be found by, but for the lines of its leases."""
    keys: list[Key] = []
    if session.user_name is not None:
        keys.append(("name", session.user_name.casefold()))
    for kind, value in (
        ("circuit_id", session.agent_circuit_id),
        ("circuit_id", session.nas_port_id),
        ("remote_id", session.agent_remote_id),
    ):
        if value is not None:
            keys.append((kind, value))
    return keys + [("address", address) for address in _addresses(session)]


def class_values(attributes: bytes) -> Iterator[bytes]:
    """Give the value of each Class attribute, as ``Description.class_`` joins them."""
    place = 0
    while place + 2 <= len(attributes) and attributes[place] == _CLASS:
        length = attributes[place + 1]
        yield attributes[place + 2 : place + length]
        place += max(length, 2)


def _addresses(session: Description) -> list[str]:
    """Give every address and prefix of a session, each as its report wrote it."""
    several = (
        session.framed_ip_address,
        session.delegated_ipv6_prefixes,
        session.framed_ipv6_prefixes,
        session.framed_ipv6_addresses,
    )
    return " ".join(filter(None, several)).split()
