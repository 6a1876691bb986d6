"""What replies say of the network: options by pool and subnet, encoded beforehand.

Mask and router belong to the subnet that the address is in, all else to the pool that
answers: an address on loan comes with the options of the ISP that borrowed it. The
options that a client asked for are the same for thousands of clients, so the octets for
a pool, a subnet and a parameter request list are made once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from netaddr import IPAddress, IPNetwork

from config.dhcp_options import DhcpOptions
from config.network import Network
from config.values import prefix_of
from ipserver.agent import encode
from ipserver.dhcp import Option

_TAILS = 4096
"""Tails kept: pools times subnets times the kinds of clients there are. A client that
invents request lists empties it, and costs a few microseconds more."""

_MASK: Final = int(Option.SUBNET_MASK)
_ROUTER: Final = int(Option.ROUTER)
_BROADCAST: Final = int(Option.BROADCAST_ADDRESS)

_OURS: Final = frozenset(
    {
        Option.PAD,
        Option.REQUESTED_ADDRESS,
        Option.LEASE_TIME,
        Option.OVERLOAD,
        Option.MESSAGE_TYPE,
        Option.SERVER_IDENTIFIER,
        Option.PARAMETER_REQUEST_LIST,
        Option.MAXIMUM_SIZE,
        Option.T1,
        Option.T2,
        Option.CLIENT_IDENTIFIER,
        Option.AGENT_INFORMATION,
        Option.IPV6_ONLY_PREFERRED,
        Option.END,
    }
)
"""What the protocol itself writes: no raw option of the operator's may stand for it."""


class Subnet(NamedTuple):
    """A prefix on the network, with what its hosts must know of it, encoded."""

    first: int
    last: int
    router: int
    options: tuple[tuple[int, bytes], ...]


class NetworkOptions:
    """The options of a network; ``tail`` gives those for a reply."""

    def __init__(self, network: Network) -> None:
        areas = {area.name: area for area in network.area}
        relays = sorted(
            int(address)
            for relay in network.relay
            if (address := IPAddress(relay.giaddr)).version == 4
        )
        self._pools: dict[str, dict[int, bytes]] = {}
        self._subnets: list[Subnet] = []
        for pool in network.pool:
            area = areas.get(pool.area)
            options = dict(_encoded(area)) if area is not None else {}
            options |= _encoded(pool)
            self._pools[pool.name] = options
            routers = pool.routers or (area.routers if area is not None else ())
            self._subnets += [
                _subnet(prefix, routers, relays) for prefix in _prefixes(pool.prefixes)
            ]
        self._subnets += [
            _subnet(prefix, (), relays)
            for reserve in network.reserve
            for prefix in _prefixes(reserve.prefixes)
        ]
        self._subnets.sort()
        self._firsts = [subnet.first for subnet in self._subnets]
        self._tails: dict[tuple[str, int, bytes], bytes] = {}

    def tail(self, pool: str, address: int, wanted: bytes) -> bytes:
        """Give the encoded options for an address of ``pool``.

        ``wanted`` is the parameter request list; all there are when it is empty.
        """
        place = bisect_right(self._firsts, address) - 1
        key = (pool, place, wanted)
        tail = self._tails.get(key)
        if tail is None:
            if len(self._tails) >= _TAILS:
                self._tails.clear()
            tail = b"".join(self.options(pool, address, wanted))
            self._tails[key] = tail
        return tail

    def options(self, pool: str, address: int, wanted: bytes) -> list[bytes]:
        """Give the same options one by one, the most wanted first.

        The mask stands before the router (RFC 2132 section 3.3).
        """
        found = dict(self._pools.get(pool, {}))
        subnet = self._subnet_of(address)
        if subnet is not None:
            found |= subnet.options
        codes = [*dict.fromkeys(wanted)] if wanted else [_MASK, _ROUTER, *found]
        if _ROUTER in codes:
            codes = [_MASK, *codes]
        return [found.pop(code) for code in codes if code in found]

    def covers(self, address: int) -> bool:
        """Tell whether an address is one of this network's."""
        return self._place(address) is not None

    def _subnet_of(self, address: int) -> Subnet | None:
        place = self._place(address)
        return self._subnets[place] if place is not None else None

    def _place(self, address: int) -> int | None:
        place = bisect_right(self._firsts, address) - 1
        return place if place >= 0 and address <= self._subnets[place].last else None


def unleasable(network: Network) -> frozenset[int]:
    """Name the addresses in IPv4 prefixes that no client can have: network, broadcast,
    routers and relays.
    """
    relays = {
        int(address)
        for relay in network.relay
        if (address := IPAddress(relay.giaddr)).version == 4
    }
    kept: set[int] = set()
    areas = {area.name: area for area in network.area}
    holders: list[tuple[tuple[str, ...], tuple[str, ...]]]
    holders = [(reserve.prefixes, ()) for reserve in network.reserve]
    for pool in network.pool:
        area = areas.get(pool.area)
        routers = pool.routers or (area.routers if area is not None else ())
        holders.append((pool.prefixes, routers))
    for prefixes, routers in holders:
        taken = relays | {int(IPAddress(router)) for router in routers}
        for prefix in _prefixes(prefixes):
            kept |= {a for a in taken if prefix.first <= a <= prefix.last}
            if prefix.prefixlen <= 30:
                router = _subnet(prefix, routers, sorted(relays)).router
                kept |= {prefix.first, prefix.last, router}
    return frozenset(kept)


def _prefixes(texts: Iterable[str]) -> list[IPNetwork]:
    return [prefix for prefix in map(prefix_of, texts) if prefix.version == 4]


def _subnet(prefix: IPNetwork, routers: tuple[str, ...], relays: list[int]) -> Subnet:
    """Find a prefix's router: the configured one, the relay in it, its first host.

    A /31 and a /32 have neither network nor broadcast address (RFC 3021).
    """
    inside = [int(IPAddress(r)) for r in routers if IPAddress(r) in prefix]
    inside += [relay for relay in relays if prefix.first <= relay <= prefix.last]
    if not inside:
        inside = [prefix.first + 1 if prefix.prefixlen <= 30 else prefix.first]
    options = [
        (_MASK, encode(_MASK, int(prefix.netmask).to_bytes(4))),
        (_ROUTER, encode(_ROUTER, inside[0].to_bytes(4))),
    ]
    if prefix.prefixlen <= 30:
        options.append((_BROADCAST, encode(_BROADCAST, prefix.last.to_bytes(4))))
    return Subnet(prefix.first, prefix.last, inside[0], tuple(options))


def _encoded(row: DhcpOptions) -> dict[int, bytes]:
    return {code: encode(code, content) for code, content in _contents(row) if content}


def _contents(row: DhcpOptions) -> Iterator[tuple[int, bytes]]:
    yield Option.DNS_SERVER, _addresses(row.dns_servers)
    yield Option.DOMAIN_NAME, (row.domain_name or "").encode()
    yield Option.MTU, row.mtu.to_bytes(2) if row.mtu is not None else b""
    yield Option.NTP_SERVER, _addresses(row.ntp_servers)
    yield Option.DOMAIN_SEARCH, b"".join(map(_name, row.domain_search))
    for raw in row.raw_options:
        if raw.code not in _OURS:
            yield raw.code, bytes.fromhex(raw.value)


def _addresses(texts: tuple[str, ...]) -> bytes:
    return b"".join(int(IPAddress(text)).to_bytes(4) for text in texts)


def _name(text: str) -> bytes:
    """Encode a domain name as RFC 1035 section 3.1 does, uncompressed."""
    labels = text.removesuffix(".").encode().split(b".")
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
