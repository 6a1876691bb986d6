"""Blocks as pools have them: what is in one comes with it and goes with it."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator
from typing import Final

from ipserver.address_space import CLOSED, OPEN, AddressSpace, BlockUsage, Pool
from ipserver.lease_table import (
    COOLING,
    DECLINED,
    FREE,
    IN_QUEUE,
    LEASED,
    NONE,
    OFFERED,
    STATES,
    LeaseTable,
)

LIVE: Final = (False, True, True, False, False, False)
"""Whether a client has an address or may take it, by the state of its slot."""


class PoolBlocks:
    """Puts blocks into pools and takes them out; keeps every count."""

    def __init__(self, space: AddressSpace, table: LeaseTable) -> None:
        self._space = space
        self._table = table

    def _entry(self, slot: int) -> int:
        stamp = self._table.stamp[slot] = self._table.stamp[slot] + 1 & 0xFFFF
        return slot << 16 | stamp

    def loaded(self) -> None:
        """After a start, bring what was given up into its order in time, and leave out
        blocks with nothing untouched: an ask looks at few of them, and gives up."""
        until, size = self._table.until, self._space.size
        known = self._table.by_block()
        for pool in self._space.pools:
            for queue in (pool.cooling, pool.freed, pool.quarantine):
                entries = sorted(queue, key=lambda entry: until[entry >> 16])
                queue.clear()
                queue.extend(entries)
            untouched = [b for b in pool.untouched if known[b] < size(b)]
            pool.untouched = array("I", untouched)

    def slots_in(self, block: int) -> Iterator[int]:
        """Go through the slots of a block."""
        known = self._table.slot_of
        if not known:  # at the start a /8 would be 16 million looks
            return
        first = self._space.first[block]
        for address in range(first, first + self._space.addresses[block]):
            slot = known.get(address, NONE)
            if slot != NONE:
                yield slot

    def attach(self, block: int, pool: Pool, status: int, *, new: bool = False) -> None:
        """Put a block, with what is in it, into a pool; ``new`` if it never was in any,
        so that it need not be looked for among the pool's."""
        space, table = self._space, self._table
        space.pool[block] = pool.number
        pool.size += space.size(block)
        if table.slot_of:
            for slot in self.slots_in(block):
                table.block[slot] = block
                state = table.state[slot]
                pool.add(state, 1)
                space.live[block] += LIVE[state]
                if state in (COOLING, DECLINED):
                    queue = pool.cooling if state == COOLING else pool.quarantine
                    queue.append(self._entry(slot))
                elif state == OFFERED and table.enter(slot, IN_QUEUE):
                    pool.offers.append(slot)
        self.change_status(block, status, new=new)

    def detach(self, block: int) -> None:
        """Take a block, with what is in it, from its pool."""
        space = self._space
        pool = space.pools[space.pool[block]]
        for slot in self.slots_in(block):
            pool.add(self._table.state[slot], -1)
        pool.size -= space.size(block)
        space.live[block] = 0
        space.pool[block], space.status[block] = NONE, CLOSED

    def change_status(self, block: int, status: int, *, new: bool = False) -> None:
        """Let a pool give from a block, or not; what is free in it follows."""
        space = self._space
        before, space.status[block] = space.status[block], status
        if status != OPEN or before == OPEN:
            return
        pool = space.pools[space.pool[block]]
        if new or block not in pool.untouched:
            pool.untouched.append(block)
        for slot in self.slots_in(block):
            if self._table.state[slot] == FREE:
                pool.freed.append(self._entry(slot))

    def give_again(self, addresses: Collection[int]) -> None:
        """Give from addresses that the network's file does not reserve any more."""
        space, table = self._space, self._table
        blocks = {space.block_at(address) for address in addresses} - {NONE}
        for block in blocks:
            if space.status[block] == OPEN:
                pool = space.pools[space.pool[block]]
                if block not in pool.untouched:
                    pool.untouched.append(block)
        for address in addresses:
            slot = table.slot_of.get(address, NONE)
            if slot != NONE and table.state[slot] == FREE:
                number = space.pool[table.block[slot]]
                if number != NONE:
                    space.pools[number].freed.append(self._entry(slot))

    def usage(self, block: int) -> BlockUsage:
        """Say what a block's addresses are doing."""
        counts, last = [0] * STATES, 0
        for slot in self.slots_in(block):
            state = self._table.state[slot]
            counts[state] += 1
            if state == LEASED:
                last = max(last, self._table.until[slot])
        size = self._space.size(block)
        leased, offered = counts[LEASED], counts[OFFERED]
        declined, cooling = counts[DECLINED], counts[COOLING]
        free = size - leased - offered - declined - cooling
        return BlockUsage(size, leased, offered, declined, cooling, free, last)
