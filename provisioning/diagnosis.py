"""Why a connection does not work, for the program on its subscriber's side.

Every check is asked in the order in which things have to be right, from the line to the
first packet, and names whose it is to put right: the subscriber's, the ISP's or the
network's. The first that fails says what the program does next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from provisioning.order_states import State
from provisioning.task_graph import DEAD, Kind, Task, TaskState


class Party(StrEnum):
    """Whose it is to put right."""

    SUBSCRIBER = "subscriber"
    ISP = "isp"
    NETWORK = "network"


class Next(StrEnum):
    """What the program does now."""

    DONE = "done"
    WAIT = "wait"
    RENEW = "renew"
    """Renew the lease, or log in again: the service is there for who asks now."""
    CALL = "call"
    """Tell the subscriber whom to call."""


class Facts(NamedTuple):
    """What is known of an order's line, service and connection.

    ``line_state`` and ``service_state`` are None where there is none yet;
    ``restricted`` tells that an allowance is used up. ``connected`` tells of a live
    session or lease, ``in_garden`` that it has an address of the walled garden,
    ``proven`` that it is one of the service.
    """

    order: State
    tasks: Sequence[Task]
    line_state: str | None
    service_state: str | None
    restricted: bool
    connected: bool
    in_garden: bool
    proven: bool


class Finding(NamedTuple):
    """One check: whether it is well, else a stable code, words, and whose it is."""

    check: str
    ok: bool
    code: str = ""
    text: str = ""
    party: Party | None = None
    next: Next = Next.WAIT


_PARTY: Final[dict[Kind, Party]] = {
    Kind.IDENTITY: Party.ISP,
    Kind.BSP: Party.ISP,
    Kind.BSP_REMOVE: Party.ISP,
    Kind.RATING_OPEN: Party.ISP,
}
"""Whose a task that failed is; all others are the network's."""

_GIVEN_UP: Final = frozenset({State.FAILED, State.CANCELLED, State.REJECTED})


def _line(facts: Facts) -> Finding:
    if facts.line_state == "in_service":
        return Finding("line", True)
    if facts.line_state is None:
        text = "the line is not built yet"
        return Finding("line", False, "line_planned", text, Party.NETWORK)
    code, text = f"line_{facts.line_state}", f"the line is {facts.line_state}"
    planned = facts.line_state == "planned"
    step = Next.WAIT if planned else Next.CALL
    return Finding("line", False, code, text, Party.NETWORK, step)


def _order(facts: Facts) -> Finding:
    if facts.order in _GIVEN_UP:
        text = f"the order is {facts.order.value}"
        return Finding("order", False, "order_ended", text, Party.ISP, Next.CALL)
    for task in facts.tasks:
        if task.state in DEAD:
            party = _PARTY.get(task.kind, Party.NETWORK)
            text = "somebody has to look at it, and was told"
            return Finding("order", False, f"{task.kind}_failed", text, party)
    if facts.order is State.HELD:
        text = "the order is a draft that nobody has released"
        return Finding("order", False, "order_held", text, Party.ISP)
    return Finding("order", True)


def _service(facts: Facts) -> Finding:
    if facts.service_state is None:
        text = "the service is being made"
        return Finding("service", False, "service_pending", text, Party.NETWORK)
    if facts.service_state != "active":
        text = "your ISP has suspended the service"
        return Finding("service", False, "suspended", text, Party.ISP, Next.CALL)
    if facts.restricted:
        text = "an allowance is used up"
        return Finding("service", False, "quota", text, Party.ISP, Next.CALL)
    return Finding("service", True)


def _connection(facts: Facts) -> Finding:
    if facts.proven:
        return Finding("connection", True)
    if facts.in_garden:
        text = "the address is still that of the walled garden: ask for a new one"
        who = Party.SUBSCRIBER
        return Finding("connection", False, "walled_garden", text, who, Next.RENEW)
    if facts.connected:
        text = "the address is none of your ISP's: ask for a new one"
        who = Party.SUBSCRIBER
        return Finding("connection", False, "foreign_address", text, who, Next.RENEW)
    text = "nothing of it was seen: check power and cable, and the name and password"
    who = Party.SUBSCRIBER
    return Finding("connection", False, "nothing_seen", text, who, Next.RENEW)


CHECKS: Final[tuple[Callable[[Facts], Finding], ...]] = (
    _line,
    _order,
    _service,
    _connection,
)


def diagnose(facts: Facts) -> tuple[Next, list[Finding]]:
    """Say what to do next, and how each check ended, up to the first that failed."""
    found: list[Finding] = []
    for check in CHECKS:
        found.append(check(facts))
        if not found[-1].ok:
            return found[-1].next, found
    waits = any(task.state is not TaskState.DONE for task in facts.tasks)
    return (Next.WAIT if waits else Next.DONE), found
