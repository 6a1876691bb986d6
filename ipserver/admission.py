"""Whether a line may have, keep or take over an address: exactly N, and the ladder.

N is the number of addresses of the service. Whoever asks for the one after the last
climbs the ladder of ``ipserver.excess``. A changed device gets the address of the one
before: at once where the policy is to replace, else when that one has been silent for
longer than it would be if it lived. On another subnet (RFC 3527), where the address is
of no use, it gets one of there, and the one before is superseded. A line on which
devices take the address from each other again and again stays with the one that has it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from config.schema import LeaseSettings
from ipserver import records
from ipserver.ask import Ask
from ipserver.bindings import Bindings
from ipserver.excess import Excess, ExcessBook, Granted
from ipserver.free_addresses import FreeAddresses
from ipserver.lease_table import (
    GARDEN,
    LEASED,
    NONE,
    OWN,
    SOLD,
    SUPERSEDED,
    LeaseTable,
)
from ipserver.line_leases import KIND_OF, LineLeases, counts, entitled, same_client
from ipserver.line_texts import LineId, line_text
from ipserver.lines import Party
from ipserver.reasons import Reason

_SILENT_PART: Final = 0.6
"""A client that lives has asked again at T1: half of its lease, and 5 % at the most."""

_FLAPPING_LINES: Final = 65_536


class Admitted(NamedTuple):
    """An address may be had: as what, until when at most (0 for no such limit), what it
    adds to the journal, and which leases of the line it supersedes.
    """

    kind: int
    until: int
    record: bytes
    superseded: tuple[int, ...] = ()


_OWN: Final = Admitted(OWN, 0, b"")
_IN_GARDEN: Final = Admitted(GARDEN, 0, b"")


class Takeovers:
    """How often the device on a line changed of late."""

    def __init__(self, settings: LeaseSettings) -> None:
        self._limit = settings.takeovers
        self._seconds = settings.takeover_seconds
        self._counts: dict[LineId, tuple[int, int]] = {}

    def allowed(self, line: LineId, now: int) -> bool:
        """Whether the device may change again."""
        since, count = self._counts.get(line, (now, 0))
        return count < self._limit or not 0 <= now - since < self._seconds

    def count(self, line: LineId, now: int) -> None:
        """Take that it has changed."""
        since, count = self._counts.get(line, (now, 0))
        if not 0 <= now - since < self._seconds:
            since, count = now, 0
        if len(self._counts) >= _FLAPPING_LINES and line not in self._counts:
            self._counts.clear()  # so many lines flap that none is to blame
        self._counts[line] = (since, count + 1)


class Admission:
    """Decides for lines; it changes nothing but what was sold and counted."""

    def __init__(
        self,
        table: LeaseTable,
        free: FreeAddresses,
        bindings: Bindings,
        book: ExcessBook,
        settings: LeaseSettings,
    ) -> None:
        self._table = table
        self._free = free
        self._bindings = bindings
        self._book = book
        self._takeovers = Takeovers(settings)

    def admit(
        self, slot: int, kind: int, party: Party, has: LineLeases, ask: Ask, now: int
    ) -> Admitted | Reason:
        """Decide about a new binding, when the line has what ``has`` says."""
        terms, pool = party.terms, self._free.pool_giving(slot)
        if pool is None:
            return Reason.WRONG_NETWORK
        if kind == GARDEN:
            walled = terms.excess.policy is Excess.WALLED_GARDEN
            if pool.name not in terms.garden or (terms.addresses and not walled):
                return Reason.WRONG_NETWORK
            if has.garden:
                return self._instead(slot, has.garden_oldest, party, has, ask, now)
            return _IN_GARDEN
        if pool.name not in terms.pools:
            return Reason.WRONG_NETWORK
        if has.own < terms.addresses:
            return _OWN
        instead = self._instead(slot, has.oldest, party, has, ask, now)
        if isinstance(instead, Admitted) or terms.excess.policy not in KIND_OF:
            return instead
        return self._beyond(slot, party, has.extra, now)

    def _instead(
        self, slot: int, oldest: int, party: Party, has: LineLeases, ask: Ask, now: int
    ) -> Admitted | Reason:
        """Decide about a new binding instead of one on another subnet; one on the same
        is taken over as it is."""
        if oldest == NONE or entitled(self._table, self._free, oldest, party.terms):
            return Reason.SUBSCRIBER_LIMIT
        return self.replace(slot, oldest, party, has, ask, now)

    def _beyond(
        self, slot: int, party: Party, extra: int, now: int
    ) -> Admitted | Reason:
        policy, skew = party.terms.excess, self._bindings.skew
        line = line_text(party.line)
        granted = self._book.decide(policy, line, extra, now + skew)
        if not isinstance(granted, Granted):
            return granted
        kind, record = KIND_OF[policy.policy], b""
        if granted.spent is not None:
            spent = granted.spent
            self._book.remember(line, spent)
            price = policy.price_micro if kind == SOLD else 0
            address = self._table.address[slot]
            record = records.excess(
                records.Excess(
                    *(now + skew, address, spent.month, spent.sold, price),
                    *(spent.micro, spent.grace_until),
                    *(line, party.service, party.terms.isp),
                )
            )
        until = granted.until - skew if granted.until else 0
        return Admitted(kind, until, record)

    def afford(self, party: Party, extra: int, now: int) -> Granted | Reason:
        """Say whether one more address could be had beyond the service's."""
        policy, skew = party.terms.excess, self._bindings.skew
        return self._book.decide(policy, line_text(party.line), extra, now + skew)

    def retain(self, slot: int, party: Party, now: int) -> Admitted | Reason:
        """Decide about a renewal: the service may have changed, or the month."""
        table, terms = self._table, party.terms
        kind = table.kind[slot]
        if kind == SUPERSEDED:
            return Reason.SUBSCRIBER_LIMIT
        if not entitled(table, self._free, slot, terms):
            return Reason.SERVICE_CHANGED
        if table.next[slot] == NONE and table.heads[table.line[slot]] == slot:
            own = extra = 0
        else:
            own, extra = self._before(slot, party)
        if kind == GARDEN:
            if own < terms.addresses:
                return Reason.SERVICE_CHANGED
            return _IN_GARDEN
        if own < terms.addresses:
            return _OWN
        if KIND_OF.get(terms.excess.policy) != kind:
            return Reason.SUBSCRIBER_LIMIT
        return self._beyond(slot, party, extra, now)

    def _before(self, slot: int, party: Party) -> tuple[int, int]:
        """Count what the line has and had before this lease: own, and beyond.

        A lease of the service itself has only older ones of its kind before it.
        """
        table, own, extra = self._table, 0, 0
        kind, place = table.kind[slot], (table.started[slot], slot)
        for other in table.slots_of(party.line):
            if other == slot or table.state[other] != LEASED:
                continue
            other_kind = table.kind[other]
            older = (table.started[other], other) < place
            if not counts(table, self._free, other, party.terms):
                continue
            if other_kind == OWN:
                own += older or kind != OWN
            elif other_kind == kind:
                extra += older
        return own, extra

    def may_replace(
        self, slot: int, party: Party, has: LineLeases, ask: Ask, now: int
    ) -> Reason | None:
        """Decide whether who asks replaces another client's lease; None if so."""
        table, terms = self._table, party.terms
        if table.kind[slot] == GARDEN:
            if slot != has.garden_oldest:
                return Reason.SUBSCRIBER_LIMIT
        elif slot != has.oldest or has.own + has.extra < terms.addresses:
            return Reason.TAKEN
        elif terms.excess.policy is not Excess.REPLACE_OLDEST and not all(
            self._silent(gone, now)
            for gone in (slot, *self._surplus(slot, party, has, ask))
        ):
            return Reason.SUBSCRIBER_LIMIT
        if table.hardware[slot] != ask.hardware and not self._takeovers.allowed(
            party.line, now
        ):
            return Reason.TAKEOVER_LIMIT
        return None

    def _surplus(
        self, slot: int, party: Party, has: LineLeases, ask: Ask
    ) -> tuple[int, ...]:
        """List the leases that go with the one that is replaced, since the service has
        fewer addresses than before."""
        table, free, terms = self._table, self._free, party.terms
        kind, own = OWN, has.own - terms.addresses
        if table.kind[slot] == GARDEN:
            kind, own = GARDEN, has.garden - 1
        if own <= 0:
            return ()
        others = [
            other
            for other in table.slots_of(party.line)
            if table.state[other] == LEASED
            and table.kind[other] == kind
            and other != slot
            and not same_client(table, other, ask)
            and counts(table, free, other, terms)
        ]
        return tuple(sorted(others, key=table.seen.__getitem__)[:own])

    def replace(
        self,
        slot: int,
        oldest: int,
        party: Party,
        has: LineLeases,
        ask: Ask,
        now: int,
    ) -> Admitted | Reason:
        """Decide whether who asks has ``slot`` instead of another client's lease.

        The two are the same where that can be taken over as it is.
        """
        refused = self.may_replace(oldest, party, has, ask, now)
        if refused is not None:
            return refused
        table, terms = self._table, party.terms
        gone = (oldest, *self._surplus(oldest, party, has, ask))
        own = sum(table.kind[other] == OWN for other in gone)
        admitted: Admitted | Reason
        if table.kind[oldest] == GARDEN:
            admitted = _IN_GARDEN
        elif has.own - own < terms.addresses:
            admitted = _OWN
        else:
            extra = has.extra - (len(gone) - own)
            admitted = self._beyond(slot, party, extra, now)
        if isinstance(admitted, Reason):
            return admitted
        if table.hardware[oldest] != ask.hardware:
            self._takeovers.count(party.line, now)
        return admitted._replace(superseded=tuple(s for s in gone if s != slot))

    def _silent(self, slot: int, now: int) -> bool:
        table = self._table
        seconds = table.until[slot] - table.extended[slot]
        return now - table.seen[slot] > _SILENT_PART * seconds
