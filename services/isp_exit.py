"""The exit of an ISP: its subscribers moved to another one, some at a time.

Each move is an ordinary change of ISP, make before break, with an order of its own that
can be seen, cancelled and retried. Never more than so many are open at once, so a
mistake is noticed while it is small; called again and again it goes on where it was,
because each order's id says which service it moves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from config.offers import Offering, Service
from provisioning.inventory import Inventory
from provisioning.refusal import Refusal
from services import orders
from services.actor import NETWORK, Actor
from services.order_assessment import Keys
from services.orders import Placed
from services.provisioning import Transaction
from storage.order_queries import Filter

_MINUTE: Final = 60


class Move(NamedTuple):
    """Who leaves, who takes over, with which offering, and how many at a time.

    ``offerings`` says by the leaver's offering what its subscribers get, ``user_names``
    by the leaver's service which new user name, for those that log in. ``per_minute``
    is how many are placed in any minute at the most, however often it is called.
    """

    leaver: str
    taker: str
    offerings: dict[str, str]
    at_once: int
    user_names: Mapping[str, str]
    per_minute: int = 10_000


class Progress(NamedTuple):
    """How far it is: services left, orders open, placed now, refused now."""

    left: int
    open: int
    placed: list[str]
    refused: list[tuple[str, Refusal]]


def go_on(
    transaction: Transaction,
    actor: Actor,
    move: Move,
    *,
    keys: Keys,
    new_id: Callable[[], str],
) -> Progress | list[Refusal]:
    """Place the next orders of a move; the actor is the Network Provider's."""
    refusals = _refusals(transaction.inventory, actor, move)
    if refusals:
        return refusals
    inventory = transaction.inventory
    left = inventory.services_of(move.leaver)
    on_behalf = actor._replace(on_behalf=move.taker)
    mine = Filter(tenant=move.taker, limit=10_000)
    moves = [
        order
        for order in orders.listed(transaction, actor._replace(on_behalf=None), mine)
        if order.external_id.startswith(_prefix(move))
    ]
    under_way = [order for order in moves if not order.ended]
    begun = transaction.now - _MINUTE
    pace = move.per_minute - sum(order.ordered_at > begun for order in moves)
    progress = Progress(len(left), len(under_way), [], [])
    moving = {order.external_id for order in under_way}
    for service in left:
        room = min(move.at_once - progress.open, pace) - len(progress.placed)
        if room <= 0:
            break
        offering = inventory.offering[move.offerings[service.offering]]
        body = _body(move, service, offering)
        if body["externalId"] in moving:
            continue
        placed = orders.place(transaction, on_behalf, body, keys=keys, new_id=new_id)
        if not isinstance(placed, Placed):
            progress.refused.append((service.name, placed[0]))
        elif placed.refusals:
            progress.refused.append((service.name, placed.refusals[0]))
        elif placed.is_new:
            progress.placed.append(placed.order.id)
        else:
            reason = f"order {placed.order.id} is {placed.order.state}"
            progress.refused.append((service.name, Refusal("move_ended", "", reason)))
    return progress


def _refusals(inventory: Inventory, actor: Actor, move: Move) -> list[Refusal]:
    if actor.tenant != NETWORK:
        return [Refusal("not_allowed", "", "only the Network Provider moves an ISP")]
    found = [
        Refusal("unknown_isp", f"/{key}", f"there is no ISP called {name!r}")
        for key, name in (("leaver", move.leaver), ("taker", move.taker))
        if name not in inventory.isp
    ]
    if move.at_once < 1:
        found.append(Refusal("invalid_value", "/at_once", "at least one"))
    for offering in sorted({s.offering for s in inventory.services_of(move.leaver)}):
        taken = inventory.offering.get(move.offerings.get(offering, ""))
        if taken is None or taken.isp != move.taker:
            reason = f"say which of {move.taker!r}'s offerings stands for it"
            found.append(Refusal("unknown_offering", f"/offerings/{offering}", reason))
    return found


def _prefix(move: Move) -> str:
    return f"exit-{move.leaver}-"


def _body(move: Move, service: Service, offering: Offering) -> dict[str, object]:
    """Make the order of one move."""
    known = {
        "customer": service.customer,
        "userName": move.user_names.get(service.name),
    }
    said = [{"name": name, "value": value} for name, value in known.items() if value]
    return {
        "externalId": f"{_prefix(move)}{service.name}"[:100],
        "description": f"exit of {move.leaver}",
        "serviceOrderItem": [
            {
                "id": "1",
                "action": "add",
                "service": {
                    "serviceSpecification": {"name": offering.name},
                    "place": [{"role": "line", "name": service.line}],
                    "serviceCharacteristic": said,
                },
            }
        ],
    }
