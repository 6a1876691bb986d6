"""Lends blocks and sees them home again.

A loan is promised, activated or rolled back with its request; later it ends by its
term, by its borrower's or its lender's word, or by the low mark, and runs out in order:
no new bindings, no renewals, empty, a while of rest, home.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import structs

from ipserver.block import Block, BlockEvent, BlockState
from ipserver.draft import Draft
from ipserver.figures import Figures
from ipserver.holdings import Holder
from ipserver.loan import ORPHANED, Circumstances, Loan, deadline_of, next_event
from ipserver.over_allocation_request import Option, Request
from ipserver.pressure import Level, loan_lease_seconds, may_return
from ipserver.space import Space

_E, _S = BlockEvent, BlockState

TOUCHED_MAX: Final = 128
"""Objects that one step changes about, so that its record fits; the rest comes with
the next tick."""

_NAMES: Final = {
    _S.ACTIVE: "loan.active",
    _S.RETURN_REQUESTED: "loan.return_requested",
    _S.RECALLED: "loan.recalled",
    _S.TERM_ENDING: "loan.term_ending",
    _S.ATTRITION: "loan.attrition",
    _S.DRAINING: "loan.draining",
    _S.FORCED: "loan.forced",
    _S.DRAINED: "loan.drained",
    _S.RENEWED: "loan.renewed",
    _S.REACTIVATED: "loan.reactivated",
    _S.CONVERTED: "loan.converted",
    _S.FREE: "loan.returned",
}
"""What is published when a lent block comes into a state."""


_OPEN: Final = frozenset({_S.ACTIVE, _S.RETURN_REQUESTED, _S.RECALLED, _S.TERM_ENDING})
"""States in which what is free in the block counts among the borrower's free."""


class Lending:
    """What happens to loans, within a step."""

    def __init__(self, figures: Figures, space: Space) -> None:
        self._figures = figures
        self._space = space

    def promise(self, draft: Draft, request: Request, option: Option) -> list[Block]:
        """Take blocks of a source for a request; fewer than wanted, or none, if gone.

        A lender stops binding in them at once; that it gave them away must be durable
        before the borrower may begin.
        """
        terms = self._figures.terms
        lender = terms.holders.get(option.source)
        borrower = terms.holders.get(request.pool)
        if borrower is None or lender is None or not lender.serves(borrower):
            return []
        size = self._figures.block_size()
        tally = draft.state.tally(borrower.name)
        room = max(self._figures.burst_cap(borrower), borrower.guaranteed) - (
            tally.owned + tally.borrowed
        )
        # The cap may be lower by now than when the parties were asked.
        most = max(0, min(option.blocks, self._figures.slack(lender), room // size))
        seconds = loan_lease_seconds(borrower.lease_seconds, terms.policy)
        promised = []
        for block in self._figures.empty_blocks(lender.name, borrower.name, most):
            if self._figures.slack(lender) < size:
                break
            if lender.kind == "pool":
                self._space.hold_block(block, 0)
            number = draft.state.last_loan + 1
            ends = draft.now + terms.policy.loan_seconds
            generation = block.generation + 1
            draft.put_loan(
                Loan(
                    number=number,
                    request=request.number,
                    first=block.first,
                    last=block.last,
                    lender=lender.name,
                    lender_tenant=lender.tenant,
                    borrower=borrower.name,
                    borrower_tenant=borrower.tenant,
                    lease_seconds=seconds,
                    price=lender.price,
                    made_at=draft.now,
                    term_starts_at=draft.now,
                    term_ends_at=ends,
                    block_generation=generation,
                )
            )
            promised.append(
                draft.move_block(
                    block,
                    _E.RESERVE,
                    holder=borrower.name,
                    generation=generation,
                    loan=number,
                    not_after=ends,
                )
            )
        return promised

    def activate(self, draft: Draft, blocks: Iterable[int]) -> int:
        """Begin the loans of promised blocks; give their size in addresses."""
        size = 0
        for block in self._promised(draft, blocks):
            self._move(draft, draft.state.loans[block.loan], block, _E.ACTIVATE)
            size += block.size
        return size

    def roll_back(self, draft: Draft, blocks: Iterable[int]) -> None:
        """Give promised blocks back to their owners."""
        for block in self._promised(draft, blocks):
            loan = draft.state.loans[block.loan]
            self._home(draft, loan, block, _E.ROLL_BACK, "rolled_back")

    @staticmethod
    def _promised(draft: Draft, blocks: Iterable[int]) -> list[Block]:
        found = (draft.state.blocks.get(first) for first in blocks)
        return [b for b in found if b is not None and b.state is _S.PENDING_ACTIVE]

    def withdraw(self, draft: Draft, known: set[tuple[int, int]]) -> None:
        """End the loans of blocks whose prefix is gone from the network.

        Nobody leases from such a block, whatever its state: so this is no event of it.
        """
        for loan in list(draft.state.loans.values()):
            if (loan.first, loan.last) in known:
                continue
            block = draft.state.blocks[loan.first]
            draft.put_block(
                structs.replace(
                    block,
                    state=_S.FREE,
                    holder=block.owner,
                    loan=0,
                    not_after=0,
                    since=draft.now,
                )
            )
            self._over(draft, loan, "withdrawn")

    def recall(self, draft: Draft, numbers: Iterable[int], cause: str) -> list[Loan]:
        """Call loans back; those that end already only get the nearer deadline."""
        recalled = []
        for number in numbers:
            loan = draft.state.loans.get(number)
            if loan is None or loan.state is _S.PENDING_ACTIVE:
                continue
            block = draft.state.blocks[loan.first]
            deadline = deadline_of(loan, cause, draft.now, self._figures.terms.policy)
            if loan.cause:
                deadline = min(loan.deadline, deadline)
            loan = self._ending(draft, loan, cause, deadline)
            if block.state in (_S.ACTIVE, _S.RETURN_REQUESTED, _S.TERM_ENDING):
                loan = self._move(draft, loan, block, _E.RECALL)
            recalled.append(loan)
        return recalled

    def _orphaned(self, draft: Draft, loan: Loan, block: Block) -> Loan:
        """Have a block back whose borrower is gone from the network."""
        loan = structs.replace(loan, ending_at=0)
        deadline = draft.now + loan.lease_seconds
        loan = self._ending(draft, loan, ORPHANED, deadline)
        if block.state in (_S.ACTIVE, _S.RETURN_REQUESTED, _S.TERM_ENDING):
            loan = self._move(draft, loan, block, _E.RECALL)
        return loan

    def give_back(self, draft: Draft, loan: Loan, cause: str) -> Loan | None:
        """Start the return of a loan by its borrower, if it can; ``cause`` is "return"
        for its word, "low" for what it was seen to need no more.
        """
        block = draft.state.blocks[loan.first]
        if loan.cause == "low" and cause == "return":
            return self._ending(draft, loan, cause, loan.deadline)
        if block.state not in (_S.ACTIVE, _S.TERM_ENDING):
            return None
        deadline = deadline_of(loan, cause, draft.now, self._figures.terms.policy)
        loan = self._ending(draft, loan, cause, deadline)
        return self._move(draft, loan, block, _E.REQUEST_RETURN)

    def extend(self, draft: Draft, loan: Loan) -> Loan | None:
        """Give a loan another term, by its lender's word; None when it is over, or its
        borrower is done with it.
        """
        block = draft.state.blocks[loan.first]
        if loan.cause in ("return", ORPHANED):
            return None
        if block.state in (_S.RETURN_REQUESTED, _S.RECALLED, _S.ATTRITION, _S.DRAINING):
            loan = self._again(draft, loan, block)
            block = draft.state.blocks[loan.first]
        if block.state is _S.ACTIVE:
            block = draft.move_block(block, _E.TERM_NEARS)
        return (
            self._renew(draft, loan, block) if block.state is _S.TERM_ENDING else None
        )

    def convert(self, draft: Draft, loan: Loan) -> Loan | None:
        """Make the borrower the owner for good; None when the block is on its way."""
        block = draft.state.blocks[loan.first]
        if block.state not in (_S.ACTIVE, _S.TERM_ENDING):
            return None
        self._publish(draft, loan, _S.CONVERTED)
        block = draft.move_block(block, _E.CONVERT, owner=block.holder)
        draft.move_block(
            block,
            _E.SETTLE,
            loan=0,
            not_after=0,
            moved_at=draft.now,
            converted=loan.number,
        )
        return draft.put_loan(
            structs.replace(
                loan, state=_S.CONVERTED, ended_at=draft.now, outcome="converted"
            )
        )

    def tick(self, draft: Draft) -> None:
        """Let every loan move on that the time or its emptiness moves."""
        moved_away: set[str] = set()
        holders = self._figures.terms.holders
        for loan in sorted(draft.state.loans.values(), key=lambda each: each.number):
            if draft.touched >= TOUCHED_MAX:
                return
            block = draft.state.blocks[loan.first]
            if block.since > draft.now:
                # The clock was set back: what is timed from then is timed from now.
                block = draft.put_block(structs.replace(block, since=draft.now))
            if block.state is _S.PENDING_ACTIVE:
                continue
            if loan.cause != ORPHANED and loan.borrower not in holders:
                loan = self._orphaned(draft, loan, block)
                block = draft.state.blocks[loan.first]
            self._advance(draft, loan, block, moved_away)

    def _advance(
        self, draft: Draft, loan: Loan, block: Block, moved_away: set[str]
    ) -> None:
        policy = self._figures.terms.policy
        # Each event leads to another state; none of them leads back within a step.
        for _ in range(len(BlockState)):
            around = self._circumstances(draft, loan, block, moved_away)
            event = next_event(loan, block, around, draft.now, policy)
            if event is None:
                return
            if event is _E.RENEW:
                self._renew(draft, loan, block)
                return
            if event is _E.REACTIVATE:
                self._again(draft, loan, block)
                return
            if event is _E.RELEASE:
                self._home(draft, loan, block, event, "returned")
                return
            if event is _E.STOP_BINDING:
                moved_away.add(loan.borrower)
                # At once: it may be found empty in the same step.
                self._space.hold_block(block, loan.lease_seconds)
                if not loan.cause:
                    deadline = deadline_of(loan, "term", draft.now, policy)
                    loan = self._ending(draft, loan, "term", deadline)
            loan = self._move(draft, loan, block, event)
            block = draft.state.blocks[loan.first]

    def _circumstances(
        self, draft: Draft, loan: Loan, block: Block, moved_away: set[str]
    ) -> Circumstances:
        terms = self._figures.terms
        borrower = terms.holders.get(loan.borrower)
        used = self._figures.live(block)
        if borrower is None:
            # Its pool is gone from the network: nothing keeps the block.
            return Circumstances(used, True, False, False, False)
        pressure = self._figures.pressure(borrower)
        free = pressure.free
        if block.state in _OPEN:
            free -= self._space.block_usage(block).free
        level = Level(draft.state.memory(borrower.name).level)
        return Circumstances(
            used=used,
            room=borrower.name not in moved_away
            and free >= used + terms.policy.return_margin,
            needed=not may_return(pressure, block.size, terms.policy),
            pressed=level >= Level.HIGH,
            lender_agrees=self._agrees(draft, loan, borrower),
        )

    def _agrees(self, draft: Draft, loan: Loan, borrower: Holder) -> bool:
        """Whether the lender lets the loan go on, and the cap and fairness do too."""
        tally = draft.state.tally(borrower.name)
        if tally.owned + tally.borrowed > self._figures.burst_cap(borrower):
            return False
        owner = draft.state.blocks[loan.first].owner
        lender = self._figures.terms.holders.get(owner)
        if lender is None or not lender.serves(borrower):
            return False
        if lender.kind == "pool":
            level = Level(draft.state.memory(lender.name).level)
            other = lender.tenant != borrower.tenant
            if level >= Level.HIGH or (other and lender.lend_policy != "auto"):
                return False
            if self._figures.slack(lender) < 0:
                return False
        own = self._figures.share(borrower) - loan.size / borrower.weight
        for request in draft.state.requests.values():
            waiting = self._figures.terms.holders.get(request.pool)
            if waiting is None or not (
                waiting.name == lender.name or lender.serves(waiting)
            ):
                continue
            if waiting.name != borrower.name and self._figures.share(waiting) < own:
                return False
        return True

    def _ending(self, draft: Draft, loan: Loan, cause: str, deadline: int) -> Loan:
        return draft.put_loan(
            structs.replace(
                loan,
                cause=cause,
                ending_at=loan.ending_at or draft.now,
                deadline=deadline,
            )
        )

    def _move(self, draft: Draft, loan: Loan, block: Block, event: BlockEvent) -> Loan:
        block = draft.move_block(block, event)
        self._publish(draft, loan, block.state)
        return draft.put_loan(structs.replace(loan, state=block.state))

    def _renew(self, draft: Draft, loan: Loan, block: Block) -> Loan:
        ends = draft.now + self._figures.terms.policy.loan_seconds
        block = draft.move_block(block, _E.RENEW, not_after=ends)
        self._publish(draft, loan, block.state)
        draft.move_block(block, _E.SETTLE)
        return draft.put_loan(
            structs.replace(
                loan, state=_S.ACTIVE, term_starts_at=draft.now, term_ends_at=ends
            )
        )

    def _again(self, draft: Draft, loan: Loan, block: Block) -> Loan:
        block = draft.move_block(block, _E.REACTIVATE)
        self._publish(draft, loan, block.state)
        draft.move_block(block, _E.SETTLE)
        again = structs.replace(
            loan, state=_S.ACTIVE, cause="", ending_at=0, deadline=0
        )
        return draft.put_loan(again)

    def _home(
        self, draft: Draft, loan: Loan, block: Block, event: BlockEvent, outcome: str
    ) -> None:
        draft.move_block(
            block, event, holder=block.owner, loan=0, not_after=0, moved_at=draft.now
        )
        self._over(draft, loan, outcome)

    def _over(self, draft: Draft, loan: Loan, outcome: str) -> None:
        self._publish(draft, loan, _S.FREE)
        draft.put_loan(
            structs.replace(loan, state=_S.FREE, ended_at=draft.now, outcome=outcome)
        )

    @staticmethod
    def _publish(draft: Draft, loan: Loan, state: BlockState) -> None:
        if name := _NAMES.get(state):
            draft.publish(
                name,
                f"loan/{loan.number}",
                (loan.lender_tenant, loan.borrower_tenant),
                first=loan.first,
                last=loan.last,
                lender=loan.lender,
                borrower=loan.borrower,
                cause=loan.cause,
            )
