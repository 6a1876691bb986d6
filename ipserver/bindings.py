"""Bindings made, moved and ended: what memory has, and the record that says so.

Each change of a binding is one method, which gives the journal entry to be durable
before anybody is told. Memory is ahead of the disk: a record that cannot be written
leaves a binding that nobody was told of, which ends by itself and is given to no other.
"""

from __future__ import annotations

from config.schema import LeaseSettings
from ipserver import records
from ipserver.address_space import NETWORK, AddressSpace
from ipserver.ask import Ask
from ipserver.expiry import Wheel
from ipserver.free_addresses import FreeAddresses
from ipserver.lease_table import (
    GIVEN_UP,
    IN_WHEEL,
    LEASED,
    SUPERSEDED,
    LeaseTable,
)
from ipserver.line_texts import LineId, line_text
from ipserver.lines import Party
from ipserver.reasons import Reason


class Bindings:
    """The bindings of an address space. Times are whole seconds.

    ``skew`` is what must be added to the time that is passed in to get the wall
    clock's, which records have. Renewals of what was extended before ``distrusted``
    are always written: it is not certain that the disk has it.
    """

    def __init__(
        self,
        space: AddressSpace,
        table: LeaseTable,
        free: FreeAddresses,
        settings: LeaseSettings,
        now: int,
    ) -> None:
        self._space = space
        self._table = table
        self._free = free
        self._cached_part = settings.cached_percent / 100
        self.wheel = Wheel(now)
        self._placed: dict[tuple[int, str], bytes] = {}
        self.skew = 0
        self.distrusted = 0

    def bind(self, slot: int, party: Party, ask: Ask, now: int, until: int) -> bytes:
        """Make the binding of a slot, whose kind is set, to who asks."""
        table, space, line = self._table, self._space, party.line
        table.link(slot, line)
        table.hardware[slot] = ask.hardware
        table.client_id[slot] = ask.client_id
        if ask.area and ask.agent.octets:
            table.agent[slot] = ask.agent.octets
        table.until[slot] = until
        table.started[slot] = table.extended[slot] = table.seen[slot] = now
        if table.state[slot] != LEASED:
            self._free.move(slot, LEASED)
        flags = table.flags[slot]
        table.flags[slot] = flags & ~GIVEN_UP | IN_WHEEL
        if not flags & IN_WHEEL:
            self.wheel.add(slot, until)
        space.pools[space.pool[table.block[slot]]].new_bindings += 1
        return self._bound(slot, line, party.service, now)

    def supersede(self, slot: int, party: Party, now: int) -> bytes:
        """Keep a lease until it ends for its client, who has no right to it any more.

        The client may use the address until then (RFC 2131 section 3.1: it is told of
        nothing before it asks), so nobody else gets it.
        """
        self._table.kind[slot] = SUPERSEDED
        return self._bound(slot, party.line, party.service, now)

    def _bound(self, slot: int, line: LineId, service: str, now: int) -> bytes:
        """Record what a slot is from now on."""
        table, space, skew = self._table, self._space, self.skew
        block = table.block[slot]
        number = space.pool[block]
        return records.bound(
            now + skew,
            table.until[slot] + skew,
            table.address[slot],
            space.generation[block],
            table.kind[slot],
            self._placed.get((number, space.owner[block])) or self._place(block),
            line if isinstance(line, str) else line_text(line),
            service,
            table.hardware[slot],
            table.client_id[slot],
            table.agent[slot],
        )

    def _place(self, block: int) -> bytes:
        space = self._space
        pool, owner = space.pools[space.pool[block]], space.owner[block]
        isps = space.isp_of
        owning, holding = isps.get(owner, NETWORK), isps.get(pool.name, NETWORK)
        borrower = holding if holding != owning else ""
        placed = records.place(pool.name, pool.isp, owning, borrower)
        self._placed[pool.number, owner] = placed
        return placed

    def forget_places(self) -> None:
        """Look the parties of blocks up again: the network has changed."""
        self._placed.clear()

    def cached(self, slot: int, now: int) -> bool:
        """Whether a renewal need not be written: little of the lease has passed."""
        table = self._table
        extended = table.extended[slot]
        part = self._cached_part * (table.until[slot] - extended)
        return extended > self.distrusted and now - extended < part

    def extend(self, slot: int, ask: Ask, now: int, until: int) -> bytes:
        """Move the end of a binding."""
        table = self._table
        table.until[slot] = until
        table.extended[slot] = table.seen[slot] = now
        if ask.area and ask.agent.octets:  # else it need not be of the lease's line
            table.agent[slot] = ask.agent.octets
        skew = self.skew
        return records.extended(now + skew, until + skew, table.address[slot])

    def end(self, slot: int, now: int, reason: Reason) -> bytes:
        """End a binding before its time; its line keeps the memory of it."""
        self._free.give_back(slot, now, now)
        self._table.flags[slot] |= GIVEN_UP
        return records.ended(now + self.skew, self._table.address[slot], reason)

    def decline(self, slot: int, now: int, until: int) -> bytes:
        """Keep an address from use that its client found to be somebody else's."""
        table = self._table
        line = line_text(table.key_of(slot))
        self._free.quarantine(slot, until)
        table.unlink(slot)
        skew = self.skew
        return records.declined(now + skew, until + skew, table.address[slot], line)

    def lapse(self, slot: int, now: int) -> None:
        """End a lease whose time is over; the record of its end is its beginning's."""
        self._free.give_back(slot, self._table.until[slot], now)

    def turn(self, now: int, limit: int) -> bool:
        """End what is over, ``limit`` at most; whether more is."""
        table = self._table

        def meet(slot: int) -> int:
            if table.state[slot] != LEASED:
                table.leave(slot, IN_WHEEL)
                return 0
            until = table.until[slot]
            if until > now:
                return until
            table.leave(slot, IN_WHEEL)
            self.lapse(slot, now)
            return 0

        return self.wheel.turn(now, limit, meet)
