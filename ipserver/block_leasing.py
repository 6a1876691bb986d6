"""Blocks as the leases see them: which pool gives from each, and on which terms.

Who decides about blocks (``ipserver.block``) tells here what follows for leases: opened
for a pool, held (renewals go on, nothing new), drained (leases end with the time they
have), closed. Local relief of a pool that runs short is here as well.
"""

from __future__ import annotations

from collections.abc import Callable

from config.network import Network
from config.schema import LeaseSettings
from ipserver import records
from ipserver.address_space import (
    CLOSED,
    DRAINING,
    HELD,
    OPEN,
    AddressSpace,
    BlockUsage,
    PoolUsage,
)
from ipserver.answer import Lease
from ipserver.ask import Ask
from ipserver.audit import discrepancies
from ipserver.bindings import Bindings
from ipserver.block import Block
from ipserver.excess import ExcessBook, Spent
from ipserver.free_addresses import FreeAddresses
from ipserver.lease_table import DECLINED, LEASED, NONE, OFFERED, LeaseTable
from ipserver.line_texts import LineId
from ipserver.lines import Lines, Party
from ipserver.record_columns import sorted_out
from ipserver.restoring import Restoring

OFFER_SECONDS_MIN = 10
"""A client has this long to take an offer, however short the pool is."""
_SKEW_SECONDS = 2
"""Clocks drift apart by less, and records do not follow each of their steps."""
_JUMP_SECONDS = 60


Promised = tuple[Ask, Party, Lease]
"""What was asked, who asked, and what was offered."""

Random = Callable[[], float]
"""Gives numbers in [0, 1) that nobody can foretell."""


class BlockLiveError(Exception):
    """The block has live leases: it must not be closed. A bug, never bad input."""


class BlockLeasing:
    """The state that leases and blocks share, and what is done to blocks.

    Times are seconds on one clock that does not jump, and near the wall clock's.
    """

    def __init__(self, settings: LeaseSettings, *, random: Random, now: float) -> None:
        self._settings = settings
        self._random = random
        self._space = AddressSpace()
        self._table = LeaseTable()
        self._free = FreeAddresses(self._space, self._table, settings, random)
        self._bindings = Bindings(
            self._space, self._table, self._free, settings, int(now)
        )
        self._restoring = Restoring(
            self._space, self._table, self._free, self._bindings.wheel
        )
        self._book = ExcessBook()
        self._lines = Lines(Network())
        self._newly_named: set[LineId] = set()
        self._promised: dict[int, Promised] = {}
        """By slot, what the last offer of it was made on; nothing once that changed."""
        self._loading = False

    def change_network(
        self, network: Network, now: float, lines: Lines | None = None
    ) -> None:
        """Serve another network from the next ask on.

        ``lines`` are those of the network, where they were compiled beforehand.

        New blocks are open for the pool that they are at home in; blocks whose prefix
        is gone are closed, and whoever has an address in them is refused its renewal.
        Blocks that are lent are with their holders again by ``hand_over``.
        """
        self._promised.clear()
        lines = lines or Lines(network)
        reserved = self._space.excluded
        new, gone = self._space.change(network)
        for block in gone:
            if self._space.pool[block] != NONE:
                self._free.detach(block)
        for block, pool in new:
            self._free.attach(block, pool, OPEN, new=True)
        self._free.give_again(reserved - self._space.excluded)
        self._bindings.forget_places()
        if self._table.line_of:
            self._newly_named |= lines.names() - self._lines.names()
        self._lines = lines

    def open_block(self, block: Block, pool: str, lease_seconds_max: int = 0) -> None:
        """Let a pool give from a block, in leases of so many seconds at most (0: as the
        pool does); nobody leases from what is the reserve's. Raises BlockLiveError when
        another pool has live leases in it.
        """
        self._promised.clear()
        number = self._number(block)
        holder = self._space.by_name.get(pool)
        if holder is None:
            self.close_block(block)
            return
        if self._space.pool[number] not in {NONE, holder.number}:
            self.close_block(block)
        self._space.lease_max[number] = lease_seconds_max
        self._space.generation[number] = block.generation
        self._space.owner[number] = block.owner
        if self._space.pool[number] == NONE:
            self._free.attach(number, holder, OPEN)
        else:
            self._free.change_status(number, OPEN)

    def hold_block(self, block: Block, lease_seconds_max: int = 0) -> None:
        """Make no new bindings in a block; its holder's clients go on renewing."""
        self._free.change_status(self._held(block, lease_seconds_max), HELD)

    def drain_block(self, block: Block) -> None:
        """Let the leases in a block end with the time that they have."""
        self._free.change_status(self._held(block, 0), DRAINING)

    def _held(self, block: Block, lease_seconds_max: int) -> int:
        """Give a block's number, in its holder's hands: a start has it at home."""
        self._promised.clear()
        number = self._number(block)
        holder = self._space.by_name.get(block.holder)
        if holder is not None and self._space.pool[number] != holder.number:
            self.open_block(block, block.holder, lease_seconds_max)
        self._space.lease_max[number] = lease_seconds_max
        return number

    def close_block(self, block: Block) -> None:
        """Take a block out of its pool, and forget who had what in it; what somebody
        unknown uses stays in quarantine, wherever the block is next.

        Raises BlockLiveError while it has live leases.
        """
        self._promised.clear()
        number = self._number(block)
        if self._space.pool[number] == NONE:
            return
        if self._loading:
            self._free.detach(number)
            return
        slots = list(self._free.slots_in(number))
        if any(self._table.state[slot] in (OFFERED, LEASED) for slot in slots):
            raise BlockLiveError(f"{block} has live leases")
        self._free.detach(number)
        for slot in slots:
            if self._table.state[slot] != DECLINED:
                self._table.remove(slot)

    def hand_over(self, block: Block) -> None:
        """Put a block, with what is in it, into its holder's hands."""
        self._promised.clear()
        number = self._number(block)
        holder, own = self._space.by_name.get(block.holder), self._space.pool[number]
        if holder is not None and own not in (NONE, holder.number):
            self._free.detach(number)
            self._free.attach(number, holder, CLOSED)
            self._space.generation[number] = block.generation
            self._space.owner[number] = block.owner

    def block_usage(self, block: Block) -> BlockUsage:
        """Say what a block's addresses are doing."""
        return self._free.usage(self._number(block))

    def block_live(self, block: Block) -> int:
        """Count the addresses of a block on offer, leased or declined, at once."""
        return self._space.live[self._number(block)]

    def pool_usage(self, pool: str) -> PoolUsage:
        """Say what a pool's addresses are doing."""
        return self._space.usage(self._space.by_name[pool])

    def end_cool_down(self, pool: str, count: int, now: float) -> int:
        """Free addresses of a pool before their time: how many, ``count`` at most.

        First the oldest that cool down, then the oldest offers.
        """
        now = int(now)
        oldest = now - OFFER_SECONDS_MIN
        return self._free.relieve(self._space.by_name[pool], now, count, oldest)

    def end_quarantine(
        self, pool: str, count: int, now: float, after: int
    ) -> tuple[int, bytes]:
        """Use declined addresses again that were kept for ``after`` seconds.

        Gives how many, ``count`` at most, and the record to be made durable.
        """
        released, entries = 0, []
        began = int(now) + self._settings.quarantine_seconds - after
        for slot in self._free.declined(self._space.by_name[pool], began, count):
            self._free.withdraw(slot, int(now))
            at = int(now) + self._bindings.skew
            entries.append(records.reusable(at, self._table.address[slot]))
            released += 1
        return released, b"".join(entries)

    def _number(self, block: Block) -> int:
        number = self._space.block_at(block.first)
        if number == NONE or self._space.first[number] != block.first:
            raise KeyError(f"there is no block {block}")
        return number

    def begin_loading(self) -> None:
        """Take what was before the start: blocks first, then leases, in any order."""
        self._loading = True

    def restore(self, entry: records.Entry, now: float) -> bool:
        """Take a lease of the database or an entry of the journal; whether it fits."""
        if isinstance(entry, records.Excess):
            until, spent = entry.grace_until, (entry.month, entry.sold, entry.micro)
            self._book.remember(entry.line, Spent(*spent, until))
        return self._restoring.take(entry, int(now))

    def restore_bound(self, bound: records.BoundColumns, now: float) -> None:
        """Take bindings of addresses of which nothing was taken yet, each once."""
        self._restoring.take_bound(bound, int(now))

    def restore_journal(self, octets: bytes, now: float) -> None:
        """Take what the journal says, in its order."""
        bound, others = sorted_out(octets, self._table.slot_of.keys())
        self._restoring.take_bound(bound, int(now))
        for entry in others:
            self.restore(entry, now)

    def loaded(self) -> None:
        """End the loading: what was given up first is given first again."""
        self._loading = False
        self._restoring.loaded()
        self._free.loaded()

    def audit(self) -> list[str]:
        """Count everything again; name what does not agree, which is nothing."""
        return list(discrepancies(self._space, self._table))

    def follow_wall(self, skew: float, now: float) -> None:
        """Take how far the wall clock is ahead of ``now``, in seconds.

        After a jump, what was recorded before bears wrong times, so the next renewal of
        each lease is recorded whatever its age.
        """
        moved = abs(skew - self._bindings.skew)
        if moved >= _SKEW_SECONDS:
            self._bindings.skew = round(skew)
        if moved >= _JUMP_SECONDS:
            self.lost(now)

    def lost(self, now: float) -> None:
        """Take that records made until now may not be durable: a commit has failed."""
        self._bindings.distrusted = int(now)
