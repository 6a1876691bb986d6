"""An over-allocation request: its states, what may follow, and who has to agree.

A request ends once and stays as it ended. Until then it is in a state that something
will end: the same step, the approvals' time-out, the queue's, or the network step's.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct, structs

from ipserver.block import NoSuchTransitionError


class RequestState(StrEnum):
    """Where a request is on its way to an answer."""

    RAISED = "raised"
    EVALUATING = "evaluating"
    RESERVING = "reserving"
    PENDING_APPROVAL = "pending_approval"
    ESCALATED = "escalated"
    QUEUED = "queued"
    ACTIVATING = "activating"
    ROLLED_BACK = "rolled_back"
    FULFILLED = "fulfilled"
    PARTIAL = "partial"
    """Granted, and less than was asked for."""
    DENIED = "denied"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"


class RequestEvent(StrEnum):
    """What happens to a request."""

    EVALUATE = "evaluate"
    RESERVE = "reserve"
    ASK = "ask"
    QUEUE = "queue"
    DENY = "deny"
    TIME_OUT = "time_out"
    COMMIT = "commit"
    """Its blocks are promised to it, durably; the network step begins."""
    LOSE = "lose"
    """The blocks that it was to have are gone."""
    GRANT = "grant"
    GRANT_PART = "grant_part"
    ROLL_BACK = "roll_back"
    FAIL = "fail"
    CANCEL = "cancel"
    EXPIRE = "expire"


_S, _E = RequestState, RequestEvent

_WAITING: Final = {
    _E.RESERVE: _S.RESERVING,
    _E.DENY: _S.DENIED,
    _E.CANCEL: _S.CANCELLED,
    _E.EVALUATE: _S.EVALUATING,
}

_STEPS: Final[dict[RequestState, dict[RequestEvent, RequestState]]] = {
    _S.RAISED: {_E.EVALUATE: _S.EVALUATING},
    _S.EVALUATING: {
        _E.RESERVE: _S.RESERVING,
        _E.ASK: _S.PENDING_APPROVAL,
        _E.QUEUE: _S.QUEUED,
        _E.DENY: _S.DENIED,
        _E.FAIL: _S.FAILED,
    },
    _S.RESERVING: {_E.COMMIT: _S.ACTIVATING, _E.LOSE: _S.EVALUATING},
    _S.PENDING_APPROVAL: {**_WAITING, _E.TIME_OUT: _S.ESCALATED},
    _S.ESCALATED: _WAITING,
    _S.QUEUED: {
        _E.EVALUATE: _S.EVALUATING,
        _E.EXPIRE: _S.EXPIRED,
        _E.CANCEL: _S.CANCELLED,
        _E.DENY: _S.DENIED,
    },
    _S.ACTIVATING: {
        _E.GRANT: _S.FULFILLED,
        _E.GRANT_PART: _S.PARTIAL,
        _E.ROLL_BACK: _S.ROLLED_BACK,
    },
    _S.ROLLED_BACK: {_E.EVALUATE: _S.EVALUATING, _E.FAIL: _S.FAILED},
    **{
        state: {}
        for state in (
            *(_S.FULFILLED, _S.PARTIAL, _S.DENIED),
            *(_S.CANCELLED, _S.EXPIRED, _S.FAILED),
        )
    },
}

TRANSITIONS: Final[dict[tuple[RequestState, RequestEvent], RequestState | None]] = {
    (state, event): _STEPS[state].get(event)
    for state in RequestState
    for event in RequestEvent
}
"""Every state and event; None where the event must not happen to such a request."""

TERMINAL: Final = frozenset(state for state, steps in _STEPS.items() if not steps)
"""States that a request never leaves."""

WITH_PEOPLE: Final = frozenset({_S.PENDING_APPROVAL, _S.ESCALATED})
"""States in which somebody has to say yes or no."""

UNDER_WAY: Final = frozenset(
    {_S.RAISED, _S.EVALUATING, _S.RESERVING, _S.ACTIVATING, _S.ROLLED_BACK}
)
"""States that pass by themselves in moments: a client may wait for their end."""


class Option(Struct, frozen=True, array_like=True):
    """One way to serve a request: so many blocks of a source, if the parties agree.

    ``parties`` are tenants: names of ISPs, or ``network`` for the Network Provider.
    """

    source: str
    blocks: int
    parties: tuple[str, ...]


class Answer(StrEnum):
    """What a party says."""

    APPROVE = "approve"
    PARTIAL = "partial"
    DENY = "deny"


class Approval(Struct, frozen=True, array_like=True):
    """What a party said of a request, once and for good.

    ``actor`` is the principal that authenticated for the party; ``inputs`` the digest
    of the snapshot and ``policy`` that of the rules that it was asked under; ``reason``
    is in the party's own words.
    """

    request: int
    party: str
    actor: str
    answer: Answer
    blocks: int
    at: int
    policy: str
    inputs: str
    reason: str = ""


class Request(Struct, frozen=True, array_like=True):
    """An ISP's pool asks for more addresses than it has.

    ``size`` is what is asked for, in addresses, and ``granted`` what it got; times are
    seconds since the epoch. ``reason`` is the stable code of the last decision and
    ``retry_after`` when to ask again, in seconds from ``decided_at``.
    """

    number: int
    pool: str
    tenant: str
    size: int
    urgent: bool
    raised_at: int
    by: str
    """What raised it: threshold, failure, or the actor that asked."""
    state: RequestState = RequestState.RAISED
    since: int = 0
    reason: str = ""
    retry_after: int = 0
    granted: int = 0
    attempts: int = 0
    options: tuple[Option, ...] = ()
    chosen: Option | None = None
    blocks: tuple[int, ...] = ()
    """First addresses of the blocks that were promised to it."""
    inputs: str = ""
    policy: str = ""
    asked_at: int = 0
    calm_since: int = 0
    """Since when the pressure is gone; 0 while it is not."""
    evaluated_at: int = 0
    justification: str = ""
    family: int = 4

    @property
    def open(self) -> bool:
        """Whether it waits for an answer."""
        return self.state not in TERMINAL

    def follow(self, event: RequestEvent, now: int) -> Request:
        """Give the request after an event; raises NoSuchTransitionError."""
        state = TRANSITIONS[self.state, event]
        if state is None:
            raise NoSuchTransitionError(f"{event} of a request that is {self.state}")
        return structs.replace(self, state=state, since=now)


def agreed(
    options: tuple[Option, ...], approvals: tuple[Approval, ...]
) -> Option | None:
    """Give the first option that all its parties agree to, at the least they agree to.

    A later word of a party replaces none: its first one counts.
    """
    said: dict[str, Approval] = {}
    for approval in approvals:
        said.setdefault(approval.party, approval)
    for option in options:
        words = [said[party] for party in option.parties if party in said]
        if len(words) < len(option.parties) or any(
            word.answer is Answer.DENY for word in words
        ):
            continue
        least = min(
            (word.blocks for word in words if word.answer is Answer.PARTIAL),
            default=option.blocks,
        )
        return structs.replace(option, blocks=min(option.blocks, least))
    return None


def remaining(
    options: tuple[Option, ...], approvals: tuple[Approval, ...]
) -> tuple[Option, ...]:
    """Give the options that no party has refused."""
    against = {word.party for word in approvals if word.answer is Answer.DENY}
    return tuple(option for option in options if not against & set(option.parties))


def still_stand(
    options: tuple[Option, ...], tenants: Mapping[str, str], borrower: str
) -> bool:
    """Whether a source of these options is there, and none belongs to others by now
    than to who is asked. ``tenants`` are those of all pools and reserves.
    """
    there = [option for option in options if option.source in tenants]
    return bool(there) and all(
        {*option.parties} <= {borrower, tenants[option.source]} for option in there
    )
