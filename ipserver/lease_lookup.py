"""What the allocation knows, for who asks about it: leases, and why a line has what.

Nothing here is on the way of a lease. Clients are found by going through all leases,
because an index would cost memory for each, for a question that an access concentrator
asks after a reboot.
"""

from __future__ import annotations

from typing import Any, Final

from netaddr import IPAddress

from config.schema import LeaseSettings
from ipserver.answer import Ack, Answer, Offer, Park
from ipserver.ask import Ask
from ipserver.block_leasing import BlockLeasing, Random
from ipserver.lease_table import (
    COOLING,
    DECLINED,
    FREE,
    GARDEN,
    GRACE,
    LEASED,
    NONE,
    OFFERED,
    OWN,
    SOLD,
    SUPERSEDED,
)
from ipserver.leasequery import KnownLease
from ipserver.line_texts import LineId, line_of, line_text

_KINDS: Final = {
    OWN: "own",
    GARDEN: "garden",
    GRACE: "grace",
    SOLD: "sold",
    SUPERSEDED: "superseded",
}
_STATES: Final = {
    OFFERED: "offered",
    LEASED: "leased",
    COOLING: "cooling",
    FREE: "remembered",
    DECLINED: "declined",
}
_FOUND_MAX: Final = 64
"""Leases of one client that are told of; no device is on more lines than that."""


Decision = tuple[int, Ask, Answer]
"""The last answer to a line: when (seconds), what was asked, what was said. There is
one for each packet, so it is what is cheapest to make."""


class LeaseLookup(BlockLeasing):
    """Answers questions about leases; changes none."""

    def __init__(self, settings: LeaseSettings, *, random: Random, now: float) -> None:
        super().__init__(settings, random=random, now=now)
        self._decisions: dict[LineId, Decision] = {}
        self._older_decisions: dict[LineId, Decision] = {}

    def pool_leasing(self, address: int) -> str:
        """Name the pool that leases an address, borrowed ones included; "" for none."""
        block = self._space.block_at(address)
        number = self._space.pool[block] if block != NONE else NONE
        return self._space.pools[number].name if number != NONE else ""

    def by_address(self, address: int, now: float) -> KnownLease | None:
        """Find the live lease of an address."""
        slot = self._table.slot_of.get(address, NONE)
        return self._known(slot, int(now)) if slot != NONE else None

    def by_client(
        self, hardware: bytes, client_id: bytes, now: float
    ) -> list[KnownLease]:
        """Find a client's live leases by one of the two, the last heard of first."""
        column = self._table.client_id if client_id else self._table.hardware
        wanted, place = client_id or hardware, 0
        found: list[KnownLease] = []
        while len(found) < _FOUND_MAX:
            try:
                slot = column.index(wanted, place)
            except ValueError:
                break
            place = slot + 1
            known = self._known(slot, int(now))
            if known is not None:
                found.append(known)
        return sorted(found, key=lambda known: known.seen)

    def _known(self, slot: int, now: int) -> KnownLease | None:
        table = self._table
        if table.state[slot] != LEASED or table.until[slot] <= now:
            return None
        return KnownLease(
            table.address[slot],
            table.hardware[slot],
            table.client_id[slot],
            table.agent[slot],
            table.until[slot] - now,
            now - table.seen[slot],
        )

    def decision(self, line: LineId) -> Decision | None:
        """Give the last answer to a line, if it is remembered."""
        return self._decisions.get(line) or self._older_decisions.get(line)

    def why(self, line: str, now: float) -> dict[str, Any]:
        """Say what a line has and was last answered, and by which policy, for JSON.

        ``line`` is a name of the network or as ``line_text`` writes it; a line that
        nothing is known of has no ``policy``, no ``decision`` and no ``leases``. Times
        are in seconds since the epoch. Raises ValueError for what is no line.
        """
        try:
            key = line_of(line)
        except (LookupError, OverflowError) as error:
            raise ValueError(f"{line!r} is no line") from error
        newest = self._decisions.get(key) or self._older_decisions.get(key)
        area = newest[1].area if newest is not None else ""
        party = self._lines.party(key, area)
        told: dict[str, Any] = {"line": line, "decision": None, "policy": None}
        if party is not None:
            excess = party.terms.excess
            told["policy"] = {
                "service": party.service,
                "isp": party.terms.isp,
                "addresses": party.terms.addresses,
                "pools": list(party.terms.pools or party.terms.garden),
                "excess": excess.policy.value,
            }
        if newest is not None:
            told["decision"] = _decision(newest, self._bindings.skew)
        skew = self._bindings.skew
        told["leases"] = [self._lease_of(slot) for slot in self._table.slots_of(key)]
        spent = self._book.spent(line_text(key), now + skew)
        told["beyond"] = {
            "sold": spent.sold,
            "spent_micro": spent.micro,
            "grace_until": spent.grace_until,
        }
        return told

    def _lease_of(self, slot: int) -> dict[str, Any]:
        table, pool = self._table, self._free.pool_of(slot)
        return {
            "address": str(IPAddress(table.address[slot])),
            "pool": None if pool is None else pool.name,
            "state": _STATES[table.state[slot]],
            "kind": _KINDS[table.kind[slot]],
            "until": table.until[slot] + self._bindings.skew,
            "seen_at": table.seen[slot] + self._bindings.skew,
            "hardware": table.hardware[slot][1:].hex(":"),
        }


def _decision(decision: Decision, skew: int) -> dict[str, Any]:
    at, ask, answer = decision
    told: dict[str, Any] = {
        "at": at + skew,
        "asked": ask.message.value,
        "asked_address": str(IPAddress(ask.address)) if ask.address else None,
        "hardware": ask.hardware[1:].hex(":"),
        "answer": type(answer).__name__.lower(),
    }
    if isinstance(answer, Offer | Ack):
        told["address"] = str(IPAddress(answer.lease.address))
        told["pool"] = answer.lease.pool
        told["seconds"] = answer.lease.seconds
        told["reason"] = str(answer.lease.reason)
    elif isinstance(answer, Park):
        told["request"] = answer.request
        told["reason"] = "parked"
    else:
        told["reason"] = str(answer.reason)
    return told
