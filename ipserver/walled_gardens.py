"""Walled gardens as an operator sees pools: each part, and how long they will last.

They take no part in over-allocation, so nothing else measures how fast they fill.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from config.addresses import Pool
from config.network import Network
from config.over_allocation import OverAllocation
from config.values import prefix_of
from ipserver.address_space import PoolUsage
from ipserver.pressure import Growth, Pressure, grown
from ipserver.space import Space


class Garden(NamedTuple):
    """A walled garden at one moment: its pool, its use, and its pressure."""

    pool: Pool
    usage: PoolUsage
    pressure: Pressure


class WalledGardens:
    """Looks at the use of walled gardens from time to time; keeps only how it grows."""

    def __init__(self) -> None:
        self._growth: dict[str, Growth] = {}

    def look(self, network: Network, space: Space, now: float) -> None:
        """Take one more sight of each garden's use."""
        policies = network.over_allocation
        policy = policies[0] if policies else OverAllocation()
        before, self._growth = self._growth, {}
        for pool in gardens_of(network):
            usage = space.pool_usage(pool.name)
            growth = before.get(pool.name, Growth())
            used = usage.size - usage.free
            self._growth[pool.name] = grown(growth, used, int(now), policy)

    def show(self, network: Network, space: Space) -> Iterator[Garden]:
        """Give what each garden is like."""
        for pool in gardens_of(network):
            usage = space.pool_usage(pool.name)
            capacity = capacity_of(pool)
            pressure = Pressure(
                guaranteed=0,
                burst_cap=capacity,
                owned=capacity,
                borrowed=0,
                lent=0,
                capacity=capacity,
                used=usage.size - usage.free,
                free=usage.free,
                growth=self._growth.get(pool.name, Growth()).rate,
            )
            yield Garden(pool, usage, pressure)


def gardens_of(network: Network) -> list[Pool]:
    """The pools for lines that have no service."""
    return [pool for pool in network.pool if pool.walled_garden]


def capacity_of(pool: Pool) -> int:
    """How many IPv4 addresses a pool's prefixes have."""
    prefixes = map(prefix_of, pool.prefixes)
    return sum(int(prefix.size) for prefix in prefixes if prefix.version == 4)
