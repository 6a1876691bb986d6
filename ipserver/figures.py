"""What the state and the allocation say together: pressure, lenders, snapshots.

Reads both and changes neither.
"""

from __future__ import annotations

from typing import Final, Literal

from ipserver.block import BINDING, ENDING, LEASED, Block, BlockState
from ipserver.decision import NETWORK, Recallable, Snapshot, Source
from ipserver.holdings import Holder, Terms
from ipserver.loan import Loan, deadline_of
from ipserver.over_allocation_request import Request
from ipserver.over_allocation_state import State
from ipserver.pressure import Growth, Pressure
from ipserver.space import Space

SOURCES_MAX: Final = 32
"""Sources that one decision looks at: those that can spare most."""

RECALLABLE_MAX: Final = 64
"""Loans that one decision looks at, from whom is furthest above its guarantee."""

_NOT_BINDING: Final = LEASED - BINDING


class Figures:
    """Answers about one moment. ``growth`` is by pool."""

    def __init__(self, state: State, space: Space, growth: dict[str, Growth]) -> None:
        self._state = state
        self._space = space
        self._growth = growth

    @property
    def terms(self) -> Terms:
        """The terms that hold."""
        assert self._state.terms is not None
        return self._state.terms

    def pressure(self, pool: Holder) -> Pressure:
        """Measure a pool."""
        tally = self._state.tally(pool.name)
        usage = self._space.pool_usage(pool.name)
        # What is free in a block that ends serves nobody.
        ending = sum(
            self._space.block_usage(self._state.blocks[loan.first]).free
            for loan in self._state.borrowed(pool.name)
            if loan.state in _NOT_BINDING
        )
        growth = self._growth.get(pool.name)
        return Pressure(
            guaranteed=pool.guaranteed,
            burst_cap=self.burst_cap(pool),
            owned=tally.owned,
            borrowed=tally.borrowed,
            lent=tally.lent,
            capacity=tally.capacity,
            used=usage.leased + usage.offered + usage.declined + usage.cooling,
            free=usage.free - ending,
            growth=growth.rate if growth else 0.0,
        )

    def burst_cap(self, pool: Holder) -> int:
        """B: the most a pool may have."""
        return pool.burst_cap(self._state.tally(pool.name).owned, self.block_size())

    def slack(self, lender: Holder) -> int:
        """How many addresses a lender can do without, its promises kept."""
        if lender.kind == "reserve":
            tally = self._state.tally(lender.name)
            return tally.owned - tally.lent
        policy = self.terms.policy
        now = self.pressure(lender)
        own_need = (
            now.used * policy.lender_percent / 100
            + now.growth * policy.recall_notice_seconds
            + lender.lend_floor
        )
        # G counts whole: a pool that lacks addresses to its guarantee lends none.
        left = now.owned - now.lent - max(now.guaranteed, own_need)
        return int(min(left, lender.lending - now.lent))

    def empty_blocks(self, owner: str, borrower: str, most: int) -> list[Block]:
        """Find blocks at home in which nothing is leased, as many as are wanted.

        Only of the size in which they change hands: a short prefix has smaller ones.
        Those beside what the borrower has of the same prefixes come first, so that one
        route serves them, then those that were lent longest ago.
        """
        size = self.block_size()
        home = [b for b in self._state.owned(owner) if not b.lent and b.size == size]
        beside = {
            first
            for b in self._state.owned(owner)
            if b.lent and b.holder == borrower
            for first in (b.first - b.size, b.last + 1)
        }
        home.sort(key=lambda b: (b.first not in beside, b.moved_at, -b.first))
        found: list[Block] = []
        for block in home:
            if len(found) == most:
                break
            if self.empty(block):
                found.append(block)
        return found

    def empty(self, block: Block) -> bool:
        """Whether nothing is leased, offered or waiting in a block."""
        if self.terms.holders[block.holder].kind == "reserve":
            # Converted once, it may have clients of a pool that is gone.
            return not (self._space.block_live(block) and self.live(block))
        if self._space.block_live(block):
            return False
        usage = self._space.block_usage(block)
        return not (usage.leased or usage.offered or usage.declined or usage.cooling)

    def live(self, block: Block) -> int:
        """How many addresses of a block some client has or may take."""
        usage = self._space.block_usage(block)
        return usage.leased + usage.offered

    def block_size(self) -> int:
        """How many addresses change hands at once."""
        return self.terms.block_size

    def sources(self, pool: Holder, most: int) -> tuple[Source, ...]:
        """List who could give blocks to a pool: reserves and its ISP's own first, which
        no number of others may hide.
        """
        serving = [h for h in self.terms.holders.values() if h.serves(pool)]
        spare = [(max(0, self.slack(holder)), holder) for holder in serving]
        near = (NETWORK, pool.tenant)
        spare.sort(
            key=lambda pair: (pair[1].tenant not in near, -pair[0], pair[1].name)
        )
        return tuple(
            self._source(holder, lendable, pool, most)
            for lendable, holder in spare[:SOURCES_MAX]
        )

    def _source(self, holder: Holder, lendable: int, pool: Holder, most: int) -> Source:
        size = self.block_size()
        count = min(most, lendable // size)
        empty = self.empty_blocks(holder.name, pool.name, count) if count else ()
        kind: Literal["reserve", "own", "isp"] = "isp"
        if holder.kind == "reserve":
            kind = "reserve"
        elif holder.tenant == pool.tenant:
            kind = "own"
        return Source(
            name=holder.name,
            kind=kind,
            tenant=holder.tenant,
            empty_blocks=len(empty),
            lendable=lendable,
            total=self._state.tally(holder.name).owned,
            consent="auto" if holder.kind == "reserve" else holder.lend_policy,
        )

    def snapshot(self, request: Request, now: int) -> Snapshot:
        """Take down all that a decision on a request depends on."""
        pool = self.terms.holders[request.pool]
        pressure = self.pressure(pool)
        memory = self._state.memory(pool.name)
        policy = self.terms.policy
        recallable, coming_back = self._loans_for(pool, now)
        return Snapshot(
            now=now,
            pool=pool.name,
            tenant=pool.tenant,
            need=request.size,
            block=self.block_size(),
            urgent=request.urgent,
            guaranteed=pool.guaranteed,
            burst_cap=pressure.burst_cap,
            committed=pressure.owned + pressure.borrowed,
            capacity=pressure.capacity,
            demand=pressure.capacity + request.size,
            borrow_policy=pool.borrow_policy,
            sources=self.sources(pool, policy.blocks_per_request_max),
            recallable=recallable,
            coming_back=coming_back,
            rationed_until=memory.rationed_until,
            refusals=memory.refusals,
            policy=policy,
        )

    def _loans_for(self, pool: Holder, now: int) -> tuple[tuple[Recallable, ...], int]:
        """List the loans that could be called back for a pool, and what is on its way.

        For its own addresses, and for the reserve's that it is entitled to.
        """
        found, coming, entitled = [], 0, self.deficit(pool) > 0
        for loan in self._state.loans.values():
            owner = self._state.blocks[loan.first].owner
            lender = self.terms.holders.get(owner)
            own = owner == pool.name
            if lender is None or loan.borrower == pool.name:
                continue
            if not own and not (lender.kind == "reserve" and lender.serves(pool)):
                continue
            ending = loan.state in ENDING or bool(loan.cause)
            if ending and not (
                (own or entitled) and self._lingers(loan, entitled, now)
            ):
                coming += loan.size
            elif loan.state is not BlockState.PENDING_ACTIVE:
                over = self._over(loan.borrower)
                found.append(
                    Recallable(loan.number, loan.size, own, over, loan.borrower)
                )
        found.sort(key=lambda r: (not r.own, -r.over_guarantee, r.loan))
        return tuple(found[:RECALLABLE_MAX]), coming

    def _lingers(self, loan: Loan, entitled: bool, now: int) -> bool:
        """Whether a loan that ends would be back sooner if it were called back.

        One that its borrower gives back waits for its room, one that runs out for its
        term.
        """
        if loan.state is BlockState.RETURN_REQUESTED:
            return True
        if loan.state not in (BlockState.RECALLED, BlockState.ATTRITION):
            return False
        cause = "guarantee" if entitled else "recall"
        return loan.deadline > deadline_of(loan, cause, now, self.terms.policy)

    def _over(self, name: str) -> int:
        holder = self.terms.holders.get(name)
        guaranteed = holder.guaranteed if holder else 0
        return self._state.tally(name).capacity - guaranteed

    def share(self, pool: Holder) -> float:
        """Weighted share beyond the guarantee: who has least comes first."""
        over = self._state.tally(pool.name).capacity - pool.guaranteed
        return over / pool.weight

    def deficit(self, pool: Holder) -> int:
        """How far a pool is below its guarantee; 0 when it is not."""
        return max(0, pool.guaranteed - self._state.tally(pool.name).capacity)
