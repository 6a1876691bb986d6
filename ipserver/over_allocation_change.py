"""What one step of the over-allocation changes: one record, whole or not at all.

Everything that a tick, a shortage or a command leads to travels together, the number of
the command included: so a command is applied exactly once, and any prefix of the
journal is a state that was so. Each object is there as it is afterwards, so applying a
record again changes nothing.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from ipserver.block import Block
from ipserver.decision import Decision, Snapshot
from ipserver.loan import Loan
from ipserver.over_allocation_request import Approval, Request

KIND: Final = 32
"""The kind of these records in the journal of leases; 33 to 63 are kept for more."""


class PoolMemory(Struct, frozen=True, array_like=True):
    """What is remembered of a pool between requests; times are epoch seconds.

    ``doublings`` counts the grants that followed one another (slow start), ``refusals``
    the requests in a row that ended with nothing, ``denied_until`` when it asks again.
    """

    pool: str
    level: int = 0
    doublings: int = 0
    granted_at: int = 0
    refusals: int = 0
    denied_until: int = 0
    rationed_until: int = 0


class Decided(Struct, frozen=True, array_like=True):
    """A decision with all that it was made from, so that it can be made again."""

    request: int
    at: int
    snapshot: Snapshot
    decision: Decision
    inputs: str
    policy: str


class Applied(Struct, frozen=True, array_like=True):
    """A command from outside that was applied, and what came of it.

    ``result`` is ``done`` or a stable code; ``number`` of the object it made or moved.
    """

    command: int
    result: str
    message: str
    number: int = 0


class Event(Struct, frozen=True, array_like=True):
    """Something that others may want to know: a row that webhooks and MQTT publish.

    ``name`` is pool.warn, request.granted, loan.recalled ...; ``tenants`` may see it.
    """

    name: str
    subject: str
    tenants: tuple[str, ...]
    at: int
    detail: dict[str, int | str]


class Change(Struct, frozen=True, array_like=True):
    """All that one step changed."""

    at: int
    blocks: tuple[Block, ...] = ()
    requests: tuple[Request, ...] = ()
    loans: tuple[Loan, ...] = ()
    approvals: tuple[Approval, ...] = ()
    decisions: tuple[Decided, ...] = ()
    pools: tuple[PoolMemory, ...] = ()
    applied: tuple[Applied, ...] = ()
    events: tuple[Event, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing changed."""
        return not any(
            (
                *(self.blocks, self.requests, self.loans, self.approvals),
                *(self.decisions, self.pools, self.applied, self.events),
            )
        )


_decoder: Final = msgspec.msgpack.Decoder(Change)


def encode(change: Change) -> bytes:
    """Give the body of the journal's record."""
    return msgspec.msgpack.encode(change)


def decode(body: bytes) -> Change:
    """Read a body; raises msgspec.DecodeError, as for anything that is not one."""
    return _decoder.decode(body)
