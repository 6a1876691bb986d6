"""A loan of one block, and when it moves on by itself.

Its state is the block's. What people decide (recall, return, extend, convert) comes
from outside; all else follows from the time and from what is still leased in the block.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from msgspec import Struct

from config.over_allocation import OverAllocation
from ipserver.block import Block, BlockEvent, BlockState

ORPHANED: Final = "pool_removed"
"""Cause of a loan's end: its borrower is gone from the network."""


class Loan(Struct, frozen=True, array_like=True):
    """One block lent, from the promise to its return; times are epoch seconds.

    ``lender`` and ``borrower`` are a pool or reserve and a pool. ``lease_seconds`` is
    the longest lease in the block. ``deadline`` is when the block should be empty once
    it is on its way back, 0 before. ``outcome`` is empty until the loan is over, then
    returned, converted or rolled_back.
    """

    number: int
    request: int
    first: int
    last: int
    lender: str
    lender_tenant: str
    borrower: str
    borrower_tenant: str
    lease_seconds: int
    price: str
    made_at: int
    term_starts_at: int
    term_ends_at: int
    state: BlockState = BlockState.PENDING_ACTIVE
    cause: str = ""
    """Why it ends: low (its borrower needs it no more, or is above its cap), return
    (its borrower says so), recall, guarantee, term or pool_removed."""
    ending_at: int = 0
    """When it was first known to end; 0 before."""
    deadline: int = 0
    ended_at: int = 0
    outcome: str = ""
    block_generation: int = 0

    @property
    def size(self) -> int:
        """How many addresses are lent."""
        return self.last - self.first + 1


class Circumstances(NamedTuple):
    """What counts for a loan's next step beside the time.

    ``used`` is what cannot be given to others yet in its block, in addresses.
    """

    used: int
    room: bool
    """The borrower has free addresses elsewhere for all that it uses here."""
    needed: bool
    """The borrower would be above its low mark without the block."""
    pressed: bool
    """The borrower is above its high mark."""
    lender_agrees: bool
    """The lender can do without the block, and nobody poorer waits for it."""


def next_event(
    loan: Loan, block: Block, around: Circumstances, now: int, policy: OverAllocation
) -> BlockEvent | None:
    """Tell what happens to a lent block now; None when it stays as it is."""
    return _NEXT[block.state](loan, block, around, now, policy)


def deadline_of(loan: Loan, cause: str, now: int, policy: OverAllocation) -> int:
    """Tell when a block that is to go back should be empty."""
    if cause == "term":
        return max(loan.term_ends_at, now + loan.lease_seconds)
    if cause == "guarantee":
        return now + loan.lease_seconds
    return now + max(policy.recall_notice_seconds, loan.lease_seconds)


_Next = Callable[[Loan, Block, Circumstances, int, OverAllocation], BlockEvent | None]


def _stays(*_: object) -> None:
    return None


def _settles(*_: object) -> BlockEvent:
    return BlockEvent.SETTLE


def _active(
    loan: Loan, _b: Block, _a: Circumstances, now: int, policy: OverAllocation
) -> BlockEvent | None:
    term = loan.term_ends_at - loan.term_starts_at
    near = loan.term_ends_at - term * (100 - policy.term_ending_percent) // 100
    return BlockEvent.TERM_NEARS if now >= near else None


def _term_ending(
    loan: Loan, _b: Block, around: Circumstances, now: int, policy: OverAllocation
) -> BlockEvent | None:
    if around.needed and around.lender_agrees:
        return BlockEvent.RENEW
    if now >= _last_moment(loan, policy) or (not around.needed and around.room):
        return BlockEvent.STOP_BINDING
    return None


def _return_requested(
    loan: Loan, _b: Block, around: Circumstances, now: int, policy: OverAllocation
) -> BlockEvent | None:
    if _needed_again(loan, around):
        return BlockEvent.REACTIVATE
    # Without room the return would only move the shortage; but the term is the term.
    if around.room or now >= _last_moment(loan, policy):
        return BlockEvent.STOP_BINDING
    return None


def _recalled(
    loan: Loan, _b: Block, around: Circumstances, now: int, _p: OverAllocation
) -> BlockEvent | None:
    # A guarantee does not wait for the borrower's room, and nobody waits for ever; who
    # is not in the block needs no room.
    at_once = loan.cause == "guarantee" or around.room or not around.used
    if at_once or now >= _drain_at(loan):
        return BlockEvent.STOP_BINDING
    return None


def _attrition(
    loan: Loan, block: Block, around: Circumstances, now: int, policy: OverAllocation
) -> BlockEvent | None:
    if _needed_again(loan, around):
        return BlockEvent.REACTIVATE
    if around.used == 0:
        return BlockEvent.EMPTY
    return BlockEvent.DRAIN if now >= _drain_at(loan) else None


def _draining(
    loan: Loan, block: Block, around: Circumstances, now: int, policy: OverAllocation
) -> BlockEvent | None:
    if _needed_again(loan, around):
        return BlockEvent.REACTIVATE
    if around.used == 0:
        return BlockEvent.EMPTY
    return BlockEvent.OVERDUE if now >= loan.deadline else None


def _forced(
    _l: Loan, _b: Block, around: Circumstances, _n: int, _p: OverAllocation
) -> BlockEvent | None:
    return BlockEvent.EMPTY if around.used == 0 else None


def _drained(*_: object) -> BlockEvent:
    return BlockEvent.SEAL


def _quarantine(
    loan: Loan, block: Block, around: Circumstances, now: int, policy: OverAllocation
) -> BlockEvent | None:
    since = block.since
    if loan.cause == ORPHANED:
        # A start may have forgotten its clients' leases, which nobody extends any more.
        since = max(since, loan.ending_at + loan.lease_seconds)
    over = now >= since + policy.quarantine_seconds
    return BlockEvent.RELEASE if over and around.used == 0 else None


def _needed_again(loan: Loan, around: Circumstances) -> bool:
    """Whether a return is called off: never one that its borrower asked for."""
    return loan.cause == "low" and around.pressed and around.lender_agrees


def _last_moment(loan: Loan, policy: OverAllocation) -> int:
    """When binding stops, so that the block is empty at the end of the term."""
    return loan.term_ends_at - policy.recall_notice_seconds


def _drain_at(loan: Loan) -> int:
    """When renewals stop, so that the last lease ends by the deadline."""
    return loan.deadline - loan.lease_seconds


_S = BlockState
_NEXT: Final[dict[BlockState, _Next]] = {
    _S.FREE: _stays,
    _S.PENDING_ACTIVE: _stays,
    _S.ACTIVE: _active,
    _S.RETURN_REQUESTED: _return_requested,
    _S.RECALLED: _recalled,
    _S.TERM_ENDING: _term_ending,
    _S.ATTRITION: _attrition,
    _S.DRAINING: _draining,
    _S.FORCED: _forced,
    _S.DRAINED: _drained,
    _S.QUARANTINE: _quarantine,
    _S.RENEWED: _settles,
    _S.CONVERTED: _settles,
    _S.REACTIVATED: _settles,
}
"""By state, what moves a lent block on."""
