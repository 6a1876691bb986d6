"""Who holds which block, and what is asked, lent and remembered: a fold of changes.

The journal's records, applied in order, give the state; so do the rows of the database
and the records after them. Nothing here decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import structs

from ipserver.block import Block, BlockState
from ipserver.holdings import Terms
from ipserver.loan import Loan
from ipserver.over_allocation_change import Change, PoolMemory
from ipserver.over_allocation_request import Approval, Request

HOMEWARD: Final = frozenset({BlockState.DRAINED, BlockState.QUARANTINE})
"""States of a lent block in which its borrower has nothing in it any more."""


class Tally(NamedTuple):
    """Addresses of one pool or reserve: A, Lin and Lout.

    A block counts as borrowed from the promise until it is drained, and as lent until
    it is back.
    """

    owned: int
    borrowed: int
    lent: int

    @property
    def capacity(self) -> int:
        """C: what it has."""
        return self.owned + self.borrowed - self.lent


class State:
    """The over-allocation in memory.

    ``blocks`` by first address, ``requests`` those that are open, ``loans`` those that
    are not over. ``command`` is the number of the last command that was applied.
    """

    def __init__(self) -> None:
        self.terms: Terms | None = None
        self.blocks: dict[int, Block] = {}
        self.requests: dict[int, Request] = {}
        self.loans: dict[int, Loan] = {}
        self.approvals: dict[int, tuple[Approval, ...]] = {}
        self.pools: dict[str, PoolMemory] = {}
        self.command = 0
        self.last_request = 0
        self.last_loan = 0
        self.freed_at = 0
        """When something last changed that could serve who waits."""
        self._loans_of: dict[str, set[int]] = {}
        self._homes: dict[str, set[int]] = {}
        self._owned: dict[str, int] = {}
        self._borrowed: dict[str, int] = {}
        self._lent: dict[str, int] = {}

    def apply(self, change: Change) -> None:
        """Take one step's changes."""
        for block in change.blocks:
            self._put(block)
            self.freed_at = max(self.freed_at, block.moved_at)
        for request in change.requests:
            self.last_request = max(self.last_request, request.number)
            if request.open:
                self.requests[request.number] = request
            else:
                self.requests.pop(request.number, None)
                self.approvals.pop(request.number, None)
        for loan in change.loans:
            self.last_loan = max(self.last_loan, loan.number)
            borrowed = self._loans_of.setdefault(loan.borrower, set())
            if loan.outcome:
                self.loans.pop(loan.number, None)
                borrowed.discard(loan.number)
            else:
                self.loans[loan.number] = loan
                borrowed.add(loan.number)
        for approval in change.approvals:
            if approval.request in self.requests:
                given = self.approvals.get(approval.request, ())
                if approval not in given:
                    self.approvals[approval.request] = (*given, approval)
        for memory in change.pools:
            self.pools[memory.pool] = memory
        for applied in change.applied:
            self.command = max(self.command, applied.command)

    def agree(self, terms: Terms, now: int) -> None:
        """Take new terms: blocks are cut anew, and what is lent stays as it is.

        What was lent of a prefix that is gone was taken back before. A block that was
        converted stays with its new owner, if that is still there.
        """
        self.terms, self.freed_at = terms, now
        known, self.blocks = self.blocks, {}
        self._homes, self._owned, self._borrowed, self._lent = {}, {}, {}, {}
        for block in terms.blocks():
            before = known.get(block.first)
            if before is None or before.last != block.last:
                self._put(block)
            elif before.converted and before.owner in terms.holders:
                self._put(before)
            elif before.lent:  # and comes home to whose prefix it is by then
                self._put(structs.replace(before, owner=block.owner))
            else:
                moved = before.generation, before.moved_at
                self._put(
                    structs.replace(block, generation=moved[0], moved_at=moved[1])
                )

    def _put(self, block: Block) -> None:
        before = self.blocks.get(block.first)
        if before is not None:
            self._homes[before.owner].discard(before.first)
            self._count(before, -1)
        self.blocks[block.first] = block
        self._homes.setdefault(block.owner, set()).add(block.first)
        self._count(block, 1)

    def _count(self, block: Block, sign: int) -> None:
        size = sign * block.size
        self._owned[block.owner] = self._owned.get(block.owner, 0) + size
        if block.lent:
            self._lent[block.owner] = self._lent.get(block.owner, 0) + size
            if block.state not in HOMEWARD:
                self._borrowed[block.holder] = (
                    self._borrowed.get(block.holder, 0) + size
                )

    def owned(self, holder: str) -> Iterator[Block]:
        """The blocks that belong to a pool or reserve, lent ones included."""
        return (self.blocks[first] for first in self._homes.get(holder, ()))

    def borrowed(self, pool: str) -> Iterator[Loan]:
        """The loans that a pool has."""
        return (self.loans[number] for number in self._loans_of.get(pool, ()))

    def tally(self, holder: str) -> Tally:
        """How much a pool or reserve owns, has borrowed and has lent."""
        return Tally(
            self._owned.get(holder, 0),
            self._borrowed.get(holder, 0),
            self._lent.get(holder, 0),
        )

    def memory(self, pool: str) -> PoolMemory:
        """What is remembered of a pool."""
        return self.pools.get(pool) or PoolMemory(pool)

    def request_of(self, pool: str) -> Request | None:
        """The one open request of a pool."""
        return next((r for r in self.requests.values() if r.pool == pool), None)
