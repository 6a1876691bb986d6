"""The configuration that a device has, held against what is ordered.

What a device reported itself goes before what it acknowledged, unless it has been told
something since; an undo that it acknowledged leaves what it had before. A command
without its answer says nothing either way, so it is told instead of what would follow
from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple

from provisioning.order_states import Action
from provisioning.reconciliation import Drift
from provisioning.task_graph import DEAD, TaskState


class Configuration(NamedTuple):
    """What a device has, or was told: None is what nobody said."""

    service: str | None = None
    line: str | None = None
    offering: str | None = None
    user_name: str | None = None
    device: str | None = None


NOTHING: Final = Configuration()
"""A device that is configured for nobody."""


class DeviceCommand(NamedTuple):
    """One command to the device of a service's line: a task, and what it told.

    ``removes`` tells of one that takes the configuration away. ``at`` is when its order
    ended, or was placed while it has not (``ended``); ``deadline_at`` is when its
    answer is overdue, in epoch seconds.
    """

    action: Action
    state: TaskState
    attempts: int
    deadline_at: int
    ended: bool
    at: int
    removes: bool
    told: Configuration


class Reported(NamedTuple):
    """What the device of a line said of itself, and when."""

    at: int
    has: Configuration


class Ordered(NamedTuple):
    """What a service asks of its device now.

    ``devices`` are the names and MAC addresses of those that the inventory has on its
    line; none where it knows of none.
    """

    service: str
    line: str
    offering: str
    user_names: Collection[str]
    configured: bool
    devices: Collection[str]


_ASKED_AGAIN: Final = frozenset({TaskState.PENDING, TaskState.UNDO})
_AWAITED: Final = frozenset({TaskState.RUNNING, TaskState.UNDOING})


def device_drift(
    commands: Iterable[DeviceCommand],
    reported: Reported | None,
    ordered: Ordered | None,
    now: int,
    *,
    gone: bool = False,
) -> Drift | None:
    """Compare a service's commands, the oldest first, and its device's own report with
    what it orders.

    ``ordered`` is None for a service that is not there, or that no order made; ``gone``
    is that an order took it away.
    """
    has, since, ended = NOTHING, 0, True
    for command in commands:
        if _is_unacknowledged(command, now):
            return Drift.DEVICE_UNACKNOWLEDGED
        if command.state is TaskState.DONE:
            has = _over(has, command)
            since, ended = command.at, command.ended
    said = reported is not None and reported.at >= since
    if reported is not None and said:
        has, ended = reported.has, True
    if ordered is None:
        # Another service's command may have gone over what this one's left.
        return Drift.DEVICE_LEFT if gone and said and has != NOTHING else None
    if has == NOTHING:
        return Drift.DEVICE_MISSING if ordered.configured and ended else None
    # The device goes first: until its order ends it may be ahead of the service.
    return Drift.DEVICE_OTHER if ended and _differs(has, ordered) else None


def _is_unacknowledged(command: DeviceCommand, now: int) -> bool:
    """Tell whether an answer is overdue; the first may still be on its way."""
    if command.state in _AWAITED:
        return command.attempts > 1 or command.deadline_at <= now
    tried = command.state in _ASKED_AGAIN and command.attempts > 0
    return tried or command.state in DEAD


def _over(has: Configuration, command: DeviceCommand) -> Configuration:
    """Give what a device has after a command that tells what changes, and no more."""
    if command.removes:
        return NOTHING
    if command.action is Action.ADD:
        return command.told
    pairs = zip(command.told, has, strict=True)
    return Configuration(*(new if new is not None else old for new, old in pairs))


def _differs(has: Configuration, ordered: Ordered) -> bool:
    return any(
        told is not None and told not in asked
        for told, asked in (
            (has.service, (ordered.service,)),
            (has.line, (ordered.line,)),
            (has.offering, (ordered.offering,)),
            (has.user_name, ordered.user_names),
            (has.device, ordered.devices or (has.device,)),
        )
    )
