"""The reference model of lending: what must hold, whatever happened before.

It plays lines, ISPs and the Network Provider against an address server, and after each
move looks at everything there is. What it knows of the rules is here, in sets and sums;
nothing is taken from the code that it judges but the journal and the objects in it.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from leasing import START, Leasing, network, pool, replayed

from ipserver import over_allocation_change, records
from ipserver.answer import Ack
from ipserver.block import BlockState
from ipserver.decision import decide
from ipserver.over_allocation_command import Action
from ipserver.over_allocation_request import UNDER_WAY
from ipserver.over_allocation_state import State

LEASED_IN = frozenset(BlockState) - {
    BlockState.PENDING_ACTIVE,
    BlockState.DRAINED,
    BlockState.QUARANTINE,
}
BLOCK = 16
"""Addresses of each of its blocks."""
LEASE_SECONDS_MAX = 3600

TENANTS = ("network", "aurora", "borealis", "cirrus")


@cache
def three_isps(lend: str = "auto", auto_max: int = 32) -> Any:
    """Three ISPs; the third is promised more than it owns, and the reserve is for that.

    Short terms and waits, so that all of a loan's life happens.
    """
    return network(
        isp=[
            {"name": "aurora", "weight": 2},
            {"name": "borealis", "lend_policy": lend},
            {"name": "cirrus", "borrow_policy": "ask"},
        ],
        pool=[
            pool("a", "aurora", "10.0.0.0/27", guaranteed=16, burst=64, lending=16),
            pool("b", "borealis", "10.0.0.64/26", guaranteed=16, burst=48, lending=48),
            pool("c", "cirrus", "10.0.0.128/28", guaranteed=48, burst=16),
        ],
        over_allocation=[
            {
                "block_prefix_length": 28,
                "reserve_auto_max": auto_max,
                "loan_seconds": 20_000,
                "low_seconds": 600,
                "return_margin": 2,
            }
        ],
    )


class Game:
    """One address server, those who use it, and the rules it is held to."""

    def __init__(self, net: Any | None = None, seed: int = 1) -> None:
        self.server = Leasing(net or three_isps(), seed=seed)
        self.total = sum(b.size for b in self.server.state.blocks.values())
        self.seen = 0
        self.counts: Counter[str] = Counter()
        self.awake_since = START
        self.over: tuple[set[tuple[str, int]], int] = set(), 0
        """Which lines had which addresses when the clock was set back, and until when
        a lease of those that was over may count again."""
        self.operations = 0
        """Asks of lines, seconds, commands, changes and deaths so far."""

    def bind(self, name: str, number: int, *, commit: bool = True) -> None:
        """A line wants an address; perhaps the journal's disk is slow."""
        self.operations += 1
        answer = self.server.bind(f"{name}-{number}", commit=commit)
        self.counts[type(answer).__name__] += 1

    def renew(self, name: str, number: int) -> None:
        """A line wants more time; nobody who still has an address is refused."""
        line = f"{name}-{number}"
        if self.server.has(line):
            self.operations += 1
            answer = self.server.renew(line)
            assert isinstance(answer, Ack), answer

    def release(self, name: str, number: int) -> None:
        """A line goes."""
        line = f"{name}-{number}"
        if self.server.has(line):
            self.operations += 1
            self.server.release(line)

    def commit(self) -> None:
        """The disk has caught up."""
        self.server.commit()

    def tick(self, seconds: int) -> None:
        """Time passes."""
        self.operations += seconds
        self.server.tick(seconds)
        self.in_time()

    def jump(self, seconds: int) -> None:
        """Nothing runs for a while."""
        self.operations += 1
        self.server.commit()
        self.server.jump(seconds)
        self.server.tick()

    def command(self, action: Action, tenant: str, target: int, name: str) -> None:
        """Somebody asks for something, with a right to it or without."""
        self.operations += 1
        open_ones = [*self.server.state.requests, *self.server.state.loans]
        number = open_ones[target % len(open_ones)] if open_ones else target
        self.server.command(action, tenant, target=number, pool=name, blocks=1)

    def change(self, lend: str, auto_max: int) -> None:
        """The network file is applied again, with other policies."""
        self.operations += 1
        self.server.commit()
        self.server.network = three_isps(lend, auto_max)
        self.server.allocation.change_network(self.server.network, self.server.now)
        self.server.manager.agree(self.server.network, self.server.now)
        self.server.commit()

    def kill(self, seconds: int) -> None:
        """The process dies, and starts when the clock shows another time."""
        self.operations += 1
        # What has ended for a client does not come back with the server's clock, and
        # what it has left is no more when that is set back.
        bound = {line for name in "abc" for line in self.server.bound(name)}
        known, before = self.server.leases, self.server.now
        self.server.now = max(START, self.server.now + seconds)
        back = min(0, self.server.now - before)
        if back:
            had = {
                (entry.line, entry.address)
                for octets in self.server.journal
                for entry in records.entries(octets)
                if isinstance(entry, records.Bound)
            }
            self.over = had, self.server.now + LEASE_SECONDS_MAX
        self.server.leases = {
            line: (address, ends + back)
            for line, (address, ends) in known.items()
            if line in bound
        }
        self.server.restart()
        self.awake_since = self.server.now

    def check(self) -> None:
        """Hold everything there is against the rules."""
        server = self.server
        conserved(server.state, self.total)
        self.exclusive()
        for step in server.steps[self.seen :]:
            for request in step.change.requests:
                self.counts[request.state] += 1
            for loan in step.change.loans:
                self.counts[f"loan {loan.state}"] += 1
            for decided in step.change.decisions:
                # I8: the same inputs lead to the same, however often.
                assert decided.decision == decide(decided.snapshot)
                assert decided.inputs == decided.snapshot.digest()
                self.counts[decided.decision.reason] += 1
        self.approvals()
        self.seen = len(server.steps)

    def exclusive(self) -> None:
        """I2 and I9: one line an address, one address a line, in its pool's blocks."""
        server = self.server
        now, blocks = server.now, server.state.blocks
        live = [(a, line) for line, (a, ends) in server.leases.items() if ends > now]
        assert len({address for address, _ in live}) == len(live)
        for address, line in live:
            block = blocks[address & -BLOCK]
            if block.state is BlockState.QUARANTINE:
                # Only what was over, in the same hands, and not for longer.
                had, until = self.over
                assert (line, address) in had, block
                assert server.leases[line][1] <= until, (line, block)
            else:
                assert block.state in LEASED_IN, (line, block)
            assert block.holder == line.partition("-")[0], (line, block)

    def approvals(self) -> None:
        """I10: only who was asked has a word, and each has one."""
        asked: dict[int, set[str]] = {}
        for step in self.server.steps[self.seen :]:
            for word in step.change.approvals:
                assert word.actor == f"{word.party}-csr"
                assert word.inputs
                known = asked.setdefault(word.request, set())
                assert word.party not in known
                known.add(word.party)

    def in_time(self) -> None:
        """I4 and I7: a block is back in time, and every request has an end."""
        state, now = self.server.state, self.server.now
        assert state.terms is not None
        for request in state.requests.values():
            if request.state in UNDER_WAY:
                assert now - request.since <= 60, request
            waited = now - max(request.raised_at, self.awake_since)
            assert waited <= state.terms.policy.queue_seconds + 60 * 60
        for loan in state.loans.values():
            if loan.cause in ("recall", "guarantee") and now > loan.deadline + 2:
                assert loan.state in (
                    *(BlockState.DRAINED, BlockState.QUARANTINE),
                    BlockState.FORCED,
                ), (now, loan)


def conserved(state: State, total: int) -> None:
    """I1, I3 and I4, by sums over all blocks."""
    assert state.terms is not None
    owned: Counter[str] = Counter()
    borrowed: Counter[str] = Counter()
    lent: Counter[str] = Counter()
    end = 0
    for block in sorted(state.blocks.values(), key=lambda b: b.first):
        assert block.first > end, "blocks overlap"
        end = block.last
        owned[block.owner] += block.size
        if block.state is BlockState.FREE:
            assert block.holder == block.owner
            continue
        loan = state.loans[block.loan]
        assert (loan.first, loan.lender, loan.borrower) == (
            *(block.first, block.owner),
            block.holder,
        )
        assert loan.state is block.state
        assert loan.block_generation == block.generation
        lent[block.owner] += block.size
        if block.state not in (BlockState.DRAINED, BlockState.QUARANTINE):
            borrowed[block.holder] += block.size
    assert sum(owned.values()) == total
    for holder in state.terms.holders.values():
        name = holder.name
        assert state.tally(name) == (owned[name], borrowed[name], lent[name])
        if holder.kind == "pool":
            cap = max(owned[name], holder.guaranteed + holder.burst)
            assert owned[name] + borrowed[name] <= cap
            kept = owned[name] - lent[name]
            assert kept >= min(owned[name], holder.guaranteed)
    pools = Counter(request.pool for request in state.requests.values())
    assert max(pools.values(), default=1) == 1


def every_prefix_is_valid(game: Game) -> int:
    """I6: after each record of the journal, the state is one that could be.

    Gives how many records of the over-allocation there were.
    """
    journal = game.server.journal
    terms = game.server.state.terms
    assert terms is not None
    found = 0
    for end, octets in enumerate(journal, start=1):
        if octets[0] == over_allocation_change.KIND:
            state = replayed(journal[:end])
            state.agree(terms, START)
            conserved(state, game.total)
            found += 1
    return found
