"""Whether the books of the allocation agree: counts with slots, lines with chains.

Everything here is counted again from the slots, which takes a microsecond each: it is
for tests, for the end of a start, and for who has a doubt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ipserver.address_space import USED, AddressSpace
from ipserver.lease_table import LEASED, NONE, OFFERED, LeaseTable


def discrepancies(space: AddressSpace, table: LeaseTable) -> Iterator[str]:
    """Name everything that does not agree; nothing when all does."""
    by_pool: dict[int, Counter[int]] = {}
    live: Counter[int] = Counter()
    reserved: Counter[int] = Counter()
    for address, slot in table.slot_of.items():
        state, block = table.state[slot], table.block[slot]
        held = space.pool[block] != NONE  # else it was in a block that is gone
        if table.address[slot] != address or (
            held and space.block_at(address) != block
        ):
            yield f"slot {slot} is not at address {address}"
        by_pool.setdefault(space.pool[block], Counter())[state] += 1
        live[block] += state in (OFFERED, LEASED)
        # Somebody may have what was reserved since, for a while.
        reserved[space.pool[block]] += USED[state] and address in space.excluded
        if state in (OFFERED, LEASED) and table.line[slot] == NONE:
            yield f"slot {slot} is in use by no line"
    for pool in space.pools:
        counted = by_pool.get(pool.number, Counter())
        if pool.counts != [counted[state] for state in range(len(pool.counts))]:
            yield f"pool {pool.name} counts {pool.counts}, and has {dict(counted)}"
        blocks = (b for b, number in enumerate(space.pool) if number == pool.number)
        size = sum(map(space.size, blocks))
        if pool.size != size:
            yield f"pool {pool.name} says it has {pool.size} addresses, not {size}"
        used = sum(counted[state] for state, taken in enumerate(USED) if taken)
        if pool.used != used:
            yield f"pool {pool.name} says {pool.used} are used, not {used}"
        if used - reserved[pool.number] > size:
            yield f"pool {pool.name} uses {used} of {size} addresses"
    for block, count in enumerate(space.live):
        if space.pool[block] != NONE and count != live[block]:
            yield f"block {block} says {count} are live, not {live[block]}"
    chained = 0
    for key, number in table.line_of.items():
        if table.line_keys[number] != key:
            yield f"line {key!r} is not number {number}"
        for slot in table.slots_of(key):
            chained += 1
            if table.line[slot] != number:
                yield f"slot {slot} is in the chain of another line"
    linked = sum(table.line[slot] != NONE for slot in table.slot_of.values())
    if chained != linked:
        yield f"{linked} slots have a line, and {chained} are in a chain"
