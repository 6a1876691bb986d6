"""Which requests can be decided now, and whose turn it is first.

Who is furthest below its guarantee, then by class and by what each has for its weight;
waiting moves a request up by a class now and again, so that nobody waits for ever.
"""

from __future__ import annotations

from typing import Final

from ipserver.figures import Figures
from ipserver.over_allocation_request import Request, RequestState
from ipserver.over_allocation_state import State

_S = RequestState
_UNDECIDED: Final = frozenset({_S.RAISED, _S.EVALUATING, _S.ROLLED_BACK})


def in_order(state: State, figures: Figures, now: int) -> list[Request]:
    """Give the requests that can be decided, who needs it most first."""
    terms = figures.terms
    due = [r for r in state.requests.values() if _due(state, figures, r, now)]

    def place(request: Request) -> tuple[float, ...]:
        pool = terms.holders[request.pool]
        waited = max(0, now - request.raised_at)
        return (
            -figures.deficit(pool),
            -(pool.priority + waited // terms.policy.ageing_seconds),
            figures.share(pool),
            request.raised_at,
            request.number,
        )

    return sorted(due, key=place)


def _due(state: State, figures: Figures, request: Request, now: int) -> bool:
    if request.pool not in figures.terms.holders:
        return False
    if request.state in _UNDECIDED:
        return True
    if request.state is not _S.QUEUED:
        return False
    if state.freed_at > request.evaluated_at:
        return True
    requeue = figures.terms.policy.requeue_seconds
    return not 0 <= now - request.evaluated_at < requeue
