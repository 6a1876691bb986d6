"""Leases at a start: what the database and the journal say, back into memory.

One entry at a time, each after what was before it; and, of addresses that nothing is
known of yet, whole columns of bindings at once, which is how a million of them come
back in seconds. Both give the same state: a binding says everything about its address,
so nothing that was said of it before matters.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from itertools import compress
from typing import Final

from ipserver import records
from ipserver.address_space import NOWHERE, AddressSpace
from ipserver.expiry import Wheel
from ipserver.free_addresses import FreeAddresses
from ipserver.lease_table import (
    COOLING,
    DECLINED,
    FREE,
    GIVEN_UP,
    IN_WHEEL,
    LEASED,
    NEW,
    NONE,
    LeaseTable,
)
from ipserver.line_texts import line_of, lines_of
from ipserver.records import BoundColumns

_GIVEN: Final = (LEASED, COOLING, FREE)


class Restoring:
    """Fills an address space that nobody is answered from yet. Times are seconds."""

    def __init__(
        self, space: AddressSpace, table: LeaseTable, free: FreeAddresses, wheel: Wheel
    ) -> None:
        self._space = space
        self._table = table
        self._free = free
        self._wheel = wheel
        self._astray: list[int] = []
        self._future: dict[int, tuple[int, int]] = {}
        """By address, what its last record says where a clock wrote it that is set back
        since: when the lease was given or extended, and when it ends."""

    def take(self, entry: records.Entry, now: int) -> bool:
        """Take one entry of the database or the journal; whether it fits this space.

        The addresses of blocks that are gone do not; a lease of one that lives is known
        all the same, so that it is nobody else's if its prefix comes back.
        """
        if isinstance(entry, records.Excess):
            return True
        table, space = self._table, self._space
        slot = table.slot_of.get(entry.address, NONE)
        if slot == NONE:
            block = space.block_at(entry.address)
            if block == NONE or space.pool[block] == NONE:
                if not isinstance(entry, records.Bound):
                    return False
                slot = table.add(entry.address, NOWHERE)
                self._bind(slot, entry, now)
                self._astray.append(entry.address)
                return False
            slot = table.add(entry.address, block)
            space.pools[space.pool[block]].add(NEW, 1)
        state = table.state[slot]
        match entry:
            case records.Bound():
                self._bind(slot, entry, now)
            case records.Extended() if state in _GIVEN:
                self._note(entry.address, entry.at, entry.expires, now)
                at, until = _span(entry.at, entry.expires, now)
                table.until[slot] = until
                table.extended[slot] = table.seen[slot] = at
                if until > now and state != LEASED:
                    self._lease_again(slot)
            case records.Ended() if state in _GIVEN:
                if state == LEASED:
                    self._free.give_back(slot, min(entry.at, now), now)
                table.flags[slot] |= GIVEN_UP
            case records.Declined():
                table.unlink(slot)
                self._free.quarantine(slot, _span(entry.at, entry.until, now)[1])
            case records.Reusable() if state == DECLINED:
                self._free.withdraw(slot, min(entry.at, now))
            case _:
                pass  # the end of what has ended
        return True

    def _bind(self, slot: int, entry: records.Bound, now: int) -> None:
        table = self._table
        table.link(slot, line_of(entry.line))
        table.kind[slot] = entry.kind
        table.hardware[slot] = entry.hardware
        table.client_id[slot] = entry.client_id
        table.agent[slot] = entry.agent
        self._note(entry.address, entry.at, entry.expires, now)
        at, until = _span(entry.at, entry.expires, now)
        table.until[slot] = until
        table.started[slot] = table.extended[slot] = table.seen[slot] = at
        if until > now:
            self._lease_again(slot)
        else:
            table.leave(slot, GIVEN_UP)
            self._free.give_back(slot, until, now)

    def _lease_again(self, slot: int) -> None:
        table = self._table
        table.leave(slot, GIVEN_UP)
        if table.state[slot] != LEASED:
            self._free.move(slot, LEASED)
        if table.enter(slot, IN_WHEEL):
            self._wheel.add(slot, table.until[slot])

    def take_bound(self, bound: BoundColumns, now: int) -> None:
        """Take bindings of addresses that have no slot yet, each at most once."""
        if not bound.addresses:
            return
        if max(bound.at) > now:
            columns = (bound.addresses, bound.at, bound.expires)
            for address, at, until in zip(*columns, strict=True):
                self._note(address, at, until, now)
            spans = [
                _span(at, until, now)
                for at, until in zip(bound.at, bound.expires, strict=True)
            ]
            bound = bound._replace(
                at=[at for at, _ in spans], expires=[until for _, until in spans]
            )
        space = self._space
        blocks = space.blocks_at(bound.addresses)
        if NONE in blocks or NONE in map(space.pool.__getitem__, blocks):
            fits = [block != NONE and space.pool[block] != NONE for block in blocks]
            self._add_astray(_only(bound, [not fit for fit in fits]), now)
            bound, blocks = _only(bound, fits), array("I", compress(blocks, fits))
        if min(bound.expires, default=now + 1) > now:
            self._add_leased(bound, blocks)
            return
        live = [until > now for until in bound.expires]
        self._add_leased(_only(bound, live), array("I", compress(blocks, live)))
        over = [not alive for alive in live]
        self._add_ended(_only(bound, over), array("I", compress(blocks, over)), now)

    def _add_leased(self, bound: BoundColumns, blocks: Sequence[int]) -> None:
        slot = self._add(bound, blocks, LEASED, IN_WHEEL)
        live = self._space.live
        for block in blocks:
            live[block] += 1
        self._wheel.add_all(slot, bound.expires)

    def _add_astray(self, bound: BoundColumns, now: int) -> None:
        """Take bindings of addresses that no pool has; they may be extended later."""
        table, count = self._table, len(bound.addresses)
        if not count:
            return
        lines = lines_of(bound.lines)
        first = table.add_bound(bound, [NOWHERE] * count, lines, NEW, 0)
        self._astray += bound.addresses
        for slot in range(first, first + count):
            if table.until[slot] > now:
                self._lease_again(slot)
            else:
                self._free.give_back(slot, table.until[slot], now)

    def _note(self, address: int, at: int, until: int, now: int) -> None:
        if at > now:
            self._future[address] = at, until
        else:
            self._future.pop(address, None)

    def loaded(self) -> None:
        """Forget what no pool has and nobody either, and put last what was over."""
        self._put_last()
        table = self._table
        for address in self._astray:
            slot = table.slot_of.get(address, NONE)
            nowhere = slot != NONE and table.block[slot] == NOWHERE
            if nowhere and table.state[slot] in (COOLING, FREE):
                table.remove(slot)
        self._astray = []

    def _put_last(self) -> None:
        """Let what was over when its line had another lease, and lives again since the
        clock was set back, be one too many before that is.
        """
        table, future = self._table, self._future
        for address, (at, _) in future.items():
            slot = table.slot_of.get(address, NONE)
            if slot == NONE or table.state[slot] != LEASED:
                continue
            for other in table.slots_of(table.key_of(slot)):
                _, until = future.get(table.address[other], (0, table.until[other]))
                if other != slot and table.state[other] == LEASED and until <= at:
                    after = table.started[slot] + 1
                    table.started[other] = max(table.started[other], after)
        self._future = {}

    def _add_ended(self, bound: BoundColumns, blocks: Sequence[int], now: int) -> None:
        first = self._add(bound, blocks, NEW, 0)
        give_back = self._free.give_back
        for slot, until in enumerate(bound.expires, first):
            give_back(slot, until, now)

    def _add(
        self, bound: BoundColumns, blocks: Sequence[int], state: int, flags: int
    ) -> int:
        space = self._space
        for pool, count in Counter(map(space.pool.__getitem__, blocks)).items():
            space.pools[pool].add(state, count)
        return self._table.add_bound(bound, blocks, lines_of(bound.lines), state, flags)


def _only(bound: BoundColumns, which: Sequence[bool]) -> BoundColumns:
    return BoundColumns._make(list(compress(column, which)) for column in bound)


def _span(at: int, until: int, now: int) -> tuple[int, int]:
    """Give a record's times as they count from a start on.

    What is of the future was written before the clock was set back: it lasts as long
    as it was to last, from now on and no longer.
    """
    return (now, now + until - at) if at > now else (at, until)
