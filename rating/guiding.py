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
            self._by_line.setdefault(service.line, []).append(service.name)
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
        for by, services in self._candidates(nas, session, at):
            if len(services) == 1:
                service = services[0]
                return Guided(service, self._isps[service], by)
            if services:
                return Unguided.SEVERAL_SERVICES
        return Unguided.NOTHING_KNOWN

    def _candidates(
        self, nas: str, session: Description, at: int
    ) -> Iterator[tuple[GuidedBy, list[str]]]:
        yield GuidedBy.CLASS, self._of_class(session.class_)
        name = self._by_user_name.get((session.user_name or "").casefold())
        yield GuidedBy.USER_NAME, [name] if name else []
        yield GuidedBy.CIRCUIT, self._on(self._circuit_lines(nas, session))
        addresses = list(_addresses(session))
        own = {self._own_addresses[a] for a in addresses if a in self._own_addresses}
        yield GuidedBy.ADDRESS, sorted(own & self._isps.keys())
        lines = [self._line_of(address, at) for address in addresses]
        yield GuidedBy.LEASE, self._on({line for line in lines if line is not None})

    def _of_class(self, attributes: bytes | None) -> list[str]:
        services = []
        for value in class_values(attributes or b""):
            service = self._read_class(value)
            if service in self._isps and service not in services:
                services.append(service)
        return [service for service in services if service is not None]

    def _circuit_lines(self, nas: str, session: Description) -> set[str]:
        """Give the lines of a circuit; ids are unique within an area, not beyond."""
        area = self._areas.get(nas, "")
        found: set[str] = set()
        for known, value in (
            (self._circuits, session.agent_circuit_id),
            (self._circuits, session.nas_port_id),
            (self._remotes, session.agent_remote_id),
        ):
            if value is not None and not found:
                places = known.get(value, [])
                found = {line for its, line in places if not area or its == area}
        return found

    def _on(self, lines: set[str]) -> list[str]:
        return [s for line in sorted(lines) for s in self._by_line.get(line, ())]


def class_values(attributes: bytes) -> Iterator[bytes]:
    """Give the value of each Class attribute, as ``Description.class_`` joins them."""
    place = 0
    while place + 2 <= len(attributes) and attributes[place] == _CLASS:
        length = attributes[place + 1]
        yield attributes[place + 2 : place + length]
        place += max(length, 2)


def _addresses(session: Description) -> Iterator[str]:
    """Give every address and prefix of a session, each as its report wrote it."""
    for several in (
        session.framed_ip_address,
        session.delegated_ipv6_prefixes,
        session.framed_ipv6_prefixes,
        session.framed_ipv6_addresses,
    ):
        yield from (several or "").split()
