"""Services as they were before their offering, ISP or account was another.

What was used then is of the offering of then, whatever the subscriber has had since:
use that comes late must not be charged by what was only ordered after it, nor a month
that is rated again. The change feed knows how it was. An earlier state is one more
service of the network, which has the service's use added up with it (``rating.plans``).
What an offering costs is asked of the network as it is now, so that a mistake there can
be mended; where the offering or the ISP is no more, as it last was.

The running ledger and a rerating ask the same two functions, ``_states`` and
``state_at``. A rerating looks all of it up; the ledger only what it needs: nearly no
service was ever modified, and nearly all use is of later than that. It looks in the
feed itself before each batch, since the network may be some seconds behind it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Connection

from config.network import Network
from config.offers import Service
from rating.plans import STATE_MARK, name_of
from rating.rater import Rated
from services.former_services import joined, keys_of, of_then, payer
from storage.network import (
    bodies_of_modified,
    latest_change,
    modified_behind,
    states_of,
)

_NO_END: Final = 2**62
_RECENT: Final = 1000
"""Changes before the ledger's start that its network may not have yet."""

Earlier = Mapping[str, Sequence[tuple[int, str]]]
"""Of a service that was changed: until when (epoch seconds) it was each of its earlier
states, in order, and what that is called."""


def state_at(earlier: Earlier, service: str, at: int) -> str:
    """Give what a service is called for what was used up to a time."""
    ends = earlier.get(service)
    if ends is None:
        return service
    place = bisect_left(ends, (at, ""))
    return ends[place][1] if place < len(ends) else service


def _states(
    name: str,
    ever: Sequence[tuple[int, Mapping[str, Any] | None]],
    present: Service | None,
) -> list[tuple[int, Service]]:
    """Give the states of a service that are not its present one, and until when each
    was; the last has no end where the network does not have the latest change yet. A
    service that ended (``present`` is None) is what it last was."""
    found: list[tuple[int, Service]] = []
    bodies = [(at, body) for at, body in ever if body is not None]
    last = 0
    for (_, was), (at, became) in pairwise(bodies):
        last = max(last, at)  # a clock may be put back
        state = payer(f"{name}{STATE_MARK}{len(found)}", was)
        if _paid_by(state) != _paid_by(payer(name, became)):
            found.append((last, state))
    state = payer(f"{name}{STATE_MARK}{len(found)}", bodies[-1][1])
    if present is not None and _paid_by(state) != _paid_by(present):
        found.append((_NO_END, state))
    return found


def _paid_by(service: Service) -> tuple[str, str, str | None]:
    return service.isp, service.offering, service.account


def with_earlier_states(
    connection: Connection, network: Network, since: int
) -> tuple[Network, Earlier]:
    """Give a network with what its services were before they were changed since a time,
    in epoch seconds."""
    present = {service.name: service for service in network.service}
    found: dict[str, list[tuple[int, str]]] = {}
    services: list[Service] = []
    for name, ever in bodies_of_modified(connection, "service", since):
        states = _states(name, ever, present[name]) if name in present else []
        if states:
            found[name] = [(until, state.name) for until, state in states]
            services += [state for _, state in states]
    more = of_then(connection, keys_of(network), services)
    return joined(network, more), found


def of_service(rated: Rated) -> Rated:
    """Give what an earlier state of a service came to as the service's."""
    return Rated._make(
        [charge._replace(service=name_of(charge.service)) for charge in charges]
        for charges in rated
    )


class EarlierStates:
    """The earlier states of the services that use comes late of.

    ``until`` has, of every service that was modified, until when it may have been
    another: what was used later needs no look. ``number`` is the last change that was
    followed.
    """

    def __init__(self) -> None:
        self.until: dict[str, int] = {}
        self.number = -1
        self._objects: Mapping[tuple[str, str], Mapping[str, Any]] = {}
        self._earlier: dict[str, list[tuple[int, str]]] = {}
        self._services: dict[str, Service] = {}

    def know(self, objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """Take a network's objects by kind and name, between two batches."""
        self._objects = objects
        self._earlier, self._services = {}, {}

    def follow(self, connection: Connection) -> None:
        """Learn which services were modified since the last time."""
        latest = latest_change(connection)
        if latest == self.number:
            return
        behind = self.number
        if behind < 0:
            self.until.update(modified_behind(connection, "service", 0))
            behind = latest - _RECENT
        for name in modified_behind(connection, "service", behind):
            self.until[name] = _NO_END  # until it is looked at
            self._earlier.pop(name, None)
        self.number = latest

    def look_up(self, connection: Connection, names: AbstractSet[str]) -> None:
        """Read what services of ``until`` were, unless it is known."""
        wanted = names - self._earlier.keys()
        for name, ever in states_of(connection, "service", sorted(wanted)).items():
            body = self._objects.get(("service", name))
            states = _states(name, ever, None if body is None else payer(name, body))
            if not states:  # nothing was modified that anybody pays by
                self.until.pop(name, None)
                continue
            self.until[name] = states[-1][0]
            self._earlier[name] = [(until, state.name) for until, state in states]
            self._services.update((state.name, state) for _, state in states)

    def at(self, service: str, at: int) -> str:
        """Give what a service that was looked up is called, as ``state_at``."""
        return state_at(self._earlier, service, at)

    def named(self, state: str) -> Service:
        """Give a state that was looked up."""
        return self._services[state]

    def isp_at(
        self, connection: Connection, service: str, at: int, present: str
    ) -> str:
        """Give the ISP that a service had at a time; ``present`` is the one it has."""
        if at > self.until.get(service, -1):
            return present
        self.look_up(connection, {service})
        state = self.at(service, at)
        return present if state == service else self._services[state].isp
