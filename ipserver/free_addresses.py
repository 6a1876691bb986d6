"""Which address is given next, in constant time however full the pool is.

A pool gives from a few blocks at a time, whose free addresses are shuffled: nobody
outside can tell the next one, and blocks that were never touched stay
whole, to be lent. Behind them come addresses given up so long ago that their line will
not miss them, then untouched blocks, then whatever has cooled down. Nothing is made
ready for a pool in advance, and nothing is searched: what is stale in a queue is passed
over once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from config.schema import LeaseSettings
from ipserver.address_space import (
    OPEN,
    USED,
    AddressSpace,
    Pool,
)
from ipserver.lease_table import (
    COOLING,
    DECLINED,
    FREE,
    IN_QUEUE,
    NEW,
    NONE,
    OFFERED,
    OFFERED_AGAIN,
    LeaseTable,
)
from ipserver.pool_blocks import LIVE, PoolBlocks

_FILLING: Final = 512
"""Addresses that a pool gives from at once, in an order that nobody can guess: of eight
blocks where they have 64, which cannot be lent for being touched."""

_PASSED_OVER: Final = 64
"""Queue entries, or blocks, that one ask goes through at most beyond what it takes."""


class FreeAddresses(PoolBlocks):
    """Takes addresses for leases and gets them back; keeps every count.

    ``random`` gives numbers in [0, 1) that nobody can foretell.
    """

    def __init__(
        self,
        space: AddressSpace,
        table: LeaseTable,
        settings: LeaseSettings,
        random: Callable[[], float],
    ) -> None:
        super().__init__(space, table)
        self._random = random
        self._cool_down = settings.cool_down_seconds
        self._affinity = settings.affinity_seconds

    def move(self, slot: int, state: int) -> Pool | None:
        """Bring a slot into a state, and count it there; give its pool."""
        table = self._table
        before = table.state[slot]
        table.state[slot] = state
        block, space = table.block[slot], self._space
        number = space.pool[block]
        if number == NONE:  # its prefix is gone, and with it all counts
            return None
        live = LIVE[state] - LIVE[before]
        if live:
            space.live[block] += live
        pool = space.pools[number]
        counts = pool.counts
        counts[before] -= 1
        counts[state] += 1
        pool.used += USED[state] - USED[before]
        return pool

    def pool_of(self, slot: int) -> Pool | None:
        """Give the pool that a slot is in; None when its block is in none."""
        number = self._space.pool[self._table.block[slot]]
        return None if number == NONE else self._space.pools[number]

    def pool_giving(self, slot: int) -> Pool | None:
        """Give the pool that may lease a slot's address; None when none may, or may not
        any more: the network's file can reserve what somebody has.
        """
        table, space = self._table, self._space
        if table.address[slot] in space.excluded:
            return None
        number = space.pool[table.block[slot]]
        return None if number == NONE else space.pools[number]

    def take(self, pool: Pool, now: int) -> int:
        """Take an address for a new lease: its slot; NONE when there is none."""
        if (
            pool.cooling
            or pool.quarantine
            or (pool.offers and self._table.until[pool.offers[0]] <= now)
        ):
            self.settle(pool, now, _PASSED_OVER)
        slot = self._fresh(pool)
        if slot == NONE:
            slot = self._freed(pool, now - self._affinity)
        if slot == NONE and self._touch(pool):
            slot = self._fresh(pool)
        if slot == NONE:
            slot = self._freed(pool, now)
        return slot

    def claim(self, address: int) -> int:
        """Take this address when nobody has it and its pool gives: its slot, or NONE.

        The slot's own line, if it has one, is for the caller to look at.
        """
        slot = self._table.slot_of.get(address, NONE)
        if slot != NONE:
            open_ = self._space.status[self._table.block[slot]] == OPEN
            free = self._table.state[slot] in (NEW, COOLING, FREE)
            known = address not in self._space.excluded
            return slot if open_ and free and known else NONE
        block = self._space.block_at(address)
        if (
            block == NONE
            or self._space.status[block] != OPEN
            or address in self._space.excluded
        ):
            return NONE
        return self._add(address, block)

    def _add(self, address: int, block: int) -> int:
        slot = self._table.add(address, block)
        number = self._space.pool[block]
        if number != NONE:
            self._space.pools[number].add(NEW, 1)
        return slot

    def _fresh(self, pool: Pool) -> int:
        filling, space, table = pool.filling, self._space, self._table
        while filling:
            entry = filling.pop()
            block, address = entry >> 32, entry & 0xFFFF_FFFF
            if (
                address not in table.slot_of
                and address not in space.excluded
                and space.pool[block] == pool.number
                and space.status[block] == OPEN
            ):
                pool.counts[NEW] += 1
                return table.add(address, block)
        return NONE

    def _touch(self, pool: Pool) -> bool:
        """Begin to give from untouched blocks; False when there are none."""
        untouched, space, known = pool.untouched, self._space, self._table.slot_of
        looks = _PASSED_OVER
        entries: list[int] = []
        while untouched and looks and len(entries) < _FILLING:
            looks -= 1
            pick = int(self._random() * len(untouched))
            block = untouched[pick]
            untouched[pick] = untouched[-1]
            untouched.pop()
            if space.pool[block] == pool.number and space.status[block] == OPEN:
                head = block << 32
                entries += [head | a for a in space.usable(block) if a not in known]
        # By numbers that nobody can foretell: so is the order of the addresses.
        entries.sort(key=lambda _: self._random())
        pool.filling = entries
        return bool(entries)

    def _freed(self, pool: Pool, ended_before: int) -> int:
        """Take the address that was given up first, if that was long enough ago."""
        queue, table = pool.freed, self._table
        while queue:
            slot = self._standing(pool, queue[0], FREE)
            if slot != NONE and table.until[slot] > ended_before:
                return NONE
            queue.popleft()
            if slot != NONE and table.address[slot] not in self._space.excluded:
                table.unlink(slot)
                return slot
        return NONE

    def _standing(self, pool: Pool, entry: int, state: int) -> int:
        """Give the slot of a queue's entry; NONE when it is not there any more."""
        table, slot = self._table, entry >> 16
        block = table.block[slot]
        if (
            table.stamp[slot] == entry & 0xFFFF
            and table.state[slot] == state
            and self._space.pool[block] == pool.number
            and self._space.status[block] == OPEN
        ):
            return slot
        return NONE

    def give_back(self, slot: int, ended: int, now: int) -> None:
        """End what a slot was used for at ``ended``; its line keeps the memory."""
        table, pool = self._table, self.pool_of(slot)
        table.until[slot] = ended
        cool = ended + self._cool_down > now
        self.move(slot, COOLING if cool else FREE)
        if pool is not None:
            (pool.cooling if cool else pool.freed).append(self._entry(slot))

    def quarantine(self, slot: int, until: int) -> None:
        """Keep an address from use, which is nobody's then."""
        table, pool = self._table, self.pool_of(slot)
        table.until[slot] = until
        self.move(slot, DECLINED)
        if pool is not None:
            pool.quarantine.append(self._entry(slot))

    def offer(self, slot: int, until: int) -> None:
        """Keep an address for who was offered it."""
        table = self._table
        table.until[slot] = until
        pool = self.move(slot, OFFERED)
        flags = table.flags[slot]
        if flags & IN_QUEUE:
            table.flags[slot] = flags | OFFERED_AGAIN
        elif pool is not None:
            table.flags[slot] = flags | IN_QUEUE
            pool.offers.append(slot)

    def settle(self, pool: Pool, now: int, limit: int) -> bool:
        """Let go of offers, cool-downs and quarantines whose time is over.

        Goes through ``limit`` entries of each at most; whether more may be due.
        """
        more = False
        for _ in range(limit):
            if not pool.offers or self._waits(pool.offers[0], now):
                break
            self._drop_offer(pool, now)
        else:
            more = True
        for queue, state, wait in (
            (pool.cooling, COOLING, self._cool_down),
            (pool.quarantine, DECLINED, 0),
        ):
            more |= self._let_go(pool, queue, state, now - wait, limit)
        return more

    def _waits(self, slot: int, now: int) -> bool:
        """Whether the offer that stands first is valid, and so are all behind it: not
        when it was taken, or offered again, in the meantime.
        """
        table = self._table
        return (
            table.state[slot] == OFFERED
            and table.until[slot] > now
            and not table.flags[slot] & OFFERED_AGAIN
        )

    def _drop_offer(self, pool: Pool, now: int) -> None:
        table, slot = self._table, pool.offers.popleft()
        if table.state[slot] == OFFERED and table.until[slot] > now:
            table.leave(slot, OFFERED_AGAIN)
            pool.offers.append(slot)
            return
        table.leave(slot, IN_QUEUE | OFFERED_AGAIN)
        if table.state[slot] == OFFERED:
            self.withdraw(slot, now)

    def withdraw(self, slot: int, now: int) -> None:
        """Take an offer back: nobody has used the address, so it need not cool down."""
        pool = self.pool_of(slot)
        self._table.until[slot] = now
        self.move(slot, FREE)
        if pool is not None:
            pool.freed.append(self._entry(slot))

    def _let_go(
        self, pool: Pool, queue: deque[int], state: int, before: int, limit: int
    ) -> bool:
        table = self._table
        for _ in range(limit):
            if not queue:
                return False
            slot, stamp = queue[0] >> 16, queue[0] & 0xFFFF
            if table.stamp[slot] == stamp and table.state[slot] == state:
                if table.until[slot] > before:
                    return False
                self.move(slot, FREE)
                pool.freed.append(self._entry(slot))
            queue.popleft()
        return True

    def relieve(self, pool: Pool, now: int, count: int, oldest: int) -> int:
        """Make addresses free before their time: how many, ``count`` at most.

        First the oldest that cool down, then offers made before ``oldest``.
        """
        made, table = 0, self._table
        for _ in range(_PASSED_OVER):
            if made >= count or not pool.cooling:
                break
            entry = pool.cooling.popleft()
            slot = entry >> 16
            if table.stamp[slot] == entry & 0xFFFF and table.state[slot] == COOLING:
                self.move(slot, FREE)
                pool.freed.append(self._entry(slot))
                made += 1
        for _ in range(_PASSED_OVER):
            if made >= count or not pool.offers:
                break
            slot = pool.offers[0]
            if table.state[slot] == OFFERED and table.extended[slot] > oldest:
                if not table.flags[slot] & OFFERED_AGAIN:
                    break
                self._drop_offer(pool, now)
                continue
            pool.offers.popleft()
            table.leave(slot, IN_QUEUE | OFFERED_AGAIN)
            if table.state[slot] == OFFERED:
                self.withdraw(slot, now)
                made += 1
        return made

    def declined(self, pool: Pool, before: int, count: int) -> list[int]:
        """List slots whose quarantine ends before a time, ``count`` at most."""
        table = self._table
        found: list[int] = []
        for entry in pool.quarantine:
            slot = entry >> 16
            if len(found) >= count or table.until[slot] > before:
                break
            if table.stamp[slot] == entry & 0xFFFF and table.state[slot] == DECLINED:
                found.append(slot)
        return found
