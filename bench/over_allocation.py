"""How long the over-allocation takes: a look at all pools, and one decision.

Run ``python -m bench.over_allocation``. Many ISPs with a pool each, of which every
second one has lent a block to its neighbour; nothing is leased, so what is measured is
the over-allocation and not the leases. There is no peer: no other server does this.
"""

from __future__ import annotations

import random
import time

import msgspec

from config.network import Network
from config.schema import LeaseSettings
from ipserver.allocation import Allocation
from ipserver.decision import decide
from ipserver.over_allocation import OverAllocation
from ipserver.over_allocation_command import Action, Command
from ipserver.over_allocation_state import State

POOLS = 200
NOW = 1_790_000_000
TICKS = 50
DECISIONS = 2000


def network() -> Network:
    """A pool of 4096 addresses for each ISP, and a reserve that must be asked."""
    names = range(POOLS)
    return msgspec.convert(
        {
            "area": [{"name": "x"}],
            "isp": [{"name": f"isp{n}"} for n in names],
            "pool": [
                {"name": f"p{n}", "area": "x", "isp": f"isp{n}", "burst": 1 << 20}
                | {"prefixes": [f"10.{n}.0.0/20"], "lending": 2048}
                for n in names
            ],
            "reserve": [{"name": "r", "prefixes": ["11.0.0.0/16"]}],
            "over_allocation": [{"reserve_auto_max": 0}],
        },
        Network,
    )


def main() -> None:
    """Measure and print."""
    allocation = Allocation(LeaseSettings(), random=random.Random(1).random, now=NOW)
    allocation.change_network(network(), NOW)
    manager = OverAllocation(State(), allocation)
    manager.agree(network(), NOW)
    for number in range(POOLS // 2):
        command = Command(
            number + 1, "network", "bench", Action.RAISE, pool=f"p{number}"
        )
        manager.carry_out(command, NOW + number)
        while steps := manager.take():
            for step in steps:
                manager.durable(step, NOW + number)
    loans = len(manager.state.loans)
    began = time.perf_counter()
    for second in range(TICKS):
        manager.tick(NOW + 200 + second)
        for step in manager.take():
            manager.durable(step, NOW + 200 + second)
    ticks = (time.perf_counter() - began) / TICKS
    pool = manager.figures.terms.holders["p0"]
    began = time.perf_counter()
    request = next(iter(manager.state.requests.values()), None)
    command = Command(POOLS, "network", "bench", Action.RAISE, pool=pool.name, size=64)
    manager.carry_out(command, NOW + 500)
    alone = time.perf_counter() - began
    step = manager.take()[0]
    snapshot = step.change.decisions[0].snapshot
    began = time.perf_counter()
    for _ in range(DECISIONS):
        decide(snapshot)
    pure = (time.perf_counter() - began) / DECISIONS
    assert request is None
    print(f"{POOLS} pools, {loans} loans")
    print(f"tick over all pools and loans: {ticks * 1000:.1f} ms")
    print(f"a request raised, decided and encoded: {alone * 1000:.1f} ms")
    print(f"the decision alone, {len(snapshot.sources)} sources: {pure * 1e6:.0f} us")


if __name__ == "__main__":
    main()
