"""From an order that was read to one that is accepted, with its tasks, or refused.

What the rules ask of the database is looked up for all items at once; what an accepted
order needs is held, and what others were promised for its places is over.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from provisioning.decomposition import decompose
from provisioning.line_token import line_of
from provisioning.order import Item, Order
from provisioning.order_body import ItemBody, OrderBody
from provisioning.order_rules import Known, Wanted, assess, claims, name_start
from provisioning.order_states import Assessment, State
from provisioning.refusal import Refusal
from services.order_capacity import Claim, claim
from services.provisioning import Transaction
from services.qualification_life import invalidate
from storage import orders as stored
from storage.holds import Hold
from storage.orders import OpenClaims
from storage.qualifications import OpenAnswers
from storage.service_records import ServiceRecords
from storage.sites import sites_named


class Keys(NamedTuple):
    """What secrets are kept with: ``seal`` enciphers a password for an ISP's service
    (isp, service, password), the others are keys of 32 octets."""

    seal: Callable[[str, str, str], str]
    digest_key: bytes
    token_key: bytes


def accept_or_reject(
    transaction: Transaction,
    order: Order,
    read: OrderBody,
    keys: Keys,
    unwritten: Mapping[str, int],
) -> list[Hold]:
    """Give an order its items and tasks, or the reasons why it is refused.

    Gives what it holds; ``unwritten`` is what others of its transaction do.
    """
    known = _known(transaction, read, keys)
    assessed = assess(read, order.tenant, transaction.inventory, known)
    wanted = {n: one for n, one in assessed.items() if isinstance(one, Wanted)}
    claimed = claim(transaction, order.id, wanted, unwritten)
    errors = {n: one for n, one in assessed.items() if not isinstance(one, Wanted)}
    for number, refusals in claimed.refusals.items():
        pointer = read.items[number].pointer
        errors[number] = [
            one._replace(pointer=pointer + one.pointer) for one in refusals
        ]
    for body in read.items:
        order.items[body.number] = _item(body, wanted.get(body.number))
    if errors:
        _reject(order, assessed.keys(), errors)
        return []
    _accept(transaction, order, wanted, claimed)
    return claimed.holds


def _item(body: ItemBody, wanted: Wanted | None) -> Item:
    return Item(
        number=body.number,
        id=body.id,
        action=body.action,
        state=State.ACKNOWLEDGED,
        wanted=wanted,
        relies_on=body.relies_on,
    )


def _reject(order: Order, assessed: Any, errors: Mapping[int, list[Refusal]]) -> None:
    """Refuse the whole order, and say of each item what is known of it."""
    for item in order.items.values():
        item.state = State.REJECTED
        told = [
            {**one._asdict(), "item": item.number, "at": order.ordered_at}
            for one in errors.get(item.number, [])
        ]
        item.errors += told
        order.errors += told
        if not told:
            seen = item.number in assessed
            item.assessment = Assessment.VALIDATED if seen else Assessment.UNASSESSED
    order.state = State.REJECTED
    order.completed_at = order.ordered_at


def _accept(
    transaction: Transaction, order: Order, wanted: dict[int, Wanted], claimed: Claim
) -> None:
    inventory = transaction.inventory
    relies_on = {number: order.items[number].relies_on for number in wanted}
    tasks = decompose(wanted, relies_on, inventory, order.start_at)
    order.tasks = {task.number: task for task in tasks}
    order.milestones += [{**one, "at": order.ordered_at} for one in claimed.notes]
    places = [f"{k}:{n}" for w in wanted.values() for k, n in claims(w) if k in _PLACES]
    if any(one.action == "add" or one.offering for one in wanted.values()):
        ordered = {one.qualification for one in wanted.values()}
        invalidate(transaction, places, ordered)


_PLACES: Final = frozenset({"line", "site"})


def look_ahead(
    transaction: Transaction, isp: str, reads: Iterable[OrderBody], keys: Keys
) -> None:
    """Read together what these orders of an ISP will ask one by one."""
    items = [item for read in reads for item in read.items]
    asked = _asked(transaction, items, keys)
    names = {name for kind, name in asked if kind in _PLACES}
    starts = [name_start(isp, name) for name in names]
    transaction.together(OpenClaims).look_ahead(asked)
    transaction.together(ServiceRecords).look_ahead(starts)
    places = [f"{kind}:{name}" for kind, name in asked if kind in _PLACES]
    transaction.together(OpenAnswers).look_ahead(places)


def _asked(
    transaction: Transaction, items: Iterable[ItemBody], keys: Keys
) -> set[tuple[str, str]]:
    """Give all that items are about, by kind and name."""
    inventory = transaction.inventory
    asked: set[tuple[str, str]] = set()
    for item in items:
        asked |= {(k, n) for k, n in item.places.items() if k in _PLACES}
        token = item.places.get("connection")
        if token is not None:
            line = line_of(token, transaction.now, keys.token_key)
            asked |= {("line", line)} if line else set()
        line_at = inventory.line_at(item.places.get("site", ""))
        asked |= {("line", line_at.name)} if line_at else set()
        if item.service is not None:
            asked.add(("service", item.service))
            service = inventory.service.get(item.service)
            asked |= {("line", service.line)} if service else set()
        on_lines = [
            s for k, n in asked if k == "line" for s in inventory.services_on(n)
        ]
        asked |= {("service", one.name) for one in on_lines}
        if "userName" in item.characteristics:
            asked.add(("user_name", item.characteristics["userName"]))
    return asked


def _known(transaction: Transaction, read: OrderBody, keys: Keys) -> Known:
    """Look up, for all items at once, what the rules ask of the database."""
    connection, inventory = transaction.connection, transaction.inventory
    asked = _asked(transaction, read.items, keys)
    open_claims = transaction.together(OpenClaims)
    open_claims.look_ahead(asked)
    records = transaction.together(ServiceRecords)
    sites = sites_named(connection, [n for k, n in asked if k == "site"])
    given: set[str] = set()

    def free_name(start: str) -> str:
        name = start
        if name in given or name in inventory.service or records.find(name):
            taken = stored.names_like(connection, start) | given
            numbered = (f"{start}-{number}" for number in itertools.count(2))
            free = (n for n in numbered if n not in taken)
            name = next(n for n in free if n not in inventory.service)
        given.add(name)
        return name

    return Known(
        busy={key: found for key in asked if (found := open_claims.find(key))},
        sites=frozenset(sites),
        free_name=free_name,
        seal=keys.seal,
        line_of_token=lambda token: line_of(token, transaction.now, keys.token_key),
    )
