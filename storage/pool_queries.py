"""The parts of each pool as the stores have them, while the address server is away.

What is on offer or cools down is in its memory alone: None here, not 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, func, select

from config.addresses import Pool
from config.network import Network
from config.values import prefix_of
from ipserver.address_space import excluded
from ipserver.decision import NETWORK
from ipserver.holdings import terms_of
from ipserver.over_allocation_state import HOMEWARD
from ipserver.pressure import Level
from ipserver.walled_gardens import capacity_of, gardens_of
from storage.lease_tables import address_quarantine, lease
from storage.over_allocation import load_state


def pool_parts(
    connection: Connection, network: Network, now: int
) -> list[dict[str, Any]]:
    """List every pool with its parts in addresses, as ``fairlane pools`` shows them."""
    state = load_state(connection)
    terms = terms_of(network)
    state.agree(terms, now)
    leases = lease.c
    live = select(leases.pool, func.count()).where(
        leases.ended_at.is_(None), leases.expires_at > now
    )
    rows = connection.execute(live.group_by(leases.pool)).all()
    leased: dict[str, int] = {pool: count for pool, count in rows}  # noqa: C416
    blocks = sorted(state.blocks.values(), key=lambda block: block.first)
    starts = [block.first for block in blocks]
    kept = address_quarantine.c
    standing = select(kept.address).where(kept.released_at.is_(None), kept.until > now)

    def by_holder(addresses: Iterable[int]) -> Counter[str]:
        places = (bisect_right(starts, address) - 1 for address in addresses)
        inside = [
            blocks[place]
            for address, place in zip(addresses, places, strict=True)
            if place >= 0 and address <= blocks[place].last
        ]
        return Counter(block.holder for block in inside if block.state not in HOMEWARD)

    quarantined, barred = connection.scalars(standing).all(), excluded(network)
    declined, unleasable = by_holder(quarantined), by_holder(barred)
    found = []
    for pool in terms.pools():
        tally = state.tally(pool.name)
        used = leased.get(pool.name, 0) + declined[pool.name]
        capacity = tally.capacity
        free = max(0, capacity - unleasable[pool.name] - used)
        found.append(
            {
                "pool": pool.name,
                "tenant": pool.tenant,
                "area": pool.area,
                "walled_garden": False,
                "level": Level(state.memory(pool.name).level).name.lower(),
                "leased": leased.get(pool.name, 0),
                "offered": None,
                "declined": declined[pool.name],
                "cooling": None,
                "lent": tally.lent,
                "borrowed": tally.borrowed,
                "free": free,
                "owned": tally.owned,
                "capacity": capacity,
                "guaranteed": pool.guaranteed,
                "burst_cap": pool.burst_cap(tally.owned, terms.block_size),
                "utilisation": _utilisation(used, free),
                "seconds_left": None,
            }
        )
    return found + [
        _garden(pool, leased.get(pool.name, 0), quarantined, barred)
        for pool in gardens_of(network)
    ]


def _utilisation(used: int, free: int) -> float:
    """Of what can be leased, as the address server measures it."""
    return round(used / (used + free), 4) if used + free else 1.0


def _garden(
    pool: Pool, leased: int, quarantined: Iterable[int], barred: Iterable[int]
) -> dict[str, Any]:
    prefixes = [prefix_of(text) for text in pool.prefixes]
    spans = [(p.first, p.last) for p in prefixes if p.version == 4]
    declined, unleasable = (
        sum(any(first <= address <= last for first, last in spans) for address in some)
        for some in (quarantined, barred)
    )
    capacity, used = capacity_of(pool), leased + declined
    free = max(0, capacity - unleasable - used)
    nothing = dict.fromkeys(("offered", "cooling", "seconds_left", "level"))
    return {
        "pool": pool.name,
        "tenant": NETWORK,
        "area": pool.area,
        "walled_garden": True,
        **nothing,
        "leased": leased,
        "declined": declined,
        "lent": 0,
        "borrowed": 0,
        "free": free,
        "owned": capacity,
        "capacity": capacity,
        "guaranteed": 0,
        "burst_cap": capacity,
        "utilisation": _utilisation(used, free),
    }
