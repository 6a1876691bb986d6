"""The network as qualification and orders see it: objects, found by what is asked.

It is made of the change feed's objects and follows it change by change, so that every
decision sees the network of its own transaction. Nothing in it is written elsewhere:
lines and services are counted where they are put and taken out where they go.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

import msgspec

from config.addresses import Pool, Reserve
from config.network import KINDS
from config.offers import Offering, Service
from config.parties import Bsp, Isp
from config.plant import Area, Line, Node
from config.row import Row
from config.values import prefix_of

_RESERVED_OF_A_PREFIX: Final = 3
"""Network, broadcast and gateway: no subscriber can have them (RFC 3021: /31 can)."""

_NONE: Final[frozenset[str]] = frozenset()


def subscriber_addresses(pool: Pool) -> int:
    """Count the IPv4 addresses that a pool has for subscribers."""
    prefixes = [prefix_of(text) for text in pool.prefixes]
    return sum(
        prefix.size - (_RESERVED_OF_A_PREFIX if prefix.prefixlen < 31 else 0)
        for prefix in prefixes
        if prefix.version == 4
    )


class Inventory:
    """The network's objects and what leads to them; ``number`` is the feed's.

    What is looked up and not there is None; names are exact, user names are not
    (RFC 7542 section 2.4: a realm has no case).
    """

    def __init__(self) -> None:
        self.number = -1
        self.area: dict[str, Area] = {}
        self.isp: dict[str, Isp] = {}
        self.bsp: dict[str, Bsp] = {}
        self.node: dict[str, Node] = {}
        self.pool: dict[str, Pool] = {}
        self.offering: dict[str, Offering] = {}
        self.line: dict[str, Line] = {}
        self.service: dict[str, Service] = {}
        self.reserve: dict[str, Reserve] = {}
        self._on_line: dict[str, frozenset[str]] = {}
        self._of_user: dict[str, str] = {}
        self._at_site: dict[str, str] = {}
        self._of_circuit: dict[tuple[str, str], str] = {}
        self._of_isp: defaultdict[str, set[str]] = defaultdict(set)
        self.lines_on: Counter[str] = Counter()
        self.promised: Counter[tuple[str, str]] = Counter()
        self._promise_to: dict[str, tuple[tuple[str, str], int]] = {}
        self._offerings: defaultdict[str, list[Offering]] | None = None
        self._rooms: dict[tuple[str, str], int | None] | None = None
        # What others worked out of the network as it is; gone with every change.
        self.memory: dict[Hashable, Any] = {}

    def put(self, kind: str, name: str, body: Mapping[str, Any] | None) -> None:
        """Take one object as it is now; None when it is gone."""
        if kind in _PLACES:
            row = None if body is None else msgspec.convert(body, KINDS[kind])
            self.restore(kind, name, row)

    def get(self, kind: str, name: str) -> Row | None:
        """Give one object, to ``restore`` it later."""
        row: Row | None = getattr(self, kind, {}).get(name)
        return row

    def restore(self, kind: str, name: str, row: Row | None) -> None:
        """Make one object what it was; None when it was not there."""
        if kind in _PLACES:
            self.memory.clear()
            self._remove(kind, name)
            if row is not None:
                self._add(kind, name, row)

    def services_on(self, line: str) -> list[Service]:
        """Give the services on a line, by name."""
        names = sorted(self._on_line.get(line, _NONE))
        return [self.service[name] for name in names]

    def service_of_user(self, user_name: str) -> Service | None:
        """Find the service that a user name belongs to."""
        return self.service.get(self._of_user.get(user_name.casefold(), ""))

    def line_at(self, site: str) -> Line | None:
        """Find the line that ends at a service address."""
        return self.line.get(self._at_site.get(site, ""))

    def line_of_circuit(self, area: str, circuit_id: str) -> Line | None:
        """Find a line by its Agent Circuit ID, which is unique in an area."""
        return self.line.get(self._of_circuit.get((area, circuit_id), ""))

    def services_of(self, isp: str) -> list[Service]:
        """Give the services of an ISP, by name."""
        return [self.service[name] for name in sorted(self._of_isp.get(isp, ()))]

    def offerings_of(self, isp: str) -> list[Offering]:
        """Give what an ISP sells, by name."""
        if self._offerings is None:
            self._offerings = defaultdict(list)
            for name in sorted(self.offering):
                self._offerings[self.offering[name].isp].append(self.offering[name])
        return self._offerings.get(isp, [])

    def has_contract(self, isp: str, area: str) -> bool:
        """Tell whether an ISP may sell in an area."""
        row = self.isp.get(isp)
        return row is not None and (not row.contracts or area in row.contracts)

    def addresses_of(self, service: Service) -> int:
        """Say how many addresses a service has a right to."""
        if service.addresses is not None:
            return service.addresses
        offering = self.offering.get(service.offering)
        return offering.addresses if offering else 1

    def room(self, isp: str, area: str) -> int | None:
        """Count the addresses of an ISP's pools in an area; None without a pool."""
        if self._rooms is None:
            self._rooms = {}
            for pool in self.pool.values():
                if pool.isp is not None and not pool.walled_garden:
                    key = pool.isp, pool.area
                    size = subscriber_addresses(pool)
                    self._rooms[key] = (self._rooms.get(key) or 0) + size
        return self._rooms.get((isp, area))

    def has_reserve(self, area: str) -> bool:
        """Tell whether the Network Provider keeps addresses for an area."""
        return any(row.area in (None, area) for row in self.reserve.values())

    def _remove(self, kind: str, name: str) -> None:
        remove = _PLACES[kind][1]
        old = getattr(self, kind).pop(name, None)
        if old is not None and remove is not None:
            remove(self, name, old)

    def _add(self, kind: str, name: str, row: Row) -> None:
        add = _PLACES[kind][0]
        getattr(self, kind)[name] = row
        if add is not None:
            add(self, name, row)

    def _add_line(self, name: str, line: Line) -> None:
        if line.site is not None:
            self._at_site[line.site] = name
        if line.circuit_id is not None:
            self._of_circuit[line.area, line.circuit_id] = name
        if line.node is not None and line.state != "retired":
            self.lines_on[line.node] += 1
        for service in self._on_line.get(name, _NONE):  # it may be in another area now
            self._withdraw(service)
            self._promise(service, self.service[service])

    def _remove_line(self, name: str, line: Line) -> None:
        if self._at_site.get(line.site or "") == name:
            del self._at_site[line.site or ""]
        if self._of_circuit.get((line.area, line.circuit_id or "")) == name:
            del self._of_circuit[line.area, line.circuit_id or ""]
        if line.node is not None and line.state != "retired":
            self.lines_on[line.node] -= 1

    def _add_service(self, name: str, service: Service) -> None:
        for line in service.lines:
            self._on_line[line] = self._on_line.get(line, _NONE) | {name}
        self._of_isp[service.isp].add(name)
        for user in service.user_names:
            self._of_user[user.casefold()] = name
        self._promise(name, service)

    def _remove_service(self, name: str, service: Service) -> None:
        for line in service.lines:
            left = self._on_line[line] - {name}
            if left:
                self._on_line[line] = left
            else:
                del self._on_line[line]
        self._of_isp[service.isp].discard(name)
        for user in service.user_names:
            if self._of_user.get(user.casefold()) == name:
                del self._of_user[user.casefold()]
        self._withdraw(name)

    def _promise(self, name: str, service: Service) -> None:
        line = self.line.get(service.line)
        key = service.isp, line.area if line else ""
        count = self.addresses_of(service)
        self._promise_to[name] = key, count
        self.promised[key] += count

    def _withdraw(self, name: str) -> None:
        key, count = self._promise_to.pop(name)
        self.promised[key] -= count

    def _recount(self, _name: str, _row: Row) -> None:
        self._rooms = None

    def _relist(self, _name: str, _row: Row) -> None:
        self._offerings = None

    def _recount_promises(self, _name: str, _row: Row) -> None:
        self._offerings = None
        # An offering that gives more or fewer addresses is rare; counting is not slow.
        for name, service in self.service.items():
            self._withdraw(name)
            self._promise(name, service)


_Change = Callable[[Inventory, str, Any], None]

_PLACES: Final[dict[str, tuple[_Change | None, _Change | None]]] = {
    "area": (None, None),
    "isp": (None, None),
    "bsp": (None, None),
    "node": (None, None),
    "reserve": (None, None),
    "pool": (Inventory._recount, Inventory._recount),
    "offering": (Inventory._recount_promises, Inventory._relist),
    "line": (Inventory._add_line, Inventory._remove_line),
    "service": (Inventory._add_service, Inventory._remove_service),
}
"""What is kept of each kind, and what else is done when one comes and goes."""
