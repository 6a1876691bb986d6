"""The states of orders and their items (TMF641), as tables that are complete.

An item's state changes by events, an order's follows from its items'. A refused order
keeps its items, so that who sent it sees which were wrong (``rejected``), which were
right (``rejected.validated``) and which nobody looked at (``rejected.unassessed``).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """TMF641's ServiceOrderStateType; items have the same."""

    ACKNOWLEDGED = "acknowledged"
    REJECTED = "rejected"
    PENDING = "pending"
    HELD = "held"
    IN_PROGRESS = "inProgress"
    CANCELLED = "cancelled"
    COMPLETED = "completed"
    FAILED = "failed"
    PARTIAL = "partial"
    ASSESSING_CANCELLATION = "assessingCancellation"
    PENDING_CANCELLATION = "pendingCancellation"


class Action(StrEnum):
    """TMF641's OrderItemActionType."""

    ADD = "add"
    MODIFY = "modify"
    DELETE = "delete"
    NO_CHANGE = "noChange"


class Assessment(StrEnum):
    """What a refused order says of each of its items."""

    INVALID = ""
    VALIDATED = "validated"
    UNASSESSED = "unassessed"


class Event(StrEnum):
    """What happens to an item."""

    START = "start"
    DONE = "done"
    FAIL = "fail"
    CANCEL = "cancel"
    UNDONE = "undone"


_A, _P, _H = State.ACKNOWLEDGED, State.PENDING, State.HELD
_I, _PC = State.IN_PROGRESS, State.PENDING_CANCELLATION
_C, _F, _X = State.COMPLETED, State.FAILED, State.CANCELLED

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    _A: {Event.START: _I, Event.CANCEL: _PC},
    _P: {Event.START: _I, Event.CANCEL: _PC},
    _H: {Event.START: _I, Event.CANCEL: _PC},
    _I: {Event.DONE: _C, Event.FAIL: _F, Event.CANCEL: _PC},
    _PC: {Event.UNDONE: _X},
    _C: {},
    _F: {},
    _X: {},
    State.REJECTED: {},
}
"""What each event makes of an item; what is not here cannot happen. ``fail`` comes when
all that was done is undone, ``undone`` the same for a cancelled one."""

ENDED: Final = frozenset({_C, _F, _X, State.REJECTED, State.PARTIAL})
"""Nothing comes after these."""


def after(state: State, event: Event) -> State:
    """Give an item's next state; KeyError for what cannot happen, which is a bug."""
    return TRANSITIONS[state][event]


_OPEN_ORDER: Final = (_PC, _I, _H, _P, _A)
"""Of an order with open items, the first of these that one of them is in."""


def order_state(items: Iterable[State]) -> State:
    """Give the state of an order from its items'."""
    states = set(items)
    for state in _OPEN_ORDER:
        if state in states:
            return state
    if len(states) == 1:
        return states.pop()
    return State.PARTIAL if _C in states else _F
