"""Activation by client software: its order found again, and why it is not online yet.

What the program sees from its side it may report; that is an alert of the order then,
with our own view beside it, so the party whose fault it is hears of it without a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from config import restrictions
from provisioning.diagnosis import Facts, Finding, Next, diagnose
from provisioning.order import Order, alert
from provisioning.proof import Sign, is_walled, proves
from provisioning.resume_token import order_of
from services.orders import save
from services.provisioning import Transaction
from services.service_signs import live_signs
from storage import orders as stored
from storage.network import has_object

REPORT_SECONDS: Final = 60
"""Reports of an order that are told, one in so many seconds: a program in a loop is not
to flood its ISP."""


class Activation(NamedTuple):
    """How far an order of client software is, and what its program does next."""

    order: Order
    next: Next
    checks: list[Finding]


class Observation(NamedTuple):
    """One check that the program made itself."""

    name: str
    ok: bool
    detail: str


def activation(transaction: Transaction, token: str, key: bytes) -> Activation | None:
    """Find the order of a resume token, and diagnose it; None for no such token."""
    order_id = order_of(token, key)
    found = stored.load(transaction.connection, [order_id] if order_id else [])
    order = found.get(order_id or "")
    if order is None:
        return None
    return Activation(order, *diagnose(_facts(transaction, order)))


def report(
    transaction: Transaction, found: Activation, seen: Sequence[Observation]
) -> None:
    """Tell what failed on the program's side, with what fails on ours."""
    wrong = next((one for one in found.checks if not one.ok), None)
    theirs = ", ".join(f"{o.name}: {o.detail}" for o in seen if not o.ok)
    ours = f"{wrong.code} ({wrong.party}'s)" if wrong else "nothing is wrong here"
    order, now = found.order, transaction.now
    last = max((one["at"] for one in order.alerts if one["name"] == _NAME), default=0)
    if order.ended or not theirs or now - last < REPORT_SECONDS:
        return
    before = stored.snapshot(order)
    alert(order, _NAME, f"{theirs}; {ours}", now)
    save(transaction, order, before)


_NAME: Final = "reported by client software"


def _facts(transaction: Transaction, order: Order) -> Facts:
    inventory = transaction.inventory
    wanted = next((item.wanted for item in order.items.values() if item.wanted), None)
    line = inventory.line.get((wanted.line if wanted else None) or "")
    service = inventory.service.get(wanted.service if wanted else "")
    signs: list[Sign] = []
    if service is not None:
        signs = live_signs(transaction, service)
    return Facts(
        order=order.state,
        tasks=list(order.tasks.values()),
        line_state=line.state if line else None,
        service_state=service.state if service else None,
        restricted=service is not None
        and has_object(transaction.connection, restrictions.KIND, service.name),
        connected=bool(signs),
        in_garden=line is not None and is_walled(inventory, line.area, signs),
        proven=service is not None and proves(service, inventory, signs, 0),
    )
