"""The configuration that a device acknowledged last, held against what is ordered.

Nobody reads a device back: what it acknowledged is what it is taken to have, and an
undo that it acknowledged leaves what it had before. A command without its answer says
nothing either way, so it is told instead of what would follow from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from provisioning.order_states import Action
from provisioning.reconciliation import Drift
from provisioning.task_graph import DEAD, TaskState


class DeviceCommand(NamedTuple):
    """One command to the device of a service's line: a task, and what it told.

    What was not told is None. ``deadline_at`` is when its answer is overdue, in epoch
    seconds; ``ended`` tells whether its order has.
    """

    action: Action
    state: TaskState
    attempts: int
    deadline_at: int
    ended: bool
    line: str | None = None
    offering: str | None = None
    user_name: str | None = None
    device: str | None = None


class Ordered(NamedTuple):
    """What a service asks of its device now.

    ``devices`` are the names and MAC addresses of those that the inventory has on its
    line; none where it knows of none.
    """

    line: str
    offering: str
    user_names: Collection[str]
    configured: bool
    devices: Collection[str]


_ASKED_AGAIN: Final = frozenset({TaskState.PENDING, TaskState.UNDO})
_AWAITED: Final = frozenset({TaskState.RUNNING, TaskState.UNDOING})


def device_drift(
    commands: Iterable[DeviceCommand], ordered: Ordered | None, now: int
) -> Drift | None:
    """Compare a service's commands, the oldest first, with what it orders.

    ``ordered`` is None for a service that is not there, or that no order made.
    """
    last: DeviceCommand | None = None
    for command in commands:
        if _is_unacknowledged(command, now):
            return Drift.DEVICE_UNACKNOWLEDGED
        if command.state is TaskState.DONE:
            last = _over(last, command)
    if ordered is None:
        return None
    if last is None:
        return Drift.DEVICE_MISSING if ordered.configured else None
    # The device goes first: until its order ends it may be ahead of the service.
    return Drift.DEVICE_OTHER if last.ended and _differs(last, ordered) else None


def _is_unacknowledged(command: DeviceCommand, now: int) -> bool:
    """Tell whether an answer is overdue; the first may still be on its way."""
    if command.state in _AWAITED:
        return command.attempts > 1 or command.deadline_at <= now
    tried = command.state in _ASKED_AGAIN and command.attempts > 0
    return tried or command.state in DEAD


def _over(last: DeviceCommand | None, new: DeviceCommand) -> DeviceCommand:
    """Give what a device has after a command that tells what changes, and no more."""
    if last is None or new.action is Action.ADD:
        return new
    return new._replace(
        line=new.line or last.line,
        offering=new.offering or last.offering,
        user_name=new.user_name or last.user_name,
        device=new.device or last.device,
    )


def _differs(last: DeviceCommand, ordered: Ordered) -> bool:
    return any(
        told is not None and told not in asked
        for told, asked in (
            (last.line, (ordered.line,)),
            (last.offering, (ordered.offering,)),
            (last.user_name, ordered.user_names),
            (last.device, ordered.devices or (last.device,)),
        )
    )
