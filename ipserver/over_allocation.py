"""The over-allocation as the address server runs it: events in, steps out.

How to drive it, in the one process that leases:

1. ``OverAllocation(state, space)`` with the state as the database and, by ``apply``,
   the tail of the journal give it; then ``agree(network, now)``, at the start and
   whenever the network changes, each time after the allocation has taken the network
   and, at the start, before it takes its leases.
2. Hand ``shortage`` to the allocation, which calls it when a pool has no address for a
   DISCOVER; what it returns is the request that the client may be parked for.
3. Call ``tick(now)`` once a second, and ``carry_out(command, now)`` for each command of
   the inbox, in the order of their numbers, beyond ``state.command``.
4. After any of these, ``take()`` the steps. Append ``kind`` and ``body`` of each to the
   journal, in order, those taken together in one block. When one is durable, call
   ``durable(step, now)``: it tells the allocation, and gives the requests for which
   parked clients can be answered now. It may lead to further steps: ``take()`` again.
   A step that cannot be made durable is tried again, before any later one.

``now`` is the allocation's time, in seconds. The state is ahead of the journal by the
steps that were taken; nothing outside has seen them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from config.network import Network
from ipserver.block import Block, BlockState
from ipserver.draft import Draft, Step, effect
from ipserver.figures import Figures
from ipserver.holdings import Holder, terms_of
from ipserver.lending import Lending
from ipserver.over_allocation_change import Applied
from ipserver.over_allocation_command import Command, Commands
from ipserver.over_allocation_request import TERMINAL, UNDER_WAY, RequestState
from ipserver.over_allocation_state import State
from ipserver.pressure import (
    EVENTS,
    Growth,
    Level,
    Pressure,
    grown,
    level_of,
    may_return,
)
from ipserver.requests import Requests
from ipserver.set_back import set_back
from ipserver.space import Effect, Space

STEPS_MAX: Final = 64
"""Steps that may wait to be durable; with more, nothing new is begun."""

Connect = Callable[[int, tuple[Block, ...]], bool | None]
"""Makes the network ready for a request's blocks: True when it is, False when it cannot
be, None when ``connected`` will tell. May be asked again for the same."""


@dataclass(slots=True)
class _Watch:
    """What is seen of a pool from tick to tick, and not kept."""

    high_since: int = 0
    low_since: int = 0
    failed: bool = False


class OverAllocation:
    """See the module. ``connect`` is the network step; without one, it always works."""

    def __init__(
        self, state: State, space: Space, connect: Connect | None = None
    ) -> None:
        self.state = state
        self.space = space
        self._connect = connect
        self._growth: dict[str, Growth] = {}
        self.figures = Figures(state, space, self._growth)
        self._lending = Lending(self.figures, space)
        self._requests = Requests(self.figures, self._lending)
        self._commands = Commands(self._requests, self._lending)
        self._watches: dict[str, _Watch] = {}
        self._now = 0
        self._steps: deque[Step] = deque()
        self._waiting = 0
        self._granting: dict[str, str] = {}
        """By pool, the request that is granted by a step which is not durable yet."""

    def agree(self, network: Network, now: float) -> None:
        """Take a network's terms, and tell the allocation of the blocks not at home.

        The allocation has the network already, and takes leases afterwards. Requests
        whose network step was under way are connected again.
        """
        starting = self.state.terms is None
        terms = terms_of(network)
        draft = Draft(self.state, int(now))
        self._lending.withdraw(draft, {(b.first, b.last) for b in terms.blocks()})
        if starting:
            set_back(draft, terms.policy)
        elif terms != self.state.terms:
            # What was denied under other terms may be asked for again.
            for memory in list(self.state.pools.values()):
                if memory.denied_until:
                    draft.remember(memory.pool, refusals=0, denied_until=0)
        self._close(draft)
        self.state.agree(terms, int(now))
        for block in self.state.blocks.values():
            if block.lent or block.converted:
                self.space.hand_over(block)
                self._tell(effect(self.state, block))
        pools = {pool.name for pool in self.figures.terms.pools()}
        for name in self._watches.keys() - pools:
            del self._watches[name]
            self._growth.pop(name, None)
        if starting:
            for request in list(self.state.requests.values()):
                if request.state is RequestState.ACTIVATING:
                    self._connecting(request.number, now)

    def shortage(self, pool: str, line: str | bytes, now: float) -> str | None:
        """Take the failure to allocate for a line; name the request to park it for.

        None when nothing is being granted by itself: then the client's own retries
        are all there is.
        """
        holder = self._pool(pool)
        if holder is None:
            return None
        if pool in self._granting:
            return self._granting[pool]
        self._watch(pool).failed = True
        request = self.state.request_of(pool)
        if self._busy() or (request is not None and request.state not in UNDER_WAY):
            # With people or queued: the next tick makes it urgent, and that is all.
            return None
        if request is None:
            draft = Draft(self.state, int(now))
            raised = self._requests.raise_for(draft, holder, urgent=True, by="failure")
            if raised is not None:
                self._requests.evaluate(draft)
            self._close(draft)
            request = self.state.request_of(pool)
        if request is None or request.state not in UNDER_WAY:
            return None
        return str(request.number)

    def tick(self, now: float) -> None:
        """Look at every pool, loan and request."""
        if self._busy():
            return
        now = int(now)
        if now < self._now:
            # Set back: what must last a while begins anew.
            self._watches.clear()
        self._now = now
        draft = Draft(self.state, int(now))
        for pool in self.figures.terms.pools():
            self._look(draft, pool)
        self._lending.tick(draft)
        self._requests.tick(draft)
        self._close(draft)

    def carry_out(self, command: Command, now: float) -> Applied | None:
        """Carry out a command of the inbox; None when it was before, or cannot be now.

        It was when ``state.command`` is at least its number; else it is to be tried
        again before any later one.
        """
        if self._busy():
            return None
        draft = Draft(self.state, int(now))
        applied = self._commands.carry_out(draft, command)
        self._requests.evaluate(draft)
        self._close(draft)
        return applied

    def take(self) -> list[Step]:
        """Give the steps that are to be made durable, in order."""
        steps = list(self._steps)
        self._steps.clear()
        self._waiting += len(steps)
        return steps

    def durable(self, step: Step, now: float) -> tuple[str, ...]:
        """Let the allocation know what is durable; name the requests granted by it."""
        self._waiting -= 1
        for each in step.effects:
            known = self.state.blocks.get(each.block.first)
            # Its prefix may be gone by now, or cut anew.
            if known is not None and known.last == each.block.last:
                self._tell(each)
        for number in step.connecting:
            self._connecting(number, now)
        for pool, request in list(self._granting.items()):
            if request in step.granted:
                del self._granting[pool]
        return step.granted

    def connected(self, number: int, now: float, *, reachable: bool) -> None:
        """Take the answer of the network step of a request."""
        request = self.state.requests.get(number)
        if request is not None and request.state is RequestState.ACTIVATING:
            draft = Draft(self.state, int(now))
            self._requests.connected(draft, request, reachable=reachable)
            # What failed before is what this was granted for.
            self._watch(request.pool).failed &= not reachable
            self._close(draft)

    def pools(self) -> list[tuple[Holder, Pressure, Level]]:
        """Measure every pool, for those who look."""
        return [
            (pool, self.figures.pressure(pool), self._level(pool.name))
            for pool in self.figures.terms.pools()
        ]

    def critical(self) -> list[str]:
        """Name the pools that need what local relief there is."""
        names = (pool.name for pool in self.figures.terms.pools())
        return [name for name in names if self._level(name) is Level.CRITICAL]

    def _tell(self, told: Effect) -> None:
        """Tell the allocation what becomes of a block."""
        if told.block.state is BlockState.QUARANTINE and self.figures.live(told.block):
            # A start at an earlier time counts leases again that were over: they end.
            told = told._replace(condition="drain")
        told.tell(self.space)

    def _connecting(self, number: int, now: float) -> None:
        request = self.state.requests.get(number)
        if request is None:
            return
        known = self.state.blocks  # a prefix may be gone from the network by now
        blocks = tuple(known[first] for first in request.blocks if first in known)
        reachable = self._connect(number, blocks) if self._connect and blocks else True
        if reachable is not None:
            self.connected(number, now, reachable=reachable)

    def _busy(self) -> bool:
        return len(self._steps) + self._waiting >= STEPS_MAX

    def _close(self, draft: Draft) -> None:
        steps = draft.close()
        self._steps.extend(steps)
        for step in steps:
            for request in step.change.requests:
                if request.state in TERMINAL and request.granted:
                    self._granting[request.pool] = str(request.number)

    def _pool(self, name: str) -> Holder | None:
        holder = self.state.terms and self.state.terms.holders.get(name)
        return holder if holder and holder.kind == "pool" else None

    def _watch(self, pool: str) -> _Watch:
        return self._watches.setdefault(pool, _Watch())

    def _level(self, pool: str) -> Level:
        return Level(self.state.memory(pool).level)

    def _look(self, draft: Draft, pool: Holder) -> None:
        """Measure one pool, and do what its marks say."""
        policy, now = self.figures.terms.policy, draft.now
        watch = self._watch(pool.name)
        used = self.figures.pressure(pool).used
        self._growth[pool.name] = grown(
            self._growth.get(pool.name, Growth()), used, now, policy
        )
        pressure = self.figures.pressure(pool)
        before = self._level(pool.name)
        level = level_of(before, pressure, policy, failed=watch.failed)
        watch.failed = False
        if level is not before:
            self._come_to(draft, pool, pressure, level)
        watch.high_since = (watch.high_since or now) if level >= Level.HIGH else 0
        hurry = pressure.seconds_left < policy.high_exhaustion_seconds
        lasts = level >= Level.HIGH and now - watch.high_since >= policy.high_seconds
        # What is being granted comes first; then the pool is seen anew.
        pressing = level is Level.CRITICAL or lasts or hurry
        if pressing and pool.name not in self._granting:
            urgent = level is Level.CRITICAL
            self._requests.raise_for(draft, pool, urgent=urgent, by="threshold")
        self._low(draft, pool, pressure, watch)

    def _come_to(
        self, draft: Draft, pool: Holder, pressure: Pressure, level: Level
    ) -> None:
        values: dict[str, int] = {"level": level}
        if level < Level.WARN:
            values |= {"refusals": 0, "denied_until": 0}
        draft.remember(pool.name, **values)
        draft.publish(
            EVENTS[level],
            f"pool/{pool.name}",
            (pool.tenant,),
            used=pressure.used,
            free=pressure.free,
            capacity=pressure.capacity,
        )

    def _low(
        self, draft: Draft, pool: Holder, pressure: Pressure, watch: _Watch
    ) -> None:
        """Start the return of one block when the pool has long had too much."""
        policy, size = self.figures.terms.policy, self.figures.block_size()
        over_cap = pressure.owned + pressure.borrowed > pressure.burst_cap
        low = bool(pressure.borrowed) and may_return(pressure, size, policy)
        if not low and not over_cap:
            watch.low_since = 0
            return
        watch.low_since = watch.low_since or draft.now
        lasting = max(policy.low_seconds, pool.lease_seconds)
        if not over_cap and draft.now - watch.low_since < lasting:
            return
        mine = list(self.state.borrowed(pool.name))
        if any(loan.cause for loan in mine):
            return  # one at a time: what goes already changes what is needed
        active = [loan for loan in mine if loan.state is BlockState.ACTIVE]
        if active:
            watch.low_since = draft.now
            blocks = self.state.blocks
            least = min(
                active,
                key=lambda loan: (self.figures.live(blocks[loan.first]), -loan.number),
            )
            self._lending.give_back(draft, least, "low")
