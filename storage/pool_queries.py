"""The parts of each pool as the stores have them, while the address server is away.

What is on offer or cools down is in its memory alone: None here, not 0.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from typing import Any

from sqlalchemy import Connection, func, select

from config.network import Network
from ipserver.holdings import terms_of
from ipserver.pressure import Level
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
    rows = connection.execute(live.group_by(leases.pool)).tuples()
    leased: dict[str, int] = dict(rows.all())
    blocks = sorted(state.blocks.values(), key=lambda block: block.first)
    starts = [block.first for block in blocks]
    kept = address_quarantine.c
    standing = select(kept.address).where(kept.released_at.is_(None), kept.until > now)
    declined: Counter[str] = Counter()
    for address in connection.scalars(standing):
        place = bisect_right(starts, address) - 1
        if place >= 0 and address <= blocks[place].last:
            declined[blocks[place].holder] += 1
    found = []
    for pool in terms.pools():
        tally = state.tally(pool.name)
        used = leased.get(pool.name, 0) + declined[pool.name]
        capacity = tally.capacity
        found.append(
            {
                "pool": pool.name,
                "tenant": pool.tenant,
                "area": pool.area,
                "level": Level(state.memory(pool.name).level).name.lower(),
                "leased": leased.get(pool.name, 0),
                "offered": None,
                "declined": declined[pool.name],
                "cooling": None,
                "lent": tally.lent,
                "borrowed": tally.borrowed,
                "free": max(0, capacity - used),
                "owned": tally.owned,
                "capacity": capacity,
                "guaranteed": pool.guaranteed,
                "burst_cap": max(tally.owned, pool.guaranteed + pool.burst),
                "utilisation": round(used / capacity, 4) if capacity else 1.0,
                "seconds_left": None,
            }
        )
    return found
