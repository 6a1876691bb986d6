"""Who is asking: from what a relay says to a line, its service and what it may have.

The network's rows are compiled into look-up tables, replaced as a whole when the
network changes. A line is found by the parts of the agent's information that its area
or relay names as its key, compared octet for octet; the more a line says of itself, the
earlier it is tried. Who is in no table is known by the same octets, qualified by the
relay, or by the client's own identifiers where the relay says nothing (RFC 3046
section 2.2: a circuit id means nothing away from its relay).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from netaddr import IPAddress

from config.network import Network
from config.offers import Offering, Service
from config.plant import Area, LineKey, Relay, Wrapper
from config.values import prefix_of
from ipserver.ask import Agent, Ask
from ipserver.excess import Excess, ExcessPolicy
from ipserver.line_texts import LineId, part_of

_PARTS: Final = ("circuit_id", "remote_id", "subscriber_id")
_PLACES: Final = {part: Agent._fields.index(part) for part in _PARTS}
_CLIENT_ID, _HARDWARE = 61, 0
_CODES: Final = {"circuit_id": 1, "remote_id": 2, "subscriber_id": 6}


class Terms(Struct, frozen=True, gc=False):
    """What a line may have, the same object for all lines of an offering in an area.

    ``isp`` is "" and ``addresses`` 0 without a service. ``pools`` are the names of the
    pools it is served from, in order; ``garden`` those of the walled garden;
    ``pools_anywhere`` and ``garden_anywhere`` are those of all its subnets.
    ``ipv6_only_seconds`` is RFC 8925's V6ONLY_WAIT, 0 where it is not offered;
    ``rapid_commit`` whether a DISCOVER may be bound at once (RFC 4039).
    """

    area: str
    isp: str
    pools: tuple[str, ...]
    garden: tuple[str, ...]
    pools_anywhere: frozenset[str]
    garden_anywhere: frozenset[str]
    addresses: int
    excess: ExcessPolicy
    authoritative: bool
    ipv6_only_seconds: int
    rapid_commit: bool


class Party(Struct, frozen=True, gc=False):
    """Who asks: the line, the name of its service ("" for none), what it may have."""

    line: LineId
    service: str
    terms: Terms


Lookup = tuple[Callable[[Agent], Any], Mapping[Any, Party]]


class _Scope(NamedTuple):
    """How the lines behind one relay, or in one area, are told apart."""

    lookups: tuple[Lookup, ...]
    name: bytes
    parts: tuple[tuple[int, int], ...]
    fallback: tuple[str, ...]
    unwrap: bool
    stranger: Terms


_NOWHERE: Final[tuple[str | None, _Scope | None]] = (None, None)


class Lines:
    """The lines of a network, compiled; ``find`` tells whose ask it is."""

    def __init__(self, network: Network) -> None:
        areas = {area.name: area for area in network.area}
        pools: dict[tuple[str, str], list[str]] = {}
        for pool in network.pool:
            isp = "" if pool.walled_garden else pool.isp or ""
            if isp or pool.walled_garden:
                pools.setdefault((pool.area, isp), []).append(pool.name)
        self._strangers = {
            name: _terms(area, "", pools, 0, _NO_EXCESS) for name, area in areas.items()
        }
        self._by_name = dict(_parties(network, areas, pools, self._strangers))
        relays = {relay.name: relay for relay in network.relay if relay.name}
        tables: dict[str, dict[tuple[str, tuple[str, ...]], dict[Any, Party]]] = {}
        for line in sorted(network.line, key=lambda line: line.name):
            behind = relays.get(line.relay) if line.relay is not None else None
            if line.name not in self._by_name or (line.relay and behind is None):
                continue
            key = _key(areas[line.area], behind)
            ids = {part: octets_of(getattr(line, part)) for part in _PARTS}
            mask = tuple(part for part in _PARTS if part in key and ids[part])
            if mask:
                values = tuple(ids[part] for part in mask)
                table = tables.setdefault(line.area, {}).setdefault(
                    (line.relay or "", mask), {}
                )
                table.setdefault(
                    values if len(values) > 1 else values[0], self._by_name[line.name]
                )
        self._prefixes = {
            pool.name: [
                (prefix.first, prefix.last)
                for prefix in map(prefix_of, pool.prefixes)
                if prefix.version == 4
            ]
            for pool in network.pool
        }
        self._areas = {
            name: _scope(area, None, tables.get(name, {}), self._strangers[name])
            for name, area in areas.items()
        }
        self._relays: dict[int, tuple[str | None, _Scope | None]] = {
            int(IPAddress(relay.giaddr)): (
                relay.area,
                _scope(
                    areas[relay.area],
                    relay,
                    tables.get(relay.area, {}),
                    self._strangers[relay.area],
                ),
            )
            for relay in network.relay
            if relay.area in areas
        }

    def _scope_of(self, ask: Ask) -> _Scope | None:
        area, scope = self._relays.get(ask.giaddr, _NOWHERE)
        return scope if area == ask.area else self._areas.get(ask.area)

    def find(self, ask: Ask) -> Party | None:
        """Tell who asks; None when nothing in the ask tells, or its area is unknown."""
        area, scope = self._relays.get(ask.giaddr, _NOWHERE)
        if area != ask.area:
            scope = self._areas.get(ask.area)
        if scope is None:
            return None
        agent = _unwrapped(ask.agent) if scope.unwrap else ask.agent
        for get, table in scope.lookups:
            party = table.get(get(agent))
            if party is not None:
                return party
        line = _stranger(scope, agent, ask)
        return None if line is None else Party(line, "", scope.stranger)

    def on_link(self, party: Party, link: int) -> Party:
        """Narrow the pools of a party to those whose prefixes hold ``link``.

        The address is to be on the subnet that the relay names (RFC 3527 section 3);
        where none of the pools is, it only tells the area, as giaddr does. What the
        line has on its other subnets counts all the same.
        """
        terms = party.terms
        pools, garden = self._on(terms.pools, link), self._on(terms.garden, link)
        return replace(party, terms=replace(terms, pools=pools, garden=garden))

    def _on(self, pools: tuple[str, ...], link: int) -> tuple[str, ...]:
        prefixes = self._prefixes
        return (
            tuple(
                pool
                for pool in pools
                if any(first <= link <= last for first, last in prefixes[pool])
            )
            or pools
        )

    def names(self) -> set[LineId]:
        """Give the names of all lines."""
        return set(self._by_name)

    def nameless(self, ask: Ask) -> LineId:
        """Say what stood for the line that asks before the network named it."""
        scope = self._scope_of(ask)
        if scope is None:
            return ""
        agent = _unwrapped(ask.agent) if scope.unwrap else ask.agent
        return _stranger(scope, agent, ask) or ""

    def authoritative(self, area: str) -> bool:
        """Whether unknown bindings are refused in an area, not left alone."""
        terms = self._strangers.get(area)
        return terms is not None and terms.authoritative

    def party(self, line: LineId, area: str) -> Party | None:
        """Give the party of a line found before, as the network is now."""
        if isinstance(line, str):
            return self._by_name.get(line)
        terms = self._strangers.get(area)
        return None if terms is None else Party(line, "", terms)


def _terms(
    area: Area,
    isp: str,
    pools: Mapping[tuple[str, str], list[str]],
    addresses: int,
    excess: ExcessPolicy,
) -> Terms:
    own = pools.get((area.name, isp), []) if isp else []
    garden = pools.get((area.name, ""), [])
    return Terms(
        area.name,
        isp,
        tuple(sorted(own)),
        tuple(sorted(garden)),
        frozenset(own),
        frozenset(garden),
        addresses,
        excess,
        area.authoritative,
        area.ipv6_only_seconds,
        area.rapid_commit,
    )


_NO_EXCESS: Final = ExcessPolicy(Excess.REPLACE_OLDEST, 0, 0, 0, 0)


def _parties(
    network: Network,
    areas: Mapping[str, Area],
    pools: Mapping[tuple[str, str], list[str]],
    strangers: Mapping[str, Terms],
) -> Iterable[tuple[str, Party]]:
    """Give each line's party. Services of one ISP on a line add up; of two ISPs, which
    a line's one circuit cannot tell apart, the one that replaces the other is served,
    else the first by name.
    """
    offerings = {offering.name: offering for offering in network.offering}
    services: dict[str, list[Service]] = {}
    for service in sorted(network.service, key=lambda s: (s.replaces is None, s.name)):
        for name in service.lines if service.offering in offerings else ():
            services.setdefault(name, []).append(service)
    known: dict[Terms, Terms] = {}
    for line in network.line:
        area = areas.get(line.area)
        if area is None:
            continue
        on_line = services.get(line.name)
        if not on_line:
            yield line.name, Party(line.name, "", strangers[area.name])
            continue
        first = on_line[0]
        addresses = sum(
            service.addresses or offerings[service.offering].addresses
            for service in on_line
            if service.isp == first.isp
        )
        excess = _excess(first, offerings[first.offering])
        terms = _terms(area, first.isp, pools, addresses, excess)
        yield line.name, Party(line.name, first.name, known.setdefault(terms, terms))


def _excess(service: Service, offering: Offering) -> ExcessPolicy:
    return ExcessPolicy(
        Excess(service.excess or offering.excess),
        offering.excess_addresses,
        offering.excess_price_micro,
        offering.excess_cap_micro,
        offering.grace_hours * 3600,
    )


def _key(area: Area, relay: Relay | None) -> LineKey:
    return (relay.line_key if relay is not None else None) or area.line_key


def _scope(
    area: Area,
    relay: Relay | None,
    tables: Mapping[tuple[str, tuple[str, ...]], dict[Any, Party]],
    stranger: Terms,
) -> _Scope:
    key = _key(area, relay)
    own = relay.name or "" if relay is not None else ""
    wrapper: Wrapper = (
        relay.circuit_id_wrapper if relay is not None else None
    ) or area.circuit_id_wrapper
    # Behind this relay before anywhere in the area, and then who says most of itself.
    found = sorted(
        (-bool(behind), -len(mask), mask, table)
        for (behind, mask), table in tables.items()
        if behind in {"", own} and set(mask) <= set(key)
    )
    lookups = tuple(
        (itemgetter(*(_PLACES[part] for part in mask)), table)
        for _, _, mask, table in found
    )
    qualified = relay is not None and "relay" in key
    name = str(IPAddress(relay.giaddr)) if qualified and relay else area.name
    parts = tuple((_PLACES[part], _CODES[part]) for part in key if part != "relay")
    return _Scope(
        lookups,
        b"%c" % len(name.encode()) + name.encode(),
        parts,
        area.line_fallback,
        wrapper == "type_length",
        stranger,
    )


def _unwrapped(agent: Agent) -> Agent:
    return agent._replace(
        circuit_id=_unwrap(agent.circuit_id), remote_id=_unwrap(agent.remote_id)
    )


def _unwrap(octets: bytes) -> bytes:
    """Take a type and a length away, where the length is that of what follows."""
    if len(octets) > 2 and octets[1] == len(octets) - 2:
        return octets[2:]
    return octets


def _stranger(scope: _Scope, agent: Agent, ask: Ask) -> bytes | None:
    """Make what stands for a line that is in no table; None when nothing can."""
    line = scope.name
    for place, code in scope.parts:
        octets = agent[place]
        if octets:
            line += b"%c%c%c%b" % (code, len(octets) >> 8, len(octets) & 255, octets)
    if line is not scope.name:
        return line
    for part in scope.fallback:
        code, octets = (
            (_CLIENT_ID, ask.client_id)
            if part == "client_id"
            else (_HARDWARE, ask.hardware)
        )
        if octets:
            return line + part_of(code, octets)
    return None


def octets_of(text: str | None) -> bytes:
    """Give an id of the network file as octets: 0x and hexadecimal, or UTF-8."""
    if text is None:
        return b""
    if re.fullmatch(r"0x(?:[0-9a-fA-F]{2})+", text):
        return bytes.fromhex(text[2:])
    return text.encode()
