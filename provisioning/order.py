"""One order as the manager holds it: header, items, tasks, and the news it makes.

``advance`` brings items and order to what their tasks say, after whatever happened; it
is the only place where they change, so every channel's order takes the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec

from provisioning.appointment import misplaced
from provisioning.order_body import OrderChange
from provisioning.order_rules import Wanted
from provisioning.order_states import (
    ENDED,
    Action,
    Assessment,
    Event,
    State,
    after,
    order_state,
)
from provisioning.outcomes import Outcome
from provisioning.refusal import Refusal
from provisioning.task_graph import (
    DEAD,
    POLICIES,
    Kind,
    Task,
    TaskState,
    compensate,
    dead_letter,
    forced,
    is_done,
    is_late,
    is_undone,
    next_due,
    past_return,
    put_off,
    retried,
    settle,
)

NOTES: Final = 50
"""Milestones, alerts and errors that are kept, of each."""

MILESTONES: Final[dict[Kind, str]] = {
    Kind.LINE: "line built",
    Kind.IDENTITY: "identity approved",
    Kind.SERVICE: "provisioned",
    Kind.PROOF: "active",
    Kind.TAKEOVER: "changed over",
    Kind.REMOVE: "removed",
}
"""What is told of a task that is done."""


class News(NamedTuple):
    """One piece of news for the outbox: TM Forum's event type, and what it says."""

    type: str
    body: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class Item:
    """One item; ``wanted`` is None for what was refused before it was understood."""

    number: int
    id: str
    action: Action
    state: State
    wanted: Wanted | None
    relies_on: tuple[int, ...] = ()
    assessment: Assessment = Assessment.INVALID
    errors: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Order:
    """One order; times are epoch seconds, ``start_at`` the earliest to begin."""

    id: str
    external_id: str
    tenant: str
    digest: str
    channel: str
    actor: str
    on_behalf: str | None
    ordered_at: int
    start_at: int
    body: Mapping[str, Any]
    state: State = State.ACKNOWLEDGED
    completed_at: int | None = None
    due_at: int | None = None
    milestones: list[dict[str, Any]] = field(default_factory=list)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    items: dict[int, Item] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    news: list[News] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more."""
        return self.state in ENDED

    def tasks_of(self, item: int) -> list[Task]:
        """Give an item's tasks."""
        return [task for task in self.tasks.values() if task.item == item]


def start(order: Order, now: int) -> None:
    """Begin with an order whose time has come."""
    for item in order.items.values():
        if item.state in (State.ACKNOWLEDGED, State.PENDING, State.HELD):
            item.state = after(item.state, Event.START)
    advance(order, now)


def settled(
    order: Order, number: int, outcome: Outcome, now: int, jitter: float
) -> None:
    """Take the outcome of a task, and bring the order to what follows."""
    task = order.tasks[number]
    way_back = not past_return(order.tasks_of(task.item))
    changed = settle(task, outcome, now, jitter, way_back=way_back)
    order.tasks[number] = changed
    if changed.state is TaskState.DONE and changed.kind in MILESTONES:
        name = MILESTONES[changed.kind]
        _note(order.milestones, {"name": name, "item": changed.item, "at": now})
        _tell(order, "ServiceOrderMilestoneEvent", milestone=name, item=changed.item)
    if changed.state in DEAD or is_late(changed, now):
        _alert(order, changed, now)
    if changed.state is TaskState.REFUSED:
        code, _, reason = changed.reason.partition(": ")
        fail_item(order, changed.item, code, reason, now)
    advance(order, now)


def stopped(order: Order, number: int, state: TaskState, reason: str, now: int) -> None:
    """Make a task a dead letter at once: a person has to look at it."""
    task = order.tasks[number]
    order.tasks[number] = dead_letter(task, state, reason)
    _alert(order, order.tasks[number], now)
    advance(order, now)


def fail_item(order: Order, number: int, code: str, reason: str, now: int) -> None:
    """Give an item up, and with it all that relies on it."""
    item = order.items[number]
    if item.state in ENDED or item.errors:
        return
    error = {"code": code, "reason": reason, "item": number, "at": now}
    _note(item.errors, error)
    _note(order.errors, error)
    _turn_round(order, number, now)
    for other in order.items.values():
        if number in other.relies_on:
            why = f"item {item.id!r} failed"
            fail_item(order, other.number, "relied_on_failed", why, now)


def cancel(order: Order, now: int) -> str:
    """Cancel an order, or say why it is too late."""
    if order.ended:
        return f"the order is {order.state} already"
    for item in order.items.values():
        if item.state is State.COMPLETED or past_return(order.tasks_of(item.number)):
            return f"item {item.id!r} is past its point of no return"
    for item in order.items.values():
        if item.state not in ENDED and item.state is not State.PENDING_CANCELLATION:
            item.state = after(item.state, Event.CANCEL)
            _turn_round(order, item.number, now)
    advance(order, now)
    return ""


def change(order: Order, wanted: OrderChange, now: int) -> list[Refusal]:
    """Change when an order begins and its appointments, or say why not: all or none."""
    start_at = order.start_at if wanted.start_at is None else wanted.start_at
    refusals = []
    if wanted.start_at is not None and order.state not in _NOT_BEGUN:
        reason = f"the order is {order.state} already"
        refusals.append(Refusal("too_late", "/requestedStartDate", reason))
    items = {item.id: item for item in order.items.values()}
    for id_, (pointer, made) in wanted.appointments.items():
        item = items.get(id_)
        if item is None or item.wanted is None:
            reason = f"there is no item {id_!r}"
            refusals.append(Refusal("unknown_item", pointer, reason))
        elif item.state in ENDED or past_return(order.tasks_of(item.number)):
            reason = "the item is past its point of no return"
            refusals.append(Refusal("too_late", pointer, reason))
        elif made is not None and (no := misplaced(made, pointer, start_at, now)):
            refusals.append(no)
    if refusals:
        return refusals
    for id_, (_, made) in wanted.appointments.items():
        item = items[id_]
        assert item.wanted is not None  # or it was refused above
        item.wanted = msgspec.structs.replace(item.wanted, appointment=made)
    if wanted.start_at is not None:
        order.start_at = max(wanted.start_at, now)
        for item in order.items.values():
            if item.state is State.ACKNOWLEDGED:
                item.state = State.PENDING
        for task in order.tasks.values():
            order.tasks[task.number] = put_off(task, order.start_at)
    _tell(order, "ServiceOrderAttributeValueChangeEvent")
    advance(order, now)
    return []


_NOT_BEGUN: Final = frozenset({State.ACKNOWLEDGED, State.PENDING, State.HELD})


def retry(order: Order, now: int) -> int:
    """Send the dead letters of an order on their way again; how many they were."""
    dead = [task for task in order.tasks.values() if task.state in DEAD]
    for task in dead:
        order.tasks[task.number] = retried(task, now)
    advance(order, now)
    return len(dead)


def force(order: Order, number: int, reason: str, now: int) -> str:
    """Take a dead letter for done, or say why it cannot be: what is our own is never
    done by saying so."""
    task = order.tasks.get(number)
    if task is None or task.state not in DEAD or not POLICIES[task.kind].remote:
        return "only a dead letter of a question to others can be forced"
    order.tasks[number] = forced(task, reason)
    advance(order, now)
    return ""


def _turn_round(order: Order, number: int, now: int) -> None:
    for task in compensate(order.tasks_of(number), now):
        order.tasks[task.number] = task


def advance(order: Order, now: int) -> None:
    """Bring items and order to what their tasks say."""
    for item in order.items.values():
        tasks = order.tasks_of(item.number)
        if item.state is State.IN_PROGRESS and item.errors and is_undone(tasks):
            item.state = after(item.state, Event.FAIL)
        elif item.state is State.IN_PROGRESS and not item.errors and is_done(tasks):
            item.state = after(item.state, Event.DONE)
        elif item.state is State.PENDING_CANCELLATION and is_undone(tasks):
            item.state = after(item.state, Event.UNDONE)
    state = order_state(item.state for item in order.items.values())
    if state is not order.state:
        order.state = state
        if order.ended:
            order.completed_at = now
        _tell(order, "ServiceOrderStateChangeEvent")
    order.due_at = _due(order)


def _due(order: Order) -> int | None:
    if order.ended or order.state is State.HELD:
        return None
    if order.state in (State.ACKNOWLEDGED, State.PENDING):
        return order.start_at
    return next_due(order.tasks)


def alert(order: Order, name: str, message: str, now: int) -> None:
    """Tell who listens that an order is in jeopardy by what no task of it says."""
    told = {"name": name, "task": None, "item": 0, "message": message, "at": now}
    _note(order.alerts, told)
    _tell(order, "ServiceOrderJeopardyEvent", alert=told)


def _alert(order: Order, task: Task, now: int) -> None:
    told = {
        "name": f"{task.kind} {task.state}",
        "task": task.number,
        "item": task.item,
        "message": task.reason,
        "at": now,
    }
    if all((a["name"], a["task"]) != (told["name"], task.number) for a in order.alerts):
        _note(order.alerts, told)
        _tell(order, "ServiceOrderJeopardyEvent", alert=told)


def _note(notes: list[dict[str, Any]], note: dict[str, Any]) -> None:
    notes.append(note)
    del notes[:-NOTES]


def _tell(order: Order, type_: str, **more: Any) -> None:
    order.news.append(News(type_, {"state": order.state.value, **more}))
