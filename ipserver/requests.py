"""Carries requests to an answer: raised, decided, approved, waited for, granted.

A pool has one open request at most; more pressure amends it. What is decided is kept
with its inputs. Who waits is served in the order of need, not of arrival, so that a
pool above its guarantee never holds back one below.
"""

from __future__ import annotations

from typing import Final

from msgspec import structs

from ipserver.decision import (
    Decision,
    Outcome,
    Reason,
    back_off,
    decide,
    policy_digest,
)
from ipserver.draft import Draft
from ipserver.figures import Figures
from ipserver.holdings import Holder
from ipserver.lending import TOUCHED_MAX, Lending
from ipserver.over_allocation_change import Decided
from ipserver.over_allocation_request import (
    UNDER_WAY,
    WITH_PEOPLE,
    Approval,
    Option,
    Request,
    RequestEvent,
    RequestState,
    agreed,
    remaining,
    still_stand,
)
from ipserver.pressure import Level, size_of_ask
from ipserver.turns import in_order

_E, _S = RequestEvent, RequestState

_APPROVALS_KEPT: Final = 32
"""Durations of the last approvals, from which the lead time is taken."""

_P95: Final = 0.95

_WAITING: Final = frozenset({*WITH_PEOPLE, _S.QUEUED})
"""States in which a request can be withdrawn."""


class Requests:
    """What happens to requests, within a step."""

    def __init__(self, figures: Figures, lending: Lending) -> None:
        self._figures = figures
        self._lending = lending
        self._evaluated: dict[str, int] = {}
        self._approval_seconds: list[int] = []

    def raise_for(
        self,
        draft: Draft,
        pool: Holder,
        *,
        urgent: bool,
        by: str,
        size: int = 0,
        why: str = "",
    ) -> Request | None:
        """Raise a request for a pool, or amend the one that is open.

        None when the pool may not ask now: it was denied a moment ago, or its ISP has
        all the open requests it may have. ``size`` 0 asks for what is needed.
        """
        memory = draft.state.memory(pool.name)
        policy = self._figures.terms.policy
        wanted = size or self._size(draft, pool)
        wanted = min(wanted, policy.blocks_per_request_max * self._figures.block_size())
        known = draft.state.request_of(pool.name)
        if known is not None:
            return self._amend(draft, known, urgent=urgent, size=wanted)
        entitled = self._figures.deficit(pool) > 0
        if draft.now < memory.denied_until and not entitled:
            return None
        open_ones = sum(r.tenant == pool.tenant for r in draft.state.requests.values())
        if open_ones >= policy.pending_max and not entitled:
            return None
        return draft.put_request(
            Request(
                number=draft.state.last_request + 1,
                pool=pool.name,
                tenant=pool.tenant,
                size=wanted,
                urgent=urgent,
                raised_at=draft.now,
                by=by,
                since=draft.now,
                justification=why,
            )
        )

    def _amend(
        self, draft: Draft, request: Request, *, urgent: bool, size: int
    ) -> Request:
        if request.state in UNDER_WAY:
            return request  # what it gets comes first; then it is seen anew
        urgent = urgent or request.urgent
        size = max(size, request.size)
        if (urgent, size) == (request.urgent, request.size) and not request.calm_since:
            return request
        amended = structs.replace(request, urgent=urgent, size=size, calm_since=0)
        answered = draft.state.approvals.get(request.number)
        if size > request.size and request.state in WITH_PEOPLE and not answered:
            # They are asked for all of it, and have no more time for that; who has said
            # its word said it of less.
            decision, decided = self._decide(draft, amended)
            if decision.outcome is Outcome.ASK and not decision.recalls:
                draft.decided(decided)
                amended = structs.replace(
                    amended,
                    options=decision.options,
                    inputs=decided.inputs,
                    policy=decided.policy,
                )
        return draft.put_request(amended)

    def _decide(self, draft: Draft, request: Request) -> tuple[Decision, Decided]:
        snapshot = self._figures.snapshot(request, draft.now)
        decision, inputs = decide(snapshot), snapshot.digest()
        policy = policy_digest(snapshot.policy)
        return decision, Decided(
            request.number, draft.now, snapshot, decision, inputs, policy
        )

    def _size(self, draft: Draft, pool: Holder) -> int:
        policy = self._figures.terms.policy
        memory = draft.state.memory(pool.name)
        recurs = 0 <= draft.now - memory.granted_at <= policy.slow_start_seconds
        return size_of_ask(
            self._figures.pressure(pool),
            self._figures.block_size(),
            self._lead(),
            memory.doublings + 1 if memory.granted_at and recurs else 0,
            policy,
        )

    def _lead(self) -> int:
        """How long a grant takes: what approvals took, and a margin."""
        times = sorted(self._approval_seconds)
        p95 = times[int(len(times) * _P95)] if times else 0
        return p95 + self._figures.terms.policy.lead_seconds

    def evaluate(self, draft: Draft) -> None:
        """Decide what can be decided now, an ISP's requests one a second."""
        for request in in_order(draft.state, self._figures, draft.now):
            if draft.touched >= TOUCHED_MAX:
                return
            if self._evaluated.get(request.tenant) != draft.now:
                self._evaluated[request.tenant] = draft.now
                self._evaluate(draft, request)

    def _evaluate(self, draft: Draft, request: Request) -> None:
        if request.state is not _S.EVALUATING:
            request = draft.move(request, _E.EVALUATE)
        decision, decided = self._decide(draft, request)
        same = request.reason == decision.reason and decision.outcome is Outcome.QUEUE
        if not same or decision.recalls:
            draft.decided(decided)
        request = structs.replace(
            request,
            inputs=decided.inputs,
            policy=decided.policy,
            reason=decision.reason,
            retry_after=decision.retry_after,
            evaluated_at=draft.now,
        )
        self._carry_out(draft, request, decision)

    def _carry_out(self, draft: Draft, request: Request, decision: Decision) -> None:
        if decision.recalls:
            cause = "guarantee" if self._entitled(request) else "recall"
            self._lending.recall(draft, decision.recalls, cause)
        match decision.outcome:
            case Outcome.GRANT:
                assert decision.chosen is not None
                self.reserve(draft, request, decision.chosen)
            case Outcome.ASK:
                self._ask(draft, request, decision.options)
            case Outcome.QUEUE:
                draft.move(request, _E.QUEUE)
            case Outcome.DENY:
                self.deny(draft, request, decision.reason)

    def _ask(self, draft: Draft, request: Request, options: tuple[Option, ...]) -> None:
        """Ask the parties; who has said its word of this request is not asked again:
        what it agreed to may have been gone, or not to be reached, the first time.
        """
        words = draft.state.approvals.get(request.number, ())
        options = remaining(options, words)
        option = agreed(options, words)
        if not options:
            self.deny(draft, request, Reason.REFUSED)
        elif option is not None:
            self.reserve(draft, request, option)
        else:
            draft.move(request, _E.ASK, options=options, asked_at=draft.now)

    def reserve(self, draft: Draft, request: Request, option: Option) -> None:
        """Promise the request its blocks; if they are gone, it is decided anew."""
        request = draft.move(request, _E.RESERVE, chosen=option)
        blocks = self._lending.promise(draft, request, option)
        if blocks:
            firsts = tuple(block.first for block in blocks)
            draft.move(request, _E.COMMIT, blocks=firsts, options=())
        else:
            draft.move(request, _E.LOSE, chosen=None, options=())

    def deny(self, draft: Draft, request: Request, reason: str) -> Request:
        """End a request with a no."""
        return self._put_off(draft, request, _E.DENY, reason)

    def _put_off(
        self, draft: Draft, request: Request, event: RequestEvent, reason: str
    ) -> Request:
        """End a request with nothing; its pool asks again later, each time later still.

        It is as full as before, and would ask for the same at once.
        """
        policy = self._figures.terms.policy
        memory = draft.state.memory(request.pool)
        wait = back_off(memory.refusals, policy)
        draft.remember(
            request.pool, refusals=memory.refusals + 1, denied_until=draft.now + wait
        )
        return draft.move(request, event, reason=reason, retry_after=wait, options=())

    def say(self, draft: Draft, request: Request, approval: Approval) -> Request | None:
        """Take a party's word; what it leads to happens at once.

        None when the party is not asked, or has had its word.
        """
        asked = {party for option in request.options for party in option.parties}
        given = draft.state.approvals.get(request.number, ())
        if approval.party not in asked or any(
            word.party == approval.party for word in given
        ):
            return None
        draft.approve(approval)
        words = draft.state.approvals[request.number]
        options = remaining(request.options, words)
        option = agreed(options, words)
        if not options:
            return self.deny(draft, request, Reason.REFUSED)
        if option is not None:
            took = max(0, draft.now - request.asked_at)
            self._approval_seconds = [*self._approval_seconds, took][-_APPROVALS_KEPT:]
            self.reserve(draft, request, option)
        elif options != request.options:
            draft.put_request(structs.replace(request, options=options))
        return draft.state.requests[request.number]

    def connected(self, draft: Draft, request: Request, *, reachable: bool) -> None:
        """Take the word of the network step: the blocks can be used, or cannot."""
        policy = self._figures.terms.policy
        if not reachable:
            self._lending.roll_back(draft, request.blocks)
            attempts = request.attempts + 1
            request = draft.move(
                request, _E.ROLL_BACK, attempts=attempts, blocks=(), chosen=None
            )
            if attempts >= policy.activation_attempts:
                self._put_off(draft, request, _E.FAIL, "unreachable")
            return
        granted = self._lending.activate(draft, request.blocks)
        if not granted:  # the prefixes are gone from the network meanwhile
            draft.move(request, _E.ROLL_BACK, blocks=(), chosen=None)
            return
        event = _E.GRANT if granted >= request.size else _E.GRANT_PART
        draft.move(request, event, granted=granted)
        memory = draft.state.memory(request.pool)
        recurs = 0 <= draft.now - memory.granted_at <= policy.slow_start_seconds
        again = bool(memory.granted_at) and recurs
        draft.remember(
            request.pool,
            doublings=memory.doublings + 1 if again else 0,
            granted_at=draft.now,
            refusals=0,
            rationed_until=draft.now + policy.rationing_seconds,
        )

    def withdraw(self, draft: Draft, request: Request, reason: str) -> bool:
        """Cancel a request by its ISP's word; False when it is past that."""
        waits = request.state in _WAITING
        if waits:
            self._put_off(draft, request, _E.CANCEL, reason)
        return waits

    def tick(self, draft: Draft) -> None:
        """End what has waited long enough, then decide what is due."""
        for request in list(draft.state.requests.values()):
            if draft.touched >= TOUCHED_MAX:
                return
            self._wait(draft, request)
        self.evaluate(draft)

    def _wait(self, draft: Draft, request: Request) -> None:
        policy = self._figures.terms.policy
        waited = draft.now - request.since
        if waited < 0:
            # The clock was set back: it waits its time from now on.
            request = draft.put_request(structs.replace(request, since=draft.now))
        pool = self._figures.terms.holders.get(request.pool)
        if pool is None:
            self._lost(draft, request, "pool_removed")
        elif pool.tenant != request.tenant:
            # What others agreed to, they agreed to for who asked them.
            self._lost(draft, request, "pool_sold")
        elif request.state is _S.ACTIVATING:
            if waited >= policy.activation_seconds:
                self.connected(draft, request, reachable=False)
        elif request.state in WITH_PEOPLE and self._entitled(request):
            # By now it is below its guarantee, which waits for nobody's word.
            draft.move(request, _E.EVALUATE, options=())
        elif request.state in _WAITING:
            request = self._calm(draft, request)
            calm = request.calm_since and draft.now - request.calm_since
            if calm >= policy.cancel_seconds:
                draft.move(request, _E.CANCEL, reason="pressure_gone", options=())
            elif request.state is _S.QUEUED:
                if draft.now - request.raised_at >= policy.queue_seconds:
                    self._put_off(draft, request, _E.EXPIRE, "waited_too_long")
            else:
                self._people(draft, request, waited)

    def _entitled(self, request: Request) -> bool:
        return self._figures.deficit(self._figures.terms.holders[request.pool]) > 0

    def _calm(self, draft: Draft, request: Request) -> Request:
        """Note since when the pressure is gone; what a person asked for stays."""
        level = draft.state.memory(request.pool).level
        calm = level < Level.WARN and request.by in ("threshold", "failure")
        if calm == bool(request.calm_since):
            return request
        since = draft.now if calm else 0
        return draft.put_request(structs.replace(request, calm_since=since))

    def _people(self, draft: Draft, request: Request, waited: int) -> None:
        policy = self._figures.terms.policy
        patience = (
            policy.approval_urgent_seconds
            if request.urgent
            else policy.approval_normal_seconds
        )
        if waited < patience:
            tenants = {h.name: h.tenant for h in self._figures.terms.holders.values()}
            if not still_stand(request.options, tenants, request.tenant):
                draft.move(request, _E.EVALUATE, options=())
        elif request.state is _S.PENDING_APPROVAL:
            draft.move(request, _E.TIME_OUT)
        elif not (
            policy.approval_default == "emergency_block"
            and self._emergency(draft, request)
        ):
            self.deny(draft, request, Reason.TIMEOUT)

    def _emergency(self, draft: Draft, request: Request) -> bool:
        """Grant one block of a reserve where nobody answered; False without one."""
        pool = self._figures.terms.holders[request.pool]
        for source in self._figures.sources(pool, 1):
            if source.kind == "reserve" and source.empty_blocks:
                request = structs.replace(request, reason=Reason.FROM_EMERGENCY)
                self.reserve(draft, request, Option(source.name, 1, ()))
                return True
        return False

    def _lost(self, draft: Draft, request: Request, reason: str) -> None:
        """End what can no longer be served: its pool is gone, or another ISP's."""
        if request.state in _WAITING:
            draft.move(request, _E.CANCEL, reason=reason, options=())
            return
        if request.state is _S.ACTIVATING:
            self._lending.roll_back(draft, request.blocks)
            request = draft.move(request, _E.ROLL_BACK, blocks=(), chosen=None)
        elif request.state is _S.RAISED:
            request = draft.move(request, _E.EVALUATE)
        draft.move(request, _E.FAIL, reason=reason)
