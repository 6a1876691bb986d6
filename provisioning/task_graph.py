"""The graph of an order's tasks: what may run, and what an outcome makes of it.

Each task can be done and undone, and doing either twice changes nothing, so whoever
finds a task half done does it again. A refusal fails the item: what was done for it is
undone, last first. Trouble is tried again, later and later; after so many times the
task is a dead letter, which a person sees with its reason and sends on its way again,
or cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple, assert_never

import msgspec
from msgspec import Struct

from provisioning.outcomes import Done, Later, Outcome, Refused, Trouble


class TaskState(StrEnum):
    """Where a task is. ``running`` and ``undoing`` are only remote ones, whose answer
    is awaited; when it does not come in time they are asked again."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    REFUSED = "refused"
    SKIPPED = "skipped"
    UNDO = "undo"
    UNDOING = "undoing"
    UNDONE = "undone"
    UNDO_DEAD = "undo-dead"


class Kind(StrEnum):
    """What a task is about."""

    LINE = "line"
    IDENTITY = "identity"
    DEVICE = "device"
    DEVICE_REMOVE = "device-remove"
    BSP = "bsp"
    BSP_REMOVE = "bsp-remove"
    RATING_OPEN = "rating-open"
    RATING_CLOSE = "rating-close"
    SERVICE = "service"
    REMOVE = "remove"
    COA = "coa"
    PROOF = "proof"
    TAKEOVER = "takeover"


class Policy(NamedTuple):
    """How patient a kind is, in seconds, and whether there is a way back.

    ``answer_seconds`` is how long a remote party has to answer once; ``wait_seconds``
    how long it may say "later" in all, 0 where that cannot be; ``alert_seconds`` after
    how much of that somebody is told.
    """

    remote: bool = False
    answer_seconds: int = 0
    wait_seconds: int = 0
    alert_seconds: int = 0
    no_return: bool = False


_DAY: Final = 86_400

POLICIES: Final[dict[Kind, Policy]] = {
    Kind.LINE: Policy(wait_seconds=90 * _DAY, alert_seconds=30 * _DAY),
    Kind.IDENTITY: Policy(remote=True, answer_seconds=30),
    Kind.DEVICE: Policy(remote=True, answer_seconds=60),
    Kind.DEVICE_REMOVE: Policy(remote=True, answer_seconds=60),
    Kind.BSP: Policy(remote=True, answer_seconds=30),
    Kind.BSP_REMOVE: Policy(remote=True, answer_seconds=30),
    Kind.RATING_OPEN: Policy(),
    Kind.RATING_CLOSE: Policy(no_return=True),
    Kind.SERVICE: Policy(),
    Kind.REMOVE: Policy(no_return=True),
    Kind.COA: Policy(),
    Kind.PROOF: Policy(wait_seconds=14 * _DAY, alert_seconds=_DAY),
    Kind.TAKEOVER: Policy(no_return=True),
}
"""A line is built within a quarter; a subscriber connects within two weeks."""

ATTEMPTS: Final = 8
_FIRST_SECONDS: Final = 2
_LONGEST_SECONDS: Final = 900
"""2, 4, 8 ... seconds: eight attempts span four minutes, as long as a restart of
whoever was asked takes; more is a person's to decide."""


class Task(Struct, frozen=True, kw_only=True):
    """One task; ``after`` has the numbers that must be done before.

    ``about`` is what it needs beyond its item: a component's BSP and product.
    ``before`` is what undo needs. Times are epoch seconds; ``deadline_at`` is when the
    answer, or the waiting, is over: 0 for none.
    """

    number: int
    item: int
    kind: Kind
    state: TaskState = TaskState.PENDING
    after: tuple[int, ...] = ()
    attempts: int = 0
    due_at: int = 0
    deadline_at: int = 0
    before: Mapping[str, Any] | None = None
    reason: str = ""
    about: Mapping[str, Any] = {}


Tasks = Mapping[int, Task]

_FORWARD: Final = frozenset({TaskState.PENDING, TaskState.RUNNING})
_BACKWARD: Final = frozenset({TaskState.UNDO, TaskState.UNDOING})
_GONE: Final = frozenset({TaskState.UNDONE, TaskState.SKIPPED, TaskState.REFUSED})
DEAD: Final = frozenset({TaskState.DEAD, TaskState.UNDO_DEAD})


def runnable(tasks: Tasks, now: int) -> list[Task]:
    """List the tasks that may run now, in order of number; undone ones from the end."""
    found = [t for t in tasks.values() if due_at(tasks, t) is not None]
    ready = [t for t in found if (due_at(tasks, t) or 0) <= now]
    return sorted(ready, key=lambda t: -t.number if t.state in _BACKWARD else t.number)


def due_at(tasks: Tasks, task: Task) -> int | None:
    """Say when a task is to be looked at; None when others come first, or nothing."""
    match task.state:
        case TaskState.PENDING:
            free = all(tasks[n].state is TaskState.DONE for n in task.after)
            return task.due_at if free else None
        case TaskState.UNDO:
            later = (t for t in tasks.values() if task.number in t.after)
            return task.due_at if all(t.state in _GONE for t in later) else None
        case TaskState.RUNNING | TaskState.UNDOING:
            return task.deadline_at
        case _:
            return None


def next_due(tasks: Tasks) -> int | None:
    """Say when anything is to be looked at; None when nothing is."""
    times = [due_at(tasks, task) for task in tasks.values()]
    return min((at for at in times if at is not None), default=None)


def asked(task: Task, now: int) -> Task:
    """Mark a remote task as asked; without an answer it is asked again."""
    forward = task.state in _FORWARD
    return _changed(
        task,
        state=TaskState.RUNNING if forward else TaskState.UNDOING,
        deadline_at=now + POLICIES[task.kind].answer_seconds,
        attempts=task.attempts + 1,
    )


def settle(
    task: Task, outcome: Outcome, now: int, jitter: float, *, way_back: bool = True
) -> Task:
    """Give the task after an outcome; ``jitter`` is 0 to 1, drawn for each retry.

    Without a way back, for the item is past its point of no return, a refusal is a
    dead letter: it cannot be answered by undoing.
    """
    forward = task.state in _FORWARD
    match outcome:
        case Done(before):
            if not forward:
                return _changed(task, state=TaskState.UNDONE, deadline_at=0, reason="")
            return _changed(
                task, state=TaskState.DONE, deadline_at=0, reason="", before=before
            )
        case Later(at, reason):
            return _wait(task, at, reason, now)
        case Refused(code, reason):
            # Who refuses to undo leaves something behind: that is a person's.
            dead = TaskState.DEAD if forward else TaskState.UNDO_DEAD
            state = TaskState.REFUSED if forward and way_back else dead
            return _changed(task, state=state, reason=f"{code}: {reason}")
        case Trouble(reason):
            return _again(task, reason, now, jitter)
        case _:
            assert_never(outcome)


def _wait(task: Task, at: int, reason: str, now: int) -> Task:
    wait = POLICIES[task.kind].wait_seconds
    until = task.deadline_at or now + wait
    if now >= until:
        return _changed(task, state=TaskState.REFUSED, reason=f"timeout: {reason}")
    return _changed(
        task,
        state=TaskState.PENDING,
        due_at=min(at, until),
        deadline_at=until,
        attempts=task.attempts + 1,
        reason=reason,
    )


def _again(task: Task, reason: str, now: int, jitter: float) -> Task:
    forward = task.state in _FORWARD
    waited = task.state in (TaskState.RUNNING, TaskState.UNDOING)
    attempts = task.attempts if waited else task.attempts + 1
    if attempts >= ATTEMPTS:
        state = TaskState.DEAD if forward else TaskState.UNDO_DEAD
        return _changed(task, state=state, attempts=attempts, reason=reason)
    pause = min(_FIRST_SECONDS << (attempts - 1), _LONGEST_SECONDS)
    return _changed(
        task,
        state=TaskState.PENDING if forward else TaskState.UNDO,
        attempts=attempts,
        due_at=now + 1 + int(pause * (0.5 + jitter / 2)),
        deadline_at=0,
        reason=reason,
    )


_COMPENSATED: Final[dict[TaskState, TaskState]] = {
    TaskState.PENDING: TaskState.SKIPPED,
    TaskState.RUNNING: TaskState.UNDO,
    TaskState.DEAD: TaskState.UNDO,
    TaskState.DONE: TaskState.UNDO,
    TaskState.REFUSED: TaskState.REFUSED,
    TaskState.SKIPPED: TaskState.SKIPPED,
    TaskState.UNDO: TaskState.UNDO,
    TaskState.UNDOING: TaskState.UNDOING,
    TaskState.UNDONE: TaskState.UNDONE,
    TaskState.UNDO_DEAD: TaskState.UNDO_DEAD,
}
"""What becomes of each task of an item that is given up: what may have happened is
undone, and what has not begun never does."""


def compensate(tasks: Sequence[Task], now: int) -> list[Task]:
    """Turn an item's tasks round."""
    return [
        task
        if _COMPENSATED[task.state] is task.state
        else _changed(
            task,
            state=_COMPENSATED[task.state],
            attempts=0,
            due_at=now,
            deadline_at=0,
        )
        for task in tasks
    ]


def dead_letter(task: Task, state: TaskState, reason: str) -> Task:
    """Make a task a dead letter without more attempts."""
    assert state in DEAD
    return _changed(task, state=state, deadline_at=0, reason=reason)


def retried(task: Task, now: int) -> Task:
    """Send a dead letter on its way again, with all its attempts."""
    back = TaskState.PENDING if task.state is TaskState.DEAD else TaskState.UNDO
    return _changed(task, state=back, attempts=0, due_at=now, deadline_at=0)


def forced(task: Task, reason: str) -> Task:
    """Take a dead letter for what it was to become."""
    done = TaskState.DONE if task.state is TaskState.DEAD else TaskState.UNDONE
    return _changed(task, state=done, reason=f"forced {reason}")


def put_off(task: Task, due_at: int) -> Task:
    """Have a task that has not begun be looked at from another time on."""
    return _changed(task, due_at=due_at) if task.state is TaskState.PENDING else task


def is_late(task: Task, now: int) -> bool:
    """Tell whether a task has waited so long that somebody should know."""
    policy = POLICIES[task.kind]
    waited = policy.wait_seconds - (task.deadline_at - now)
    waiting = task.state is TaskState.PENDING and task.deadline_at > 0
    return waiting and policy.alert_seconds > 0 and waited >= policy.alert_seconds


def is_done(tasks: Sequence[Task]) -> bool:
    """Tell whether an item's tasks are all done."""
    return all(task.state is TaskState.DONE for task in tasks)


def is_undone(tasks: Sequence[Task]) -> bool:
    """Tell whether nothing of an item that was given up is left to undo."""
    return all(task.state in _GONE for task in tasks)


def past_return(tasks: Sequence[Task]) -> bool:
    """Tell whether an item has passed its point of no return."""
    return any(
        POLICIES[task.kind].no_return
        and task.state in (TaskState.RUNNING, TaskState.DONE)
        for task in tasks
    )


def _changed(task: Task, **values: Any) -> Task:
    changed: Task = msgspec.structs.replace(task, **values)
    return changed
