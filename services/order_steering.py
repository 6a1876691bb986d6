"""What a person does with an order that was placed: cancel it, change it, release a
draft, send dead letters on their way again, or see to one by hand.

All of it is of the actor's own orders, and what the Network Provider's staff do is in
the change log of whose the order is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from provisioning import order as orders
from provisioning.order import Order
from provisioning.order_body import OrderChange
from provisioning.order_states import State
from provisioning.refusal import Refusal
from services.actor import Actor
from services.orders import find, save
from services.provisioning import ObjectChange, Transaction, log_changes
from storage import order_queries
from storage import orders as stored

_REASON: Final = 500


def cancel(
    transaction: Transaction,
    actor: Actor,
    order_id: str,
    *,
    reason: str,
    new_id: Callable[[], str],
) -> dict[str, Any] | None:
    """Make TMF641's cancel task; None when there is no such order of the actor's.

    It is ``done`` when nothing was to undo, ``inProgress`` while it is undone, and
    ``terminatedWithError`` past the point of no return.
    """
    order = find(transaction, actor, order_id)
    if order is None:
        return None
    before = stored.snapshot(order)
    refused = orders.cancel(order, transaction.now)
    ended = "done" if order.ended else "inProgress"
    row = {
        "id": new_id(),
        "order_id": order.id,
        "at": transaction.now,
        "actor": actor.name,
        "reason": reason[:500],
        "state": "terminatedWithError" if refused else ended,
        "message": refused,
        "tenant": order.tenant,
    }
    order_queries.add_cancel(transaction.connection, row)
    save(transaction, order, before)
    return row


def change(
    transaction: Transaction, actor: Actor, order_id: str, wanted: OrderChange
) -> Order | list[Refusal] | None:
    """Change an order that was placed; None when there is none of the actor's."""
    order = find(transaction, actor, order_id)
    if order is None:
        return None
    before = stored.snapshot(order)
    refusals = orders.change(order, wanted, transaction.now)
    if refusals:
        return refusals
    _log(transaction, actor, order, {"changed": msgspec.to_builtins(wanted)}, "change")
    save(transaction, order, before)
    return order


def _log(
    transaction: Transaction, actor: Actor, order: Order, after: Any, reason: str
) -> None:
    """Write into the change log what somebody did to an order of a tenant's."""
    made = [ObjectChange("order", order.id, None, after)]
    connection, now = transaction.connection, transaction.now
    log_changes(connection, actor, made, now, reason, order.tenant)


def retry(transaction: Transaction, actor: Actor, order_id: str) -> int | None:
    """Send an order's dead letters on their way again; how many there were."""
    order = find(transaction, actor, order_id)
    if order is None:
        return None
    before = stored.snapshot(order)
    count = orders.retry(order, transaction.now)
    if count:
        _log(transaction, actor, order, {"retried": count}, "retry")
    save(transaction, order, before)
    return count


def force(
    transaction: Transaction, actor: Actor, order_id: str, number: int, reason: str
) -> Order | Refusal | None:
    """Take a dead letter for done, as somebody saw to it by hand; None when there is no
    such order of the actor's. Only what is asked of others can be."""
    order = find(transaction, actor, order_id)
    if order is None:
        return None
    if not 0 < len(reason.strip()) <= _REASON:
        return Refusal("reason_missing", "/reason", f"say why, in {_REASON} characters")
    before = stored.snapshot(order)
    refused = orders.force(order, number, f"by {actor.name}: {reason}", transaction.now)
    if refused:
        return Refusal("not_forcible", "", refused)
    _log(transaction, actor, order, {"forced": number}, reason)
    save(transaction, order, before)
    return order


def release(transaction: Transaction, actor: Actor, order_id: str) -> Order | None:
    """Let a held order begin; None when there is none of the actor's."""
    order = find(transaction, actor, order_id)
    if order is None or order.state is not State.HELD:
        return None
    before = stored.snapshot(order)
    for item in order.items.values():
        item.state = State.PENDING
    orders.advance(order, transaction.now)
    save(transaction, order, before)
    return order
