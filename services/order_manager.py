"""The provisioning manager's step: every order that is due goes as far as it can.

Tasks that are ours run in the step's transaction, an order's in a savepoint of its own:
a bug in one leaves the others alone, and the task is a dead letter with the reason.
What is asked of others is handed out as calls, marked as asked before anyone asks; the
answer is settled in a later step, and one that comes too late finds its task moved on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from provisioning import order as orders
from provisioning.order import Order
from provisioning.order_states import State
from provisioning.outcomes import Outcome, Trouble
from provisioning.task_graph import (
    ATTEMPTS,
    DEAD,
    POLICIES,
    Kind,
    Task,
    TaskState,
    asked,
    runnable,
)
from services.adapters import Ports, Work, look_ahead, perform
from services.orders import save, save_all
from services.provisioning import Provisioning, Transaction
from storage import orders as stored
from storage import qualifications, service_records
from storage.database import is_away

ORDERS_AT_ONCE: Final = 100
"""Orders in one transaction: enough to share its commit, few enough to end soon."""

_STEPS: Final = 1000
"""More steps of one order at a moment mean that it goes in circles: a bug."""

Failure = tuple[str, int, Exception]


class Call(NamedTuple):
    """One question to a device, an ISP or a BSP.

    ``key`` is the same each time it is asked, so whoever does it twice does it once.
    ``party`` is whose answer it is: an ISP, a BSP, or the line whose device it is.
    """

    order_id: str
    task: int
    attempt: int
    key: str
    kind: Kind
    undo: bool
    tenant: str
    party: str
    body: Mapping[str, Any]
    answer_seconds: int


class Step(NamedTuple):
    """What a step came to: calls to be made, and orders that a bug stopped."""

    orders: int
    calls: list[Call]
    failures: list[Failure]


def is_due(provisioning: Provisioning, now: int, after: int) -> bool:
    """Say whether a step would find anything to do, or to learn; ``after`` is how far
    sessions were looked at. It is asked beside writers, and keeps none of them."""
    with provisioning.database.read.connect() as connection:
        return bool(
            stored.due(connection, now, 1)
            or qualifications.expired(connection, now, 1)
            or service_records.latest_session(connection) > after
            or not provisioning.is_current(connection)
        )


def step(transaction: Transaction, ports: Ports, draw: Callable[[], float]) -> Step:
    """Take every order that is due as far as it goes; ``draw`` gives 0 to 1."""
    ids = stored.due(transaction.connection, transaction.now, ORDERS_AT_ONCE)
    try:
        with transaction.savepoint():
            return _together(transaction, ports, ids, draw)
    except Exception as error:
        if is_away(error):
            raise
        # A bug: found again below, by itself.
        return _one_by_one(transaction, ports, ids, draw)


def _together(
    transaction: Transaction, ports: Ports, ids: list[str], draw: Callable[[], float]
) -> Step:
    """Take all orders further at once: as long as no bug stops one, none needs more."""
    found = stored.load(transaction.connection, ids)
    look_ahead(transaction, ports, found.values())
    made = Step(len(ids), [], [])
    changed = []
    for id_ in ids:
        changed.append((found[id_], stored.snapshot(found[id_])))
        _run(transaction, ports, found[id_], made.calls, draw)
    save_all(transaction, changed)
    return made


def _one_by_one(
    transaction: Transaction, ports: Ports, ids: list[str], draw: Callable[[], float]
) -> Step:
    """Take each order further in a savepoint of its own."""
    made = Step(len(ids), [], [])
    for id_ in ids:
        try:
            with transaction.savepoint():
                made.calls.extend(_together(transaction, ports, [id_], draw).calls)
        except Exception as error:
            if is_away(error):
                raise
            # A bug, told by the caller's log.
            number = _stop(transaction, id_, error)
            made.failures.append((id_, number, error))
    return made


def settle(
    transaction: Transaction, call: Call, outcome: Outcome, draw: Callable[[], float]
) -> bool:
    """Take the answer to a call; False when its task has moved on meanwhile."""
    order = stored.load(transaction.connection, [call.order_id]).get(call.order_id)
    if order is None:
        return False
    task = order.tasks[call.task]
    waiting = TaskState.UNDOING if call.undo else TaskState.RUNNING
    if task.state is not waiting or task.attempts != call.attempt:
        return False
    before = stored.snapshot(order)
    orders.settled(order, call.task, outcome, transaction.now, draw())
    save(transaction, order, before)
    return True


def ring(transaction: Transaction, after: int) -> int:
    """Hurry the orders whose subscribers have come on; give how far was looked.

    Without it they would be looked at too, seconds or minutes later: a bell, no more.
    """
    latest, users = service_records.new_sessions(transaction.connection, after)
    owners = (transaction.inventory.service_of_user(user) for user in users)
    services = sorted({one.name for one in owners if one is not None})
    stored.hurry(transaction.connection, services, transaction.now)
    return latest


def _run(
    transaction: Transaction,
    ports: Ports,
    order: Order,
    calls: list[Call],
    draw: Callable[[], float],
) -> None:
    now = transaction.now
    if order.state in (State.ACKNOWLEDGED, State.PENDING) and order.start_at <= now:
        orders.start(order, now)
    for _ in range(_STEPS):
        ready = runnable(order.tasks, now)
        if order.ended or not ready:
            break
        task = ready[0]
        if POLICIES[task.kind].remote:
            _ask(order, task, calls, now, draw)
        else:
            item = order.items[task.item]
            work = Work(transaction, ports, order, item, task)
            orders.settled(order, task.number, _tried(work), now, draw())
    else:
        msg = f"order {order.id} goes in circles"
        raise RuntimeError(msg)
    orders.advance(order, now)


class _TaskError(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _tried(work: Work) -> Outcome:
    try:
        return perform(work)
    except Exception as error:
        if is_away(error):
            raise
        raise _TaskError(work.task.number) from error


def _ask(
    order: Order,
    task: Task,
    calls: list[Call],
    now: int,
    draw: Callable[[], float],
) -> None:
    """Mark a task as asked and hand out the call; after so many it is a dead letter."""
    waited = task.state in (TaskState.RUNNING, TaskState.UNDOING)
    if waited and task.attempts >= ATTEMPTS:
        orders.settled(order, task.number, Trouble("no answer"), now, draw())
        return
    marked = asked(task, now)
    order.tasks[task.number] = marked
    undo = marked.state is TaskState.UNDOING
    calls.append(
        Call(
            order_id=order.id,
            task=task.number,
            attempt=marked.attempts,
            key=f"{order.id}/{task.number}/{'undo' if undo else 'do'}",
            kind=task.kind,
            undo=undo,
            tenant=str(task.about.get("isp", order.tenant)),
            party=_party(order, task),
            body=_body(order, task),
            answer_seconds=POLICIES[task.kind].answer_seconds,
        )
    )


def _party(order: Order, task: Task) -> str:
    if "bsp" in task.about:
        return str(task.about["bsp"])
    wanted = order.items[task.item].wanted
    assert wanted is not None
    line = task.about.get("line", wanted.line)
    return str(line or "") if task.kind in _OF_DEVICE else order.tenant


_OF_DEVICE: Final = frozenset({Kind.DEVICE, Kind.DEVICE_REMOVE})


def _body(order: Order, task: Task) -> dict[str, Any]:
    """Say what the party needs to know, and nothing of other parties'."""
    wanted = order.items[task.item].wanted
    assert wanted is not None
    about = {key: value for key, value in task.about.items() if key != "isp"}
    body: dict[str, Any] = {"service": wanted.service, **about}
    if task.kind in (Kind.DEVICE, Kind.IDENTITY):
        body |= {"userName": wanted.user_name, "offering": wanted.offering}
        body["customer"] = wanted.customer
    if task.kind is Kind.DEVICE:
        body["device"] = wanted.device
    if task.kind in _OF_DEVICE:
        body.setdefault("line", wanted.line)
    return {key: value for key, value in body.items() if value is not None}


def _stop(transaction: Transaction, order_id: str, error: Exception) -> int:
    """Make the task that failed by a bug a dead letter, so that the rest goes on."""
    order = stored.load(transaction.connection, [order_id])[order_id]
    before = stored.snapshot(order)
    cause = error.__cause__ or error
    reason = f"internal error: {type(cause).__name__}"
    number = error.number if isinstance(error, _TaskError) else -1
    task = order.tasks.get(number)
    if task is None or task.state in DEAD:
        order.due_at = transaction.now + 60
    else:
        dead = (
            TaskState.DEAD
            if task.state in (TaskState.PENDING, TaskState.RUNNING)
            else TaskState.UNDO_DEAD
        )
        if order.state in (State.ACKNOWLEDGED, State.PENDING):
            orders.start(order, transaction.now)
        orders.stopped(order, number, dead, reason, transaction.now)
    save(transaction, order, before)
    return number
