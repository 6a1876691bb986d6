"""The addresses there are: blocks, which pool leases from each, and what it is doing.

A block has a number and a place in arrays, so that a /10 cut into 65,536 blocks costs
four megabytes. Blocks are those of ``ipserver.block``: this is what the leases need to
know of them, and only whoever decides about blocks changes it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from netaddr import IPNetwork

from config.addresses import Pool as PoolRow
from config.addresses import Reserve
from config.dhcp_options import GARDEN_LEASE_SECONDS, LEASE_SECONDS
from config.network import Network
from config.over_allocation import OverAllocation
from config.plant import Area
from config.values import prefix_of
from ipserver.block import cut
from ipserver.lease_table import COOLING, DECLINED, LEASED, NONE, OFFERED, STATES
from ipserver.network_options import unleasable

CLOSED, OPEN, HELD, DRAINING = range(4)
"""Nobody leases from it; its pool does; only renewals go on; they end as well."""

USED: Final = (0, 1, 1, 1, 0, 1)
"""Whether nobody can get the address of a slot, by its state."""

NOWHERE: Final = 0
"""The block of leases whose prefix the network does not have; it has no addresses."""

NETWORK: Final = "network"
"""Owner of the reserve, where an ISP's name is expected."""


class Pool:
    """A pool at work. ``counts`` has its slots by state, ``size`` its addresses.

    ``untouched`` are blocks of which no address was given yet, ``filling`` addresses to
    be given next, each with its block in the higher half; ``used`` counts those that
    nobody can get now. ``cooling``, ``freed``, ``quarantine`` and ``offers`` are slots
    in that state, the oldest first.
    """

    __slots__ = (
        "area",
        "cooling",
        "counts",
        "filling",
        "freed",
        "isp",
        "lease_seconds",
        "name",
        "new_bindings",
        "number",
        "offers",
        "quarantine",
        "size",
        "untouched",
        "used",
    )

    def __init__(self, name: str, number: int) -> None:
        self.name = name
        self.number = number
        self.area = self.isp = ""
        self.lease_seconds = LEASE_SECONDS
        self.size = 0
        self.counts = [0] * STATES
        self.used = 0
        self.new_bindings = 0
        self.untouched = array("I")
        self.filling: list[int] = []
        self.cooling: deque[int] = deque()
        self.freed: deque[int] = deque()
        self.offers: deque[int] = deque()
        self.quarantine: deque[int] = deque()

    def describe(self, row: PoolRow, area: Area | None) -> None:
        """Take what the network says of it."""
        self.area, self.isp = row.area, row.isp or ""
        usual = area.lease_seconds if area is not None else None
        if row.walled_garden:
            usual = GARDEN_LEASE_SECONDS
        self.lease_seconds = row.lease_seconds or usual or LEASE_SECONDS

    def add(self, state: int, slots: int) -> None:
        """Take that there are more, or fewer, slots in a state."""
        self.counts[state] += slots
        self.used += slots * USED[state]


class PoolUsage(NamedTuple):
    """How many addresses of a pool are in which use; they add up to ``size``.

    ``new_bindings`` counts those made since the start, and never goes down.
    """

    size: int
    leased: int
    offered: int
    declined: int
    cooling: int
    free: int
    new_bindings: int


class BlockUsage(NamedTuple):
    """The same of a block; ``last_end`` is when its last lease ends, 0 for none."""

    size: int
    leased: int
    offered: int
    declined: int
    cooling: int
    free: int
    last_end: int


class _Extent(NamedTuple):
    first: int
    last: int
    block: int
    bits: int
    owner: str


class AddressSpace:
    """All pools and blocks. Columns are by block number."""

    def __init__(self) -> None:
        self.pools: list[Pool] = []
        self.by_name: dict[str, Pool] = {}
        self.first = array("Q", [0])
        self.addresses = array("I", [0])
        self.pool = array("i", [NONE])
        self.status = array("B", [CLOSED])
        self.live = array("I", [0])
        self.lease_max = array("I", [0])
        self.generation = array("I", [0])
        self.owner = [""]
        self.isp_of: dict[str, str] = {}
        self.marks = OverAllocation()
        self._extents: list[_Extent] = []
        self._starts: list[int] = []
        self.excluded: frozenset[int] = frozenset()
        self._excluded_in: Counter[int] = Counter()

    def change(self, network: Network) -> tuple[list[tuple[int, Pool]], list[int]]:
        """Take the pools and prefixes of a network.

        Gives the blocks that are new, with the pool that each is at home in, and those
        that are gone, which still have their pool.
        """
        self.marks = next(iter(network.over_allocation), OverAllocation())
        self.isp_of = {row.name: row.isp or NETWORK for row in network.pool}
        self.isp_of |= {row.name: NETWORK for row in network.reserve}
        self.by_name = {}
        areas = {area.name: area for area in network.area}
        known = {pool.name: pool for pool in self.pools}
        for row in network.pool:
            pool = known.get(row.name)
            if pool is None:
                pool = Pool(row.name, len(self.pools))
                self.pools.append(pool)
            pool.describe(row, areas.get(row.area))
            self.by_name[row.name] = pool
        self.excluded = excluded(network)
        before = {(e.first, e.last, e.bits, e.owner): e for e in self._extents}
        extents, new = [], []
        for owner, prefix in _prefixes(network):
            length = self.marks.block_prefix_length
            bits = next(cut(prefix, owner, length)).size.bit_length() - 1
            key = (prefix.first, prefix.last, bits, owner)
            extent = before.pop(key, None)
            if extent is None:
                extent = self._add(*key)
                blocks = range(extent.block, len(self.first))
                home = self.by_name.get(owner)
                new += [(block, home) for block in blocks if home is not None]
            extents.append(extent)
        gone = [
            extent.block + place
            for extent in before.values()
            for place in range((extent.last - extent.first >> extent.bits) + 1)
        ]
        self._extents = sorted(extents)
        self._starts = [extent.first for extent in self._extents]
        self._exclude(Counter(map(self.block_at, self.excluded)))
        return new, gone

    def _exclude(self, excluded_in: Counter[int]) -> None:
        before, self._excluded_in = self._excluded_in, excluded_in
        for block in before.keys() | excluded_in.keys():
            number = self.pool[block] if block != NONE else NONE
            if number != NONE:
                self.pools[number].size += before[block] - excluded_in[block]

    def size(self, block: int) -> int:
        """Count the addresses of a block that may be leased."""
        return self.addresses[block] - self._excluded_in[block]

    def _add(self, first: int, last: int, bits: int, owner: str) -> _Extent:
        extent = _Extent(first, last, len(self.first), bits, owner)
        blocks = (last - first >> bits) + 1
        self.first.extend(range(first, last + 1, 1 << bits))
        self.addresses.extend([1 << bits] * blocks)
        self.pool.extend([NONE] * blocks)
        for zeros in (self.live, self.lease_max, self.generation):
            zeros.extend([0] * blocks)
        self.status.extend([CLOSED] * blocks)
        self.owner += [owner] * blocks
        return extent

    def block_at(self, address: int) -> int:
        """Number the block that an address is in; NONE when it is in none."""
        place = bisect_right(self._starts, address) - 1
        if place < 0:
            return NONE
        extent = self._extents[place]
        if address > extent.last:
            return NONE
        return extent.block + (address - extent.first >> extent.bits)

    def blocks_at(self, addresses: Sequence[int]) -> Sequence[int]:
        """Number the blocks of many addresses; those of one prefix come quickest."""
        place = bisect_right(self._starts, min(addresses)) - 1
        if place < 0 or max(addresses) > self._extents[place].last:
            return [self.block_at(address) for address in addresses]
        first, _, base, bits, _ = self._extents[place]
        return array("I", [base + (address - first >> bits) for address in addresses])

    def usable(self, block: int) -> Iterator[int]:
        """Go through the addresses of a block that may be leased."""
        first = self.first[block]
        for address in range(first, first + self.addresses[block]):
            if address not in self.excluded:
                yield address

    def usage(self, pool: Pool) -> PoolUsage:
        """Say what a pool's addresses are doing."""
        counts = pool.counts
        return PoolUsage(
            pool.size,
            counts[LEASED],
            counts[OFFERED],
            counts[DECLINED],
            counts[COOLING],
            pool.size - pool.used,
            pool.new_bindings,
        )


def excluded(network: Network) -> frozenset[int]:
    """Name the addresses that are leased to nobody, or only to who has them already."""
    return unleasable(network) | frozenset(_reserved(network.pool))


def _prefixes(network: Network) -> Iterator[tuple[str, IPNetwork]]:
    rows: tuple[PoolRow | Reserve, ...] = (*network.pool, *network.reserve)
    for row in rows:
        for text in row.prefixes:
            prefix = prefix_of(text)
            if prefix.version == 4:
                yield row.name, prefix


def _reserved(pools: Iterable[PoolRow]) -> Iterator[int]:
    for row in pools:
        for prefix in map(prefix_of, row.reserved):
            yield from range(prefix.first, prefix.last + 1)
