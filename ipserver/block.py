"""The unit in which addresses change hands: a block, its states, and what may follow.

Routes, gateways, filters and the answer to "who had this address" hang on prefixes, so
single addresses are never passed between ISPs. A block has one owner for good and one
holder, who may lease from it; ``generation`` counts the times the holder changed, and
who leases by an older one is fenced off. Blocks are cut from the prefixes of the
network file and never cut again: only what left its first state needs a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from msgspec import Struct, structs
from netaddr import IPAddress, IPNetwork, iprange_to_cidrs

BLOCKS_PER_PREFIX_MAX: Final = 16_384
"""So a /12 is cut into /26 and a /8 into /22: the blocks of a pool fit in memory."""


class BlockState(StrEnum):
    """Where a block is on its way to a borrower and back."""

    FREE = "free"
    """With its owner, which leases from it when it is a pool; the reserve does not."""
    PENDING_ACTIVE = "pending_active"
    """Promised to the holder; nobody leases from it until the network can route it."""
    ACTIVE = "active"
    RETURN_REQUESTED = "return_requested"
    """The holder needs it no more."""
    RECALLED = "recalled"
    """The owner or the Network Provider wants it back."""
    TERM_ENDING = "term_ending"
    ATTRITION = "attrition"
    """No new bindings; renewals go on."""
    DRAINING = "draining"
    """Renewals get the time that is left, and no more (RFC 2131 section 4.3.2)."""
    DRAINED = "drained"
    QUARANTINE = "quarantine"
    """Empty, and kept until the last lease given in it would have ended."""
    RENEWED = "renewed"
    CONVERTED = "converted"
    """The holder became the owner."""
    FORCED = "forced"
    """Past its deadline: each address goes when its lease ends, never before."""
    REACTIVATED = "reactivated"


class BlockEvent(StrEnum):
    """What happens to a block."""

    RESERVE = "reserve"
    ACTIVATE = "activate"
    ROLL_BACK = "roll_back"
    REQUEST_RETURN = "request_return"
    RECALL = "recall"
    TERM_NEARS = "term_nears"
    STOP_BINDING = "stop_binding"
    DRAIN = "drain"
    EMPTY = "empty"
    OVERDUE = "overdue"
    SEAL = "seal"
    RELEASE = "release"
    RENEW = "renew"
    CONVERT = "convert"
    REACTIVATE = "reactivate"
    SETTLE = "settle"


_S, _E = BlockState, BlockEvent

_RECALL: Final = {_E.RECALL: _S.RECALLED}
_REACTIVATE: Final = {_E.REACTIVATE: _S.REACTIVATED}

_STEPS: Final[dict[BlockState, dict[BlockEvent, BlockState]]] = {
    _S.FREE: {_E.RESERVE: _S.PENDING_ACTIVE},
    _S.PENDING_ACTIVE: {_E.ACTIVATE: _S.ACTIVE, _E.ROLL_BACK: _S.FREE},
    _S.ACTIVE: {
        _E.REQUEST_RETURN: _S.RETURN_REQUESTED,
        _E.TERM_NEARS: _S.TERM_ENDING,
        _E.CONVERT: _S.CONVERTED,
        **_RECALL,
    },
    _S.RETURN_REQUESTED: {_E.STOP_BINDING: _S.ATTRITION, **_RECALL, **_REACTIVATE},
    _S.RECALLED: {_E.STOP_BINDING: _S.ATTRITION, **_REACTIVATE},
    _S.TERM_ENDING: {
        _E.STOP_BINDING: _S.ATTRITION,
        _E.REQUEST_RETURN: _S.RETURN_REQUESTED,
        _E.RENEW: _S.RENEWED,
        _E.CONVERT: _S.CONVERTED,
        **_RECALL,
    },
    _S.ATTRITION: {_E.DRAIN: _S.DRAINING, _E.EMPTY: _S.DRAINED, **_REACTIVATE},
    _S.DRAINING: {_E.EMPTY: _S.DRAINED, _E.OVERDUE: _S.FORCED, **_REACTIVATE},
    _S.FORCED: {_E.EMPTY: _S.DRAINED},
    _S.DRAINED: {_E.SEAL: _S.QUARANTINE},
    _S.QUARANTINE: {_E.RELEASE: _S.FREE},
    _S.RENEWED: {_E.SETTLE: _S.ACTIVE},
    _S.REACTIVATED: {_E.SETTLE: _S.ACTIVE},
    # With its new owner, it is like any other block at home.
    _S.CONVERTED: {_E.SETTLE: _S.FREE},
}

TRANSITIONS: Final[dict[tuple[BlockState, BlockEvent], BlockState | None]] = {
    (state, event): _STEPS[state].get(event)
    for state in BlockState
    for event in BlockEvent
}
"""Every state and event; None where the event must not happen to such a block."""

BINDING: Final = frozenset(
    {
        *(_S.FREE, _S.ACTIVE, _S.RETURN_REQUESTED, _S.RECALLED, _S.TERM_ENDING),
        *(_S.RENEWED, _S.REACTIVATED, _S.CONVERTED),
    }
)
"""States in which the holder makes new bindings."""

LEASED: Final = BINDING | {_S.ATTRITION, _S.DRAINING, _S.FORCED}
"""States in which the holder's leases may be alive."""

ENDING: Final = frozenset(
    {
        *(_S.RETURN_REQUESTED, _S.RECALLED, _S.ATTRITION, _S.DRAINING),
        *(_S.FORCED, _S.DRAINED, _S.QUARANTINE),
    }
)
"""States of a block that is on its way back to its owner."""


class NoSuchTransitionError(Exception):
    """The event must not happen to an object in its state: a bug, never bad input."""


class Block(Struct, frozen=True, array_like=True):
    """Consecutive addresses that have one owner and one holder.

    ``first`` to ``last`` are integers, both included; ``first`` names the block.
    ``owner`` and ``holder`` are names of pools or reserves; they are the same while
    the block is FREE. ``not_after`` is in seconds since the epoch: no lease given by
    the holder ends later, and nobody else leases from the block before; 0 for a block
    at home. ``since`` is when it came into its state.
    """

    first: int
    last: int
    owner: str
    holder: str
    generation: int = 0
    state: BlockState = BlockState.FREE
    not_after: int = 0
    since: int = 0
    loan: int = 0
    """Number of the loan that it is lent by; 0 for none."""
    moved_at: int = 0
    """When it last came home from a loan: the least recently lent goes first."""
    converted: int = 0
    """Number of the loan by which it came to an owner that the network file does not
    name; 0 for none."""

    @property
    def size(self) -> int:
        """How many addresses it has."""
        return self.last - self.first + 1

    @property
    def lent(self) -> bool:
        """Whether it is with somebody else, or on the way there or back."""
        return self.state is not BlockState.FREE

    def follow(self, event: BlockEvent, now: int) -> Block:
        """Give the block after an event; raises NoSuchTransitionError.

        Owner, holder and generation are the caller's to change in the same step.
        """
        state = TRANSITIONS[self.state, event]
        if state is None:
            raise NoSuchTransitionError(f"{event} of a block that is {self.state}")
        return structs.replace(self, state=state, since=now)

    def __str__(self) -> str:
        # No family is kept: what does not fit into 32 bits is IPv6.
        version = 4 if self.last < 1 << 32 else 6
        ends = IPAddress(self.first, version), IPAddress(self.last, version)
        return ",".join(str(prefix) for prefix in iprange_to_cidrs(*ends))


def cut(prefix: IPNetwork, owner: str, length: int) -> Iterator[Block]:
    """Cut a prefix into its owner's blocks, of prefix length ``length`` where it can.

    A longer prefix stays whole; of a very short one the blocks are larger.
    """
    width = 32 if prefix.version == 4 else 128
    longest = prefix.prefixlen + BLOCKS_PER_PREFIX_MAX.bit_length() - 1
    size = 1 << (width - max(prefix.prefixlen, min(length, longest)))
    for first in range(prefix.first, prefix.last + 1, size):
        yield Block(first, first + size - 1, owner, owner)
