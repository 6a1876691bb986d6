"""What a DHCPDISCOVER is offered (RFC 2131 section 4.3.1).

The order in which an address is looked for is the RFC's: the client's binding, what its
line had before, what it asks for, a new one; and then the ladder. An offer is kept for
its line for a while and is nowhere but in memory; a line has one for each address that
it can have, and repeating oneself gets the same one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from config.schema import LeaseSettings
from ipserver.address_space import DRAINING, OPEN, Pool
from ipserver.admission import Admission
from ipserver.answer import Answer, Lease, Offer, Park, Silence
from ipserver.ask import Ask
from ipserver.block_leasing import OFFER_SECONDS_MIN, Random
from ipserver.excess import Excess
from ipserver.lease_lookup import LeaseLookup
from ipserver.lease_table import (
    GARDEN,
    GRACE,
    LEASED,
    NONE,
    OFFERED,
    OWN,
    SOLD,
)
from ipserver.lease_times import Jitter, lease_seconds
from ipserver.line_leases import KIND_OF, NOTHING, LineLeases, entitled, look
from ipserver.line_texts import LineId, line_text
from ipserver.lines import Party
from ipserver.reasons import Reason

Shortage = Callable[[str, str, float], str | None]
"""Told of a pool without an address, the line that wants one, and the time; gives the
id of the request that is being granted automatically, or None."""

_TURN: Final = 64
"""Ended leases that one ask clears away when its pool has no address."""

_RELIEF: Final = 16
"""Addresses freed before their time when a pool has none left."""

GRANTED_AGAIN: Final = frozenset({OWN, GARDEN})
"""What a line may have as long as the network is the same; the others are counted."""

_PROMISED: Final = 8192
"""Offers whose terms are remembered: those of a second under load."""

GRANTED: Final = {
    OWN: Reason.GRANTED_OWN,
    GARDEN: Reason.WALLED_GARDEN,
    GRACE: Reason.GRANTED_GRACE,
    SOLD: Reason.GRANTED_SOLD,
}


def wait_of(party: Party, ask: Ask) -> int:
    """Give the V6ONLY_WAIT that a reply tells; 0 unless the client asked for it.

    To who has not, option 108 must not be sent (RFC 8925 section 3.3).
    """
    return party.terms.ipv6_only_seconds if ask.ipv6_only else 0


def whose(slot: int, has: LineLeases) -> Reason:
    """Say why a line has again what was superseded: its client's own, or another's."""
    return Reason.RETURNED if slot in has.mine else Reason.REPLACED


class Offering(LeaseLookup):
    """Answers DHCPDISCOVER; see ``ipserver.allocation`` for the whole."""

    def __init__(
        self,
        settings: LeaseSettings,
        *,
        random: Random,
        now: float,
        shortage: Shortage | None,
    ) -> None:
        super().__init__(settings, random=random, now=now)
        self.shortage = shortage
        self._admission = Admission(
            self._table, self._free, self._bindings, self._book, settings
        )
        self._jitter = Jitter(random())
        self._offer_seconds = settings.offer_seconds
        self._line: LineId = ""
        """Whose ask is being answered, as far as that is known."""

    def _party(self, ask: Ask) -> Party | None:
        """Find who asks; a line that has got its name keeps what it had without."""
        party = self._lines.find(ask)
        if party is None:
            return None
        line = self._line = party.line
        if self._newly_named and line in self._newly_named:
            self._newly_named.discard(line)
            known, nameless = self._table.line_of, self._lines.nameless(ask)
            if line not in known and nameless in known:
                self._table.rename_line(nameless, line)
        if ask.link != ask.giaddr:
            return self._lines.on_link(party, ask.link)
        return party

    def _look(self, party: Party, ask: Ask, now: int) -> LineLeases:
        return look(self._table, self._free, self._bindings, party, ask, now)

    def _entitled(self, slot: int, party: Party) -> bool:
        return entitled(self._table, self._free, slot, party.terms)

    def _discover(self, ask: Ask, now: int) -> Answer:
        party = self._party(ask)
        if party is None:
            return Silence(Reason.NO_LINE)
        terms = party.terms
        pools = terms.pools if terms.addresses else terms.garden
        if not pools:
            empty = Reason.POOL_EMPTY if terms.addresses else Reason.NO_SERVICE
            return Silence(empty)
        if ask.ipv6_only and terms.ipv6_only_seconds:
            wait = terms.ipv6_only_seconds
            return Offer(Lease(0, pools[0], wait, wait, wait, Reason.IPV6_ONLY, wait))
        table = self._table
        if party.line not in table.line_of:
            kind = OWN if terms.addresses else GARDEN
            return self._grant(kind, pools, party, NOTHING, ask, now)
        has, settled = self._look(party, ask, now), NONE
        for slot in has.mine:
            if self._entitled(slot, party):
                settled = slot
                if self._space.status[table.block[slot]] == OPEN:
                    return self._promise(slot, ask, now, Reason.RENEWED)
        if has.offer != NONE and self._offerable(has.offer, party):
            return self._offer(has.offer, table.kind[has.offer], party, ask, now)
        if has.offer != NONE and not self._entitled(has.offer, party):
            self._free.withdraw(has.offer, now)  # the client is on another subnet now
        answer = self._another(party, pools, has, ask, now)
        if isinstance(answer, Offer | Park) or settled == NONE:
            return answer
        # Its block is to be given back, but there is no other address for it.
        return self._promise(settled, ask, now, Reason.RENEWED)

    def _offerable(self, slot: int, party: Party) -> bool:
        open_ = self._space.status[self._table.block[slot]] == OPEN
        return open_ and self._entitled(slot, party)

    def _another(
        self,
        party: Party,
        pools: tuple[str, ...],
        has: LineLeases,
        ask: Ask,
        now: int,
    ) -> Answer:
        """Find an address that the client has no binding of."""
        terms, table = party.terms, self._table
        if terms.addresses:
            kind, bound, offered, limit = OWN, has.own, has.offered, terms.addresses
        else:
            offered = int(has.other_offer != NONE)
            kind, bound, limit = GARDEN, has.garden, 1
        if bound + offered < limit:
            return self._grant(kind, pools, party, has, ask, now)
        other = has.other_offer
        if bound < limit:
            # One offer for each address the line can have: the newest client has it.
            if self._offerable(other, party):
                return self._offer(other, table.kind[other], party, ask, now)
            if not self._entitled(other, party):
                self._free.withdraw(other, now)  # it is on another subnet
                return self._grant(kind, pools, party, has, ask, now)
        return self._beyond(party, has, ask, now)

    def _beyond(self, party: Party, has: LineLeases, ask: Ask, now: int) -> Answer:
        """Climb the ladder: the line has all the addresses of its service."""
        terms = party.terms
        policy = terms.excess.policy if terms.addresses else Excess.REPLACE_OLDEST
        oldest = has.oldest if terms.addresses else has.garden_oldest
        refusal = Reason.SUBSCRIBER_LIMIT
        if oldest != NONE:
            refused = self._admission.may_replace(oldest, party, has, ask, now)
            if refused is None:
                kind = OWN if terms.addresses else GARDEN
                return self._instead(oldest, kind, party, has, ask, now)
            refusal = refused
        if policy is Excess.WALLED_GARDEN:
            if not has.garden:
                return self._grant(GARDEN, terms.garden, party, has, ask, now)
            oldest = has.garden_oldest
            refused = self._admission.may_replace(oldest, party, has, ask, now)
            if refused is None:
                return self._instead(oldest, GARDEN, party, has, ask, now)
            return Silence(refused)
        if policy in KIND_OF:
            granted = self._admission.afford(party, has.extra, now)
            if isinstance(granted, Reason):
                return Silence(granted)
            return self._grant(KIND_OF[policy], terms.pools, party, has, ask, now)
        return Silence(refusal)

    def _instead(
        self,
        oldest: int,
        kind: int,
        party: Party,
        has: LineLeases,
        ask: Ask,
        now: int,
    ) -> Answer:
        """Offer what another client of the line has, or one on the asker's subnet."""
        if self._entitled(oldest, party):
            return self._promise(oldest, ask, now, Reason.REPLACED)
        other = has.other_offer
        if other != NONE and self._offerable(other, party):
            return self._offer(other, self._table.kind[other], party, ask, now)
        pools = party.terms.garden if kind == GARDEN else party.terms.pools
        return self._grant(kind, pools, party, has, ask, now)

    def _grant(
        self,
        kind: int,
        pools: tuple[str, ...],
        party: Party,
        has: LineLeases,
        ask: Ask,
        now: int,
    ) -> Answer:
        """Offer the address the line had, the one it asks for, or a new one."""
        table, other = self._table, has.other_offer
        if (
            kind != OWN
            and other != NONE
            and table.kind[other] == kind
            and self._offerable(other, party)
        ):
            return self._offer(other, kind, party, ask, now)
        for slot in has.superseded:
            if self._usable_again(slot, pools):
                return self._promise(slot, ask, now, whose(slot, has))
        if has.memory:
            slot = self._had(has.memory, pools)
            if slot != NONE:
                return self._offer(slot, kind, party, ask, now, Reason.RETURNED)
        if ask.address:
            slot = self._requested(ask.address, pools)
            if slot != NONE:
                return self._offer(slot, kind, party, ask, now)
        for name in pools:
            pool = self._space.by_name[name]
            slot = self._free.take(pool, now)
            if slot == NONE:
                slot = self._relieved(pool, now)
            if slot != NONE:
                return self._offer(slot, kind, party, ask, now)
        if self.shortage is not None:
            for name in pools:
                request = self.shortage(name, line_text(party.line), now)
                if request is not None:
                    return Park(request)
        return Silence(Reason.POOL_EMPTY)

    def _had(self, memory: list[int], pools: tuple[str, ...]) -> int:
        """Choose what the line had last, of what it can have again."""
        had = [slot for slot in memory if self._usable_again(slot, pools)]
        return max(had, key=self._table.until.__getitem__, default=NONE)

    def _usable_again(self, slot: int, pools: tuple[str, ...]) -> bool:
        pool = self._free.pool_giving(slot)
        open_ = self._space.status[self._table.block[slot]] == OPEN
        return open_ and pool is not None and pool.name in pools

    def _requested(self, address: int, pools: tuple[str, ...]) -> int:
        """Take the address a client asks for, if it is nobody's memory."""
        space, block = self._space, self._space.block_at(address)
        number = space.pool[block] if block != NONE else NONE
        if number == NONE or space.pools[number].name not in pools:
            return NONE
        slot = self._free.claim(address)
        return slot if slot != NONE and self._table.line[slot] == NONE else NONE

    def _relieved(self, pool: Pool, now: int) -> int:
        """Take an address of a pool that has none after what can be freed is."""
        if self._bindings.turn(now, _TURN) or self._free.relieve(
            pool, now, _RELIEF, now - OFFER_SECONDS_MIN
        ):
            return self._free.take(pool, now)
        return NONE

    def _offer(
        self,
        slot: int,
        kind: int,
        party: Party,
        ask: Ask,
        now: int,
        reason: Reason | None = None,
    ) -> Answer:
        """Keep an address for the client, and offer it."""
        table = self._table
        table.link(slot, party.line)
        table.kind[slot] = kind
        table.hardware[slot] = ask.hardware
        table.client_id[slot] = ask.client_id
        table.agent[slot] = ask.agent.octets
        table.extended[slot] = now
        self._free.offer(slot, now + self._offer_seconds)
        offer = self._promise(slot, ask, now, reason or GRANTED[kind])
        if kind in GRANTED_AGAIN and not party.terms.ipv6_only_seconds:
            promised = self._promised
            if len(promised) >= _PROMISED:
                promised.clear()
            promised[slot] = (ask, party, offer.lease)
        return offer

    def _promise(self, slot: int, ask: Ask, now: int, reason: Reason) -> Offer:
        """Offer what a slot is, without changing it."""
        table, space = self._table, self._space
        block = table.block[slot]
        pool = space.pools[space.pool[block]]
        if space.status[block] == DRAINING:
            seconds = table.until[slot] - now
        else:
            new, longest = table.state[slot] != LEASED, space.lease_max[block]
            seconds = lease_seconds(pool, space.marks, longest, ask.seconds, new=new)
        t1, t2 = self._jitter.renewal_times(seconds)
        return Offer(Lease(table.address[slot], pool.name, seconds, t1, t2, reason))

    def _stands(self, slot: int, offered: Ask, ask: Ask, now: int) -> bool:
        """Whether an offer stands for who asks, and is all that its line has."""
        table = self._table
        return (
            table.state[slot] == OFFERED
            and table.until[slot] > now
            and table.next[slot] == NONE
            and table.heads[table.line[slot]] == slot
            and offered.hardware == ask.hardware
            and offered.client_id == ask.client_id
            and offered.agent == ask.agent
            and offered.giaddr == ask.giaddr
            and offered.link == ask.link
            and offered.seconds == ask.seconds
            and offered.area == ask.area
        )

    def _seconds(self, slot: int, ask: Ask, *, new: bool) -> int:
        space, block = self._space, self._table.block[slot]
        pool = space.pools[space.pool[block]]
        longest = space.lease_max[block]
        return lease_seconds(pool, space.marks, longest, ask.seconds, new=new)

    def _lease(
        self, slot: int, seconds: int, reason: Reason, wait: int = 0, end: bool = False
    ) -> Lease:
        """Say what a lease is; with ``end``, that it must not be renewed any more."""
        table, space = self._table, self._space
        t1, t2 = (seconds, seconds) if end else self._jitter.renewal_times(seconds)
        pool = space.pools[space.pool[table.block[slot]]].name
        return Lease(table.address[slot], pool, seconds, t1, t2, reason, wait)
