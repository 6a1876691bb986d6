"""Whether there is room for an order's items, and what is kept for them.

An item that names a green answer takes over what that holds, so it cannot find less
than it was promised. Without one, or with one that is over, it is qualified again as
things are now: what changed is told, and only a red answer refuses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from provisioning.order_rules import Wanted
from provisioning.order_states import Action
from provisioning.qualification import Case, Color, Need, Place, decide, needs, standing
from provisioning.refusal import Refusal
from services.provisioning import Transaction
from storage import holds, qualifications
from storage.holds import Held, Hold
from storage.sites import sites_named


class Claim(NamedTuple):
    """What items keep for themselves, what refuses them, and what is to be told."""

    holds: list[Hold]
    refusals: dict[int, list[Refusal]]
    notes: list[dict[str, Any]]


def claim(
    transaction: Transaction,
    order_id: str,
    items: Mapping[int, Wanted],
    unwritten: Mapping[str, int],
) -> Claim:
    """Hold every item against the rules of qualification, and count what it needs.

    ``unwritten`` is what orders of the same transaction hold beyond what is stored.
    """
    claimed = Claim([], {}, [])
    sought = {n: w for n, w in items.items() if w.offering is not None}
    if not sought:
        return claimed
    places = _places(transaction, sought)
    resources = set()
    for number, wanted in sought.items():
        place = places[number]
        resources.add(f"addresses:{wanted.isp}/{place.area}")
        if place.node is not None:
            resources.add(f"node:{place.node.name}")
    held = transaction.together(Held).sums(resources)
    held.update({one: unwritten[one] for one in resources if one in unwritten})
    for number, wanted in sought.items():
        place = places[number]
        if wanted.qualification is not None:
            _take_over(transaction, wanted, place, held, claimed, number)
        case = _case(transaction, wanted, place, held)
        answer = decide(case, alternatives=False)
        if answer.color is Color.RED:
            pointer = "/service/serviceSpecification"
            claimed.refusals[number] = [
                Refusal(one.code, pointer, one.label) for one in answer.reasons
            ]
            continue
        owner = f"{order_id}/{number}"
        for need in _kept(transaction, case, wanted):
            held[need.resource] += need.quantity
            claimed.holds.append(Hold(owner, *need, wanted.isp))
    return claimed


def _places(transaction: Transaction, items: Mapping[int, Wanted]) -> dict[int, Place]:
    inventory = transaction.inventory
    named = [w.site for w in items.values() if w.site and not w.line]
    sites = sites_named(transaction.connection, named)
    found = {}
    for number, wanted in items.items():
        if wanted.line is not None:
            line = inventory.line[wanted.line]
            node = inventory.node.get(line.node or "")
            found[number] = Place(line.area, wanted.site or line.site, line, node)
        else:
            site = sites[wanted.site or ""]
            node = inventory.node.get(site.node or "")
            found[number] = Place(site.area, site.name, None, node)
    return found


def _case(
    transaction: Transaction, wanted: Wanted, place: Place, held: Counter[str]
) -> Case:
    inventory = transaction.inventory
    so = standing(inventory, place, wanted.isp, held.__getitem__)
    if wanted.action is Action.MODIFY:
        has = _has_there(transaction, wanted, place)
        left = None if so.left is None else so.left + has
        so = so._replace(own_service=False, left=left)
    return Case(place, inventory.offering[wanted.offering or ""], so)


def _kept(transaction: Transaction, case: Case, wanted: Wanted) -> list[Need]:
    if wanted.action is not Action.MODIFY:
        return needs(case)
    has = {
        f"addresses:{wanted.isp}/{case.place.area}": _has_there(
            transaction, wanted, case.place
        )
    }
    more = ((n.resource, n.quantity - has.get(n.resource, 0)) for n in needs(case))
    return [Need(*one) for one in more if one[1] > 0]


def _has_there(transaction: Transaction, wanted: Wanted, place: Place) -> int:
    """Count the addresses that a service has in an area already: what it moves to
    another one with, it has to find there."""
    inventory = transaction.inventory
    service = inventory.service[wanted.service]
    line = inventory.line.get(service.line)
    same = line is not None and line.area == place.area
    return inventory.addresses_of(service) if same else 0


def _take_over(
    transaction: Transaction,
    wanted: Wanted,
    place: Place,
    held: Counter[str],
    claimed: Claim,
    number: int,
) -> None:
    """Count what the named answer holds as free for this item, if it is still good."""
    connection, id_ = transaction.connection, wanted.qualification or ""
    row = qualifications.find(connection, id_, wanted.isp)
    good = (
        row is not None
        and row.state == "open"
        and row.expires_at > transaction.now
        and row.place == place.key
    )
    if good:
        for one in holds.holds_of(connection, [id_]):
            held[one.resource] -= one.quantity
        return
    state = "not known" if row is None else row.state
    claimed.notes.append({"name": f"qualified again: {state}", "item": number})
