"""One step in the making: each change is in the state at once, and in one record.

What the allocation is to be told waits until the record is durable.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from msgspec import structs

from ipserver.block import Block, BlockEvent
from ipserver.decision import NETWORK
from ipserver.loan import Loan
from ipserver.over_allocation_change import (
    KIND,
    Applied,
    Change,
    Decided,
    Event,
    PoolMemory,
    encode,
)
from ipserver.over_allocation_request import (
    TERMINAL,
    Approval,
    Request,
    RequestEvent,
    RequestState,
)
from ipserver.over_allocation_state import State
from ipserver.space import CONDITIONS, Effect

BODY_BYTES_MAX: Final = 65_535
"""What an entry of the journal holds."""


class Step(NamedTuple):
    """What must be durable, and what follows when it is.

    ``kind`` and ``body`` make one entry of the journal. ``granted`` are the requests
    whose parked clients can be answered then, ``connecting`` those whose blocks the
    network is to be made ready for.
    """

    kind: int
    body: bytes
    change: Change
    effects: tuple[Effect, ...]
    granted: tuple[str, ...]
    connecting: tuple[int, ...]


_ENDED_EVENTS: Final = {
    RequestState.FULFILLED: "request.granted",
    RequestState.PARTIAL: "request.partial",
    RequestState.DENIED: "request.denied",
    RequestState.CANCELLED: "request.cancelled",
    RequestState.EXPIRED: "request.expired",
    RequestState.FAILED: "request.failed",
    RequestState.RAISED: "request.raised",
    RequestState.PENDING_APPROVAL: "request.pending",
    RequestState.ESCALATED: "request.escalated",
    RequestState.QUEUED: "request.queued",
}
"""What is published when a request comes into a state; the others pass in moments."""


class Draft:
    """Collects the changes of one step at ``now`` and applies each to the state."""

    def __init__(self, state: State, now: int) -> None:
        self.state = state
        self.now = now
        self._blocks: dict[int, Block] = {}
        self._requests: dict[int, Request] = {}
        self._loans: dict[int, Loan] = {}
        self._pools: dict[str, PoolMemory] = {}
        self._approvals: list[Approval] = []
        self._decisions: list[Decided] = []
        self._applied: list[Applied] = []
        self._events: list[Event] = []
        self._states: dict[int, RequestState] = {
            number: request.state for number, request in state.requests.items()
        }
        self.touched = 0
        """How many objects were changed: a step is cut off before it is too long."""

    def _apply(self, **changed: Any) -> None:
        self.touched += 1
        self.state.apply(Change(self.now, **changed))

    def put_block(self, block: Block) -> Block:
        """Change a block."""
        self._blocks[block.first] = block
        self._apply(blocks=(block,))
        return block

    def put_loan(self, loan: Loan) -> Loan:
        """Change a loan."""
        self._loans[loan.number] = loan
        self._apply(loans=(loan,))
        return loan

    def put_request(self, request: Request) -> Request:
        """Change a request."""
        self._requests[request.number] = request
        self._apply(requests=(request,))
        return request

    def move(self, request: Request, event: RequestEvent, **values: Any) -> Request:
        """Let an event happen to a request."""
        moved = structs.replace(request.follow(event, self.now), **values)
        return self.put_request(moved)

    def move_block(self, block: Block, event: BlockEvent, **values: Any) -> Block:
        """Let an event happen to a block."""
        return self.put_block(structs.replace(block.follow(event, self.now), **values))

    def remember(self, pool: str, **values: Any) -> PoolMemory:
        """Change what is remembered of a pool."""
        memory = structs.replace(self.state.memory(pool), **values)
        self._pools[pool] = memory
        self._apply(pools=(memory,))
        return memory

    def approve(self, approval: Approval) -> None:
        """Add a party's word."""
        self._approvals.append(approval)
        self._apply(approvals=(approval,))

    def decided(self, decided: Decided) -> None:
        """Keep a decision with its inputs."""
        self._decisions.append(decided)
        self.touched += 1

    def applied(self, applied: Applied) -> None:
        """Note that a command was applied."""
        self._applied.append(applied)
        self._apply(applied=(applied,))

    def publish(
        self, name: str, subject: str, tenants: tuple[str, ...], **detail: int | str
    ) -> None:
        """Tell whoever listens; the Network Provider always may."""
        seen = tuple(dict.fromkeys((*tenants, NETWORK)))
        self._events.append(Event(name, subject, seen, self.now, detail))

    def _publish_requests(self) -> None:
        for request in self._requests.values():
            name = _ENDED_EVENTS.get(request.state)
            new = request.number not in self._states
            if new and request.state is not RequestState.RAISED:
                self._publish_request(_ENDED_EVENTS[RequestState.RAISED], request)
            if name and self._states.get(request.number) is not request.state:
                self._publish_request(name, request)

    def _publish_request(self, name: str, request: Request) -> None:
        parties = (party for option in request.options for party in option.parties)
        self.publish(
            name,
            f"request/{request.number}",
            (request.tenant, *parties),
            pool=request.pool,
            size=request.size,
            granted=request.granted,
            reason=request.reason,
        )

    def close(self) -> list[Step]:
        """Give the step, or none when nothing changed.

        One that is too long for an entry is several, to be made durable together:
        appended one behind the other, they are in one block of the journal. What
        follows from it follows from the last.
        """
        self._publish_requests()
        change = Change(
            self.now,
            blocks=tuple(self._blocks.values()),
            requests=tuple(self._requests.values()),
            loans=tuple(self._loans.values()),
            approvals=tuple(self._approvals),
            decisions=tuple(self._decisions),
            pools=tuple(self._pools.values()),
            applied=tuple(self._applied),
            events=tuple(self._events),
        )
        if change.empty:
            return []
        parts = list(_parts(change))
        steps = [Step(KIND, body, part, (), (), ()) for part, body in parts]
        requests = change.requests
        steps[-1] = steps[-1]._replace(
            effects=tuple(effect(self.state, block) for block in change.blocks),
            granted=tuple(
                str(request.number)
                for request in requests
                if request.state in TERMINAL and request.granted
            ),
            connecting=tuple(
                request.number
                for request in requests
                if request.state is RequestState.ACTIVATING
                and self._states.get(request.number) is not RequestState.ACTIVATING
            ),
        )
        return steps


def _parts(change: Change) -> Iterator[tuple[Change, bytes]]:
    """Cut a change into as many as entries of the journal can hold, in halves."""
    body = encode(change)
    if len(body) <= BODY_BYTES_MAX:
        yield change, body
        return
    halves: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name in Change.__struct_fields__[1:]:
        objects = getattr(change, name)
        middle = (len(objects) + 1) // 2
        halves[0][name], halves[1][name] = objects[:middle], objects[middle:]
    for half in halves:
        yield from _parts(Change(change.at, **half))


def effect(state: State, block: Block) -> Effect:
    """Tell what the allocation is to do with a block as it is now."""
    condition = CONDITIONS[block.state]
    terms = state.terms
    holder = terms.holders.get(block.holder) if terms else None
    if holder is None and condition != "close":
        # Its pool is gone from the network, and its clients have leases for a while.
        condition = "drain"
    elif condition == "open" and holder is not None and holder.kind == "reserve":
        condition = "close"
    loan = state.loans.get(block.loan)
    return Effect(condition, block, loan.lease_seconds if loan else 0)
