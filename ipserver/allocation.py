"""The allocation: what each ask is answered, by the client's state.

A DHCPREQUEST in one of its four meanings is answered here (RFC 2131 section 4.3.2), a
DHCPDISCOVER in ``ipserver.offering``, what a client gives up in ``ipserver.giving_up``.
What is not answered has its reason, like everything else. The allocation reads no clock
and draws no number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from config.schema import LeaseSettings
from ipserver.address_space import DRAINING, OPEN
from ipserver.admission import Admitted
from ipserver.answer import Ack, Answer, Nak, Offer, Silence
from ipserver.ask import Ask, Message
from ipserver.block_leasing import Promised, Random
from ipserver.giving_up import GivingUp
from ipserver.lease_table import (
    COOLING,
    DECLINED,
    FREE,
    GARDEN,
    GIVEN_UP,
    LEASED,
    NEW,
    NONE,
    OFFERED,
    OWN,
)
from ipserver.line_leases import LineLeases, same_client
from ipserver.line_texts import LineId
from ipserver.lines import Party
from ipserver.offering import GRANTED, Shortage, wait_of, whose
from ipserver.reasons import Reason

_SHORT: Final = 60
"""Seconds below which a lease that must end is not extended any more."""


class Allocation(GivingUp):
    """Answers asks, and remembers what it answered.

    ``now`` is in seconds, on a clock that never jumps and began as the wall clock: a
    client counts the seconds of its lease by itself, whatever is done to the server's
    clock; ``follow_wall`` tells how far the two are apart. ``shortage`` is called when
    a pool has no address left.
    """

    def __init__(
        self,
        settings: LeaseSettings,
        *,
        random: Random,
        now: float,
        shortage: Shortage | None = None,
    ) -> None:
        super().__init__(settings, random=random, now=now, shortage=shortage)
        self._decisions_kept = settings.decisions_kept // 2
        self._declines = {}
        self._answers: dict[Message, Callable[[Ask, int], Answer]] = {
            Message.DISCOVER: self._discover,
            Message.RAPID: self._rapid,
            Message.SELECTING: self._selecting,
            Message.INIT_REBOOT: self._init_reboot,
            Message.RENEWING: self._renewing,
            Message.REBINDING: self._renewing,
            Message.DECLINE: self._decline,
            Message.RELEASE: self._release,
            Message.ELSEWHERE: self._elsewhere,
        }

    def answer(self, ask: Ask, now: float) -> Answer:
        """Answer one ask.

        An ``Ack`` or ``Done`` with a record may only leave, or be relied on, when the
        record is durable; when it cannot be made durable, call ``lost``.
        """
        self._line = ""
        at = int(now)
        answer = self._answers[ask.message](ask, at)
        line = self._line
        if line:
            self._decisions[line] = (at, ask, answer)
            if len(self._decisions) > self._decisions_kept:
                self._older_decisions, self._decisions = self._decisions, {}
        return answer

    def pools_of(self, line: LineId, area: str) -> tuple[str, ...]:
        """Name the pools that a line may have addresses of."""
        party = self._lines.party(line, area)
        return party.terms.pools if party is not None else ()

    def turn(self, now: float, limit: int) -> bool:
        """End what is over, about ``limit`` things; whether there is more to do."""
        at = int(now)
        more = self._bindings.turn(at, limit)
        for pool in self._space.pools:
            more |= self._free.settle(pool, at, limit)
        return more

    def _rapid(self, ask: Ask, now: int) -> Answer:
        """DHCPDISCOVER that asks for its lease at once (RFC 4039 section 3.1).

        Where the area does not allow it, or the line may have no address, it is
        answered as any other.
        """
        offer = self._discover(ask, now)
        party = self._lines.find(ask)
        if not isinstance(offer, Offer) or not offer.lease.address:
            return offer
        if party is None or not party.terms.rapid_commit:
            return offer
        address = offer.lease.address
        taken = replace(ask, message=Message.SELECTING, address=address)
        answer = self._selecting(taken, now)
        return answer if isinstance(answer, Ack) else offer

    def _selecting(self, ask: Ask, now: int) -> Answer:
        """DHCPREQUEST that takes our offer (RFC 2131 section 4.3.2).

        An offer that is forgotten, by a restart for one, is as good as new as long as
        the address is free.
        """
        table = self._table
        slot = table.slot_of.get(ask.address, NONE)
        promised = self._promised.pop(slot, None)
        if promised is not None and self._stands(slot, promised[0], ask, now):
            return self._keep(slot, promised, ask, now)
        party = self._party(ask)
        if party is None:
            return Silence(Reason.NO_LINE)
        has = self._look(party, ask, now)
        if slot in has.superseded:
            return self._reclaim(slot, party, has, ask, now)
        if slot in has.mine:
            return self._renew(slot, party, ask, now)
        if slot != NONE and table.state[slot] == LEASED and table.until[slot] <= now:
            self._bindings.lapse(slot, now)
        ours = slot != NONE and table.key_of(slot) == party.line
        state = table.state[slot] if slot != NONE else NEW
        if state == LEASED and ours:
            return self._take_over(slot, party, has, ask, now)
        if state == OFFERED and ours:
            return self._bind(slot, table.kind[slot], party, has, ask, now)
        if state in (LEASED, OFFERED, DECLINED) or (state == COOLING and not ours):
            return Nak(Reason.TAKEN)
        slot = self._free.claim(ask.address)
        if slot == NONE:
            return Nak(Reason.TAKEN)
        kind = OWN if party.terms.addresses else GARDEN
        return self._bind(slot, kind, party, has, ask, now)

    def _reclaim(
        self, slot: int, party: Party, has: LineLeases, ask: Ask, now: int
    ) -> Answer:
        """Give what was superseded to a client of its line, if only this is there."""
        terms = party.terms
        for kind, pools in ((OWN, terms.pools), (GARDEN, terms.garden)):
            if self._usable_again(slot, pools):
                return self._bind(slot, kind, party, has, ask, now, whose(slot, has))
        return Nak(Reason.SUBSCRIBER_LIMIT)

    def _keep(self, slot: int, promised: Promised, ask: Ask, now: int) -> Answer:
        """Bind what was offered a moment ago: who asks, on which terms, is known."""
        _, party, lease = promised
        self._line = party.line
        granted = GRANTED[self._table.kind[slot]]
        if lease.reason is not granted:
            lease = replace(lease, reason=granted)
        until = now + lease.seconds
        return Ack(lease, self._bindings.bind(slot, party, ask, now, until))

    def _bind(
        self,
        slot: int,
        kind: int,
        party: Party,
        has: LineLeases,
        ask: Ask,
        now: int,
        reason: Reason | None = None,
    ) -> Answer:
        """Make a new binding of a free or offered address, if the line may have it."""
        admitted = self._admission.admit(slot, kind, party, has, ask, now)
        if isinstance(admitted, Reason):
            if self._table.state[slot] in (NEW, OFFERED):
                self._free.withdraw(slot, now)
            return Nak(admitted)
        self._table.kind[slot] = admitted.kind
        seconds = self._seconds(slot, ask, new=True)
        if admitted.until:
            seconds = min(seconds, admitted.until - now)
        record = admitted.record + self._superseded(admitted, party, now)
        record += self._bindings.bind(slot, party, ask, now, now + seconds)
        return self._bound(slot, record, seconds, wait_of(party, ask), has, now, reason)

    def _bound(
        self,
        slot: int,
        record: bytes,
        seconds: int,
        wait: int,
        has: LineLeases,
        now: int,
        reason: Reason | None,
    ) -> Answer:
        """Acknowledge a new binding; what else its client had is over."""
        for other in has.mine:
            if other != slot:
                record += self._bindings.end(other, now, Reason.MOVED)
        if has.offer not in (NONE, slot):
            self._free.withdraw(has.offer, now)
        reason = reason or GRANTED[self._table.kind[slot]]
        return Ack(self._lease(slot, seconds, reason, wait), record)

    def _superseded(self, admitted: Admitted, party: Party, now: int) -> bytes:
        supersede = self._bindings.supersede
        return b"".join(supersede(slot, party, now) for slot in admitted.superseded)

    def _take_over(
        self, slot: int, party: Party, has: LineLeases, ask: Ask, now: int
    ) -> Answer:
        """Give a changed device the address of the one before."""
        if not self._entitled(slot, party):
            return Nak(Reason.SERVICE_CHANGED)
        replaced = self._admission.replace(slot, slot, party, has, ask, now)
        if isinstance(replaced, Reason):
            return Nak(replaced)
        table = self._table
        table.kind[slot] = replaced.kind
        seconds = self._seconds(slot, ask, new=False)
        if replaced.until:
            seconds = min(seconds, replaced.until - now)
        if self._space.status[table.block[slot]] == DRAINING:
            seconds = min(seconds, table.until[slot] - now)
        until = now + seconds
        record = replaced.record + self._superseded(replaced, party, now)
        record += self._bindings.bind(slot, party, ask, now, until)
        wait = wait_of(party, ask)
        return self._bound(slot, record, seconds, wait, has, now, Reason.REPLACED)

    def _renew(self, slot: int, party: Party, ask: Ask, now: int) -> Answer:
        """Extend a live binding of the client that asks."""
        retained = self._admission.retain(slot, party, now)
        if isinstance(retained, Reason):
            return Nak(retained)
        table, wait = self._table, wait_of(party, ask)
        table.kind[slot] = retained.kind
        left = table.until[slot] - now
        seconds = self._seconds(slot, ask, new=False)
        if retained.until:
            seconds = min(seconds, retained.until - now)
        draining = self._space.status[table.block[slot]] == DRAINING
        if draining or (retained.until and seconds < _SHORT):
            table.seen[slot] = now
            record = retained.record or None
            lease = self._lease(slot, left, Reason.DRAINING, wait, end=True)
            return Ack(lease, record)
        if not retained.record and self._bindings.cached(slot, now):
            table.seen[slot] = now
            return Ack(self._lease(slot, left, Reason.CACHED, wait), None)
        record = self._bindings.extend(slot, ask, now, now + seconds)
        lease = self._lease(slot, seconds, Reason.RENEWED, wait)
        return Ack(lease, retained.record + record)

    def _init_reboot(self, ask: Ask, now: int) -> Answer:
        """DHCPREQUEST of a client that had an address before it was switched off."""
        party = self._party(ask)
        if party is None:
            return Silence(Reason.NO_LINE)
        terms = party.terms
        if not (terms.pools if terms.addresses else terms.garden):
            return Silence(Reason.NO_SERVICE)
        slot = self._table.slot_of.get(ask.address, NONE)
        return self._confirm(slot, party, ask, now)

    def _renewing(self, ask: Ask, now: int) -> Answer:
        """DHCPREQUEST of a client in RENEWING or REBINDING.

        By unicast the relay's information is absent, and the line is the one that the
        address was leased to.
        """
        table = self._table
        slot = table.slot_of.get(ask.address, NONE)
        if ask.area:
            party = self._party(ask)
        else:
            block = self._space.block_at(ask.address)
            number = self._space.pool[block] if block != NONE else NONE
            if number == NONE:
                return Silence(Reason.WRONG_NETWORK)
            area = self._space.pools[number].area
            if slot == NONE or table.line[slot] == NONE:
                return self._unknown(area)
            party = self._lines.party(table.key_of(slot), area)
            if party is not None:
                self._line = party.line
        if party is None:
            return Silence(Reason.NO_LINE)
        return self._confirm(slot, party, ask, now)

    def _unknown(self, area: str) -> Answer:
        if self._lines.authoritative(area):
            return Nak(Reason.NO_RECORD)
        return Silence(Reason.NO_RECORD)

    def _confirm(self, slot: int, party: Party, ask: Ask, now: int) -> Answer:
        """Answer a client that says which address it has."""
        table = self._table
        area = party.terms.area
        if slot == NONE or table.line[slot] == NONE:
            return self._unknown(area)
        ours = table.key_of(slot) == party.line
        if not ours or not same_client(table, slot, ask):
            # The network knows better than the client, whose address is another's.
            if table.state[slot] == LEASED and table.until[slot] > now:
                return Nak(Reason.NOT_YOURS)
            return self._unknown(area)
        state = table.state[slot]
        if state == LEASED and table.until[slot] > now:
            return self._renew(slot, party, ask, now)
        if state == LEASED:
            self._bindings.lapse(slot, now)
            state = table.state[slot]
        if ask.message is not Message.INIT_REBOOT and table.flags[slot] & GIVEN_UP:
            # RFC 2131 section 4.4.6: who has released its lease renews nothing; this
            # was sent before, and came later, or twice.
            return Nak(Reason.ENDED)
        if (
            state in (COOLING, FREE)
            and self._space.status[table.block[slot]] == OPEN
            and self._entitled(slot, party)
        ):
            # Late, but nobody has got the address meanwhile.
            has = self._look(party, ask, now)
            kind = table.kind[slot]
            return self._bind(slot, kind, party, has, ask, now, Reason.RETURNED)
        return Nak(Reason.SERVICE_CHANGED)

    def _elsewhere(self, ask: Ask, now: int) -> Answer:
        """DHCPREQUEST that takes another server's offer: ours is free again."""
        party = self._party(ask)
        if party is not None:
            has = self._look(party, ask, now)
            if has.offer != NONE:
                self._free.withdraw(has.offer, now)
        return Silence(Reason.CHOSEN_ELSEWHERE)
