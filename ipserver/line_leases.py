"""What a line has when it asks: its client's own, the others', and what it had."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from ipserver.address_space import Pool
from ipserver.ask import Ask
from ipserver.bindings import Bindings
from ipserver.excess import Excess, ExcessPolicy
from ipserver.free_addresses import FreeAddresses
from ipserver.lease_table import (
    COOLING,
    FREE,
    GARDEN,
    GRACE,
    LEASED,
    NONE,
    OFFERED,
    OWN,
    SOLD,
    SUPERSEDED,
    LeaseTable,
)
from ipserver.lines import Party, Terms

KIND_OF: Final = {Excess.GRACE: GRACE, Excess.SELL: SOLD}
"""What addresses beyond the service's are given for, by its policy."""


class LineLeases:
    """One look at a line's slots; slots are NONE where there is no such.

    ``mine`` are the live leases of the client that asks, ``offer`` is its offer. Of the
    other clients, ``own``, ``extra`` and ``garden`` count live leases by what they are
    given for, on whatever subnet; ``offered`` the offers of the service's addresses,
    ``other_offer`` is one of any kind; ``oldest`` is the lease whose client was heard
    longest ago, ``garden_oldest`` that of the walled garden. ``superseded`` are leases
    of any client that are only kept until they end; ``memory`` are slots it had.
    """

    __slots__ = (
        "extra",
        "garden",
        "garden_oldest",
        "memory",
        "mine",
        "offer",
        "offered",
        "oldest",
        "other_offer",
        "own",
        "superseded",
    )

    def __init__(self) -> None:
        self.mine: list[int] = []
        self.memory: list[int] = []
        self.superseded: list[int] = []
        self.own = self.extra = self.garden = self.offered = 0
        self.offer = self.other_offer = self.oldest = self.garden_oldest = NONE


NOTHING: Final = LineLeases()
"""What a line has that nothing is known of; not to be changed."""


def same_client(table: LeaseTable, slot: int, ask: Ask) -> bool:
    """Whether a slot's client is the one that asks (RFC 2131 section 4.2).

    A client is known by its identifier, or by its hardware while one of the two
    messages has none.
    """
    known = table.client_id[slot]
    if known and ask.client_id:
        return known == ask.client_id
    return table.hardware[slot] == ask.hardware


def entitled(table: LeaseTable, free: FreeAddresses, slot: int, terms: Terms) -> bool:
    """Whether a line has the right to an address that it had or has, where it is."""
    pool, kind = free.pool_giving(slot), table.kind[slot]
    return _right(kind, pool, terms, terms.pools, terms.garden)


def counts(table: LeaseTable, free: FreeAddresses, slot: int, terms: Terms) -> bool:
    """Whether a lease is one of those that its line may have, on whatever subnet, and
    though it may have been reserved since."""
    pool, kind = free.pool_of(slot), table.kind[slot]
    return _right(kind, pool, terms, terms.pools_anywhere, terms.garden_anywhere)


def _right(
    kind: int,
    pool: Pool | None,
    terms: Terms,
    pools: Container[str],
    garden: Container[str],
) -> bool:
    if pool is None or kind == SUPERSEDED:
        return False
    if kind != GARDEN:
        return terms.addresses > 0 and pool.name in pools
    walled = terms.excess.policy is Excess.WALLED_GARDEN
    return pool.name in garden and (not terms.addresses or walled)


def look(
    table: LeaseTable,
    free: FreeAddresses,
    bindings: Bindings,
    party: Party,
    ask: Ask,
    now: int,
) -> LineLeases:
    """Look at a line; what is over ends on the way.

    What other clients have of pools that the line has no right to any more counts for
    nothing: they are refused at their next renewal.
    """
    number = table.line_of.get(party.line, NONE)
    if number == NONE:
        return NOTHING
    found = LineLeases()
    slot = table.heads[number]
    while slot != NONE:
        state = table.state[slot]
        if state in (LEASED, OFFERED) and table.until[slot] <= now:
            if state == LEASED:
                bindings.lapse(slot, now)
            else:
                free.withdraw(slot, now)
            state = table.state[slot]
        if state == LEASED:
            if table.kind[slot] == SUPERSEDED:
                found.superseded.append(slot)
            if same_client(table, slot, ask):
                found.mine.append(slot)
            elif counts(table, free, slot, party.terms):
                _count(table, slot, party.terms.excess, found)
        elif state == OFFERED:
            if same_client(table, slot, ask):
                found.offer = slot
            else:
                found.other_offer = slot
                found.offered += table.kind[slot] == OWN
        elif state in (COOLING, FREE):
            found.memory.append(slot)
        slot = table.next[slot]
    return found


def _count(
    table: LeaseTable, slot: int, policy: ExcessPolicy, found: LineLeases
) -> None:
    kind, seen = table.kind[slot], table.seen
    if kind == GARDEN:
        found.garden += 1
        oldest = found.garden_oldest
        if oldest == NONE or seen[slot] < seen[oldest]:
            found.garden_oldest = slot
        return
    if kind == OWN:
        found.own += 1
    else:
        found.extra += 1
        if KIND_OF.get(policy.policy) != kind:
            return  # of another policy before: refused to whoever has it, or took it
    if found.oldest == NONE or seen[slot] < seen[found.oldest]:
        found.oldest = slot
