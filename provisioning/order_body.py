"""An order as it is sent (TMF641's ServiceOrder_Create), read and brought to items.

What TM Forum's document allows and this does not use is passed over; what this would
misread (an unknown characteristic, a place of an unknown role) is refused with its
place, because an order that is half understood is carried out wrongly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from provisioning.appointment import Appointment, read_appointment
from provisioning.order_states import Action
from provisioning.refusal import Refusal

ITEMS: Final = 100
"""Items of one order, nested ones included."""

DEPTH: Final = 4

_Text = Annotated[str, Meta(min_length=1, max_length=253)]
_Id = Annotated[str, Meta(min_length=1, max_length=100)]


class _Wire(Struct, frozen=True, rename="camel"):
    """TM Forum writes camelCase; keys that are not read here are passed over."""


class _Characteristic(_Wire, frozen=True, rename="camel"):
    name: _Text
    value: Any


class _Place(_Wire, frozen=True, rename="camel"):
    role: _Text
    name: _Text | None = None
    id: _Text | None = None


class _Specification(_Wire, frozen=True, rename="camel"):
    name: _Text | None = None
    id: _Text | None = None


class _Service(_Wire, frozen=True, rename="camel"):
    id: _Text | None = None
    name: _Text | None = None
    service_specification: _Specification | None = None
    place: tuple[_Place, ...] = ()
    service_characteristic: tuple[_Characteristic, ...] = ()


class _ItemRef(_Wire, frozen=True, rename="camel"):
    item_id: _Id | None = None
    id: _Id | None = None


class _Relationship(_Wire, frozen=True, rename="camel"):
    order_item: _ItemRef
    relationship_type: str = "reliesOn"


class _Item(_Wire, frozen=True, rename="camel"):
    id: _Id
    action: Action
    service: _Service
    appointment: Any = None
    service_order_item: tuple[_Item, ...] = ()
    service_order_item_relationship: tuple[_Relationship, ...] = ()


class _Order(_Wire, frozen=True, rename="camel"):
    external_id: _Id
    service_order_item: Annotated[tuple[_Item, ...], Meta(min_length=1)]
    requested_start_date: str | None = None
    description: Annotated[str, Meta(max_length=500)] = ""


class ItemBody(Struct, frozen=True, kw_only=True):
    """One item as it was asked for; ``pointer`` is where it stands in the body."""

    number: int
    id: str
    pointer: str
    action: Action
    offering: str | None
    service: str | None
    places: Mapping[str, str]
    characteristics: Mapping[str, Any]
    appointment: Appointment | None
    relies_on: tuple[int, ...]


class OrderBody(Struct, frozen=True, kw_only=True):
    """An order as it was asked for; ``start_at`` in epoch seconds, 0 for now."""

    external_id: str
    start_at: int
    description: str
    items: tuple[ItemBody, ...]


CHARACTERISTICS: Final = {
    "userName": str,
    "password": str,
    "customer": str,
    "qualificationId": str,
    "macAddress": str,
    "device": str,
}
"""What an item can say, and of which type."""

SECRETS: Final = frozenset({"password"})
"""Characteristics that are sealed, and shown to nobody again."""

PLACES: Final = frozenset({"line", "site", "connection"})
"""By the line's name, the site's name, or a line token."""

_AT: Final = re.compile(r"^(?P<said>.*?)(?: - at `\$(?P<path>[^`]*)`)?$", re.DOTALL)
_STEP: Final = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def read_order(body: Any) -> OrderBody | list[Refusal]:
    """Read an order's body; what is wrong with it is told all at once."""
    try:
        order = msgspec.convert(body, _Order)
    except msgspec.ValidationError as error:
        return [_told(error)]
    refusals: list[Refusal] = []
    items = _flat(order.service_order_item, refusals)
    start = _moment(order.requested_start_date, refusals)
    if refusals:
        return refusals
    return OrderBody(
        external_id=order.external_id,
        start_at=start,
        description=order.description,
        items=tuple(items),
    )


class OrderChange(Struct, frozen=True, kw_only=True):
    """What is to change of an order that was placed: when it begins (None: as it is),
    and appointments by item id, each with its place in the body; None gives one up."""

    start_at: int | None
    appointments: Mapping[str, tuple[str, Appointment | None]]


def read_change(body: Mapping[str, Any]) -> OrderChange | list[Refusal]:
    """Read TMF641's ServiceOrder_Update: what else it names cannot be changed."""
    refusals: list[Refusal] = []
    known = {"requestedStartDate", "serviceOrderItem"}
    for key in body:
        if key not in known and not key.startswith("@"):
            reason = "cannot be changed: cancel the order and place another"
            refusals.append(Refusal("not_changeable", f"/{key}", reason))
    start = body.get("requestedStartDate")
    if start is not None and not isinstance(start, str):
        refusals.append(Refusal("invalid_time", "/requestedStartDate", "is a string"))
        start = None
    items = body.get("serviceOrderItem", ())
    appointments: dict[str, tuple[str, Appointment | None]] = {}
    for place, item in enumerate(items if isinstance(items, list) else ()):
        pointer = f"/serviceOrderItem/{place}"
        if not isinstance(item, Mapping) or set(item) - {"id", "appointment"}:
            reason = "of an item its id and appointment are named"
            refusals.append(Refusal("not_changeable", pointer, reason))
        elif not isinstance(item.get("id"), str) or "appointment" not in item:
            reason = "needs its id and its appointment"
            refusals.append(Refusal("invalid_body", pointer, reason))
        else:
            at = f"{pointer}/appointment"
            value = _appointment(item["appointment"], pointer, refusals)
            appointments[item["id"]] = at, value
    moment = None if start is None else _moment(start, refusals)
    if not refusals and moment is None and not appointments:
        refusals.append(Refusal("nothing_to_change", "", "names nothing to change"))
    return refusals or OrderChange(start_at=moment, appointments=appointments)


def names(order: OrderBody) -> set[str]:
    """Give every name that an order is about: places, services, users."""
    found: set[str] = set()
    for item in order.items:
        found |= {*item.places.values(), item.characteristics.get("userName", "")}
        found |= {item.service or "", item.characteristics.get("qualificationId", "")}
    return found - {""}


def shown(body: Any) -> Any:
    """Copy an order's body without its secrets, to be kept and shown."""
    if isinstance(body, Mapping):
        if body.get("name") in SECRETS and "value" in body:
            return {**body, "value": "***"}
        return {key: shown(value) for key, value in body.items()}
    if isinstance(body, list | tuple):
        return [shown(value) for value in body]
    return body


def _told(error: msgspec.ValidationError) -> Refusal:
    match = _AT.match(str(error))
    assert match is not None
    steps = _STEP.findall(match["path"] or "")
    pointer = "".join(f"/{key or place}" for key, place in steps)
    return Refusal("invalid_body", pointer, match["said"])


def _flat(items: Sequence[_Item], refusals: list[Refusal]) -> list[ItemBody]:
    """Number the items, nested ones after the one that they are in and rely on."""
    listed: list[tuple[str, _Item, int | None]] = []

    def walk(
        inside: Sequence[_Item], above: str, parent: int | None, depth: int
    ) -> None:
        for position, item in enumerate(inside):
            pointer = f"{above}/serviceOrderItem/{position}"
            if depth > DEPTH:
                reason = f"items nest {DEPTH} deep at most"
                refusals.append(Refusal("nested_too_deeply", pointer, reason))
                return
            listed.append((pointer, item, parent))
            walk(item.service_order_item, pointer, len(listed) - 1, depth + 1)

    walk(items, "", None, 1)
    if len(listed) > ITEMS:
        reason = f"an order has at most {ITEMS} items, not {len(listed)}"
        refusals.append(Refusal("too_many_items", "/serviceOrderItem", reason))
        return []
    numbers: dict[str, int] = {}
    for number, (pointer, item, _) in enumerate(listed):
        if item.id in numbers:
            reason = f"{item.id!r} is the id of another item"
            refusals.append(Refusal("item_id_twice", f"{pointer}/id", reason))
        numbers[item.id] = number
    found = [
        ItemBody(
            number=number,
            id=item.id,
            pointer=pointer,
            action=item.action,
            offering=_specification(item.service),
            service=item.service.id or item.service.name,
            places=_places(item.service, pointer, refusals),
            characteristics=_characteristics(item.service, pointer, refusals),
            appointment=_appointment(item.appointment, pointer, refusals),
            relies_on=_relies_on(item, pointer, numbers, parent, refusals),
        )
        for number, (pointer, item, parent) in enumerate(listed)
    ]
    _circles(found, refusals)
    return found


def _specification(service: _Service) -> str | None:
    specification = service.service_specification
    return (specification.name or specification.id) if specification else None


def _places(service: _Service, pointer: str, refusals: list[Refusal]) -> dict[str, str]:
    found: dict[str, str] = {}
    for position, place in enumerate(service.place):
        where = f"{pointer}/service/place/{position}"
        name = place.name or place.id
        if place.role not in PLACES:
            reason = f"a place is a {', '.join(sorted(PLACES))}, not {place.role!r}"
            refusals.append(Refusal("unknown_place_role", f"{where}/role", reason))
        elif name is None:
            refusals.append(Refusal("place_without_name", where, "needs a name"))
        elif found:
            refusals.append(Refusal("place_twice", where, "an item is at one place"))
        else:
            found[place.role] = name
    return found


def _characteristics(
    service: _Service, pointer: str, refusals: list[Refusal]
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for position, one in enumerate(service.service_characteristic):
        where = f"{pointer}/service/serviceCharacteristic/{position}"
        if one.name not in CHARACTERISTICS:
            known = ", ".join(sorted(CHARACTERISTICS))
            reason = f"{one.name!r} is none of {known}"
            refusals.append(Refusal("unknown_characteristic", f"{where}/name", reason))
        elif not isinstance(one.value, str) or not 0 < len(one.value) <= 253:
            reason = f"{one.name} is a string of 1 to 253 characters"
            refusals.append(Refusal("invalid_value", f"{where}/value", reason))
        elif one.name in found:
            reason = f"{one.name} is there already"
            refusals.append(Refusal("characteristic_twice", f"{where}/name", reason))
        else:
            found[one.name] = one.value
    return found


def _appointment(
    value: Any, pointer: str, refusals: list[Refusal]
) -> Appointment | None:
    if value is None:
        return None
    read = read_appointment(value, f"{pointer}/appointment")
    if isinstance(read, Appointment):
        return read
    refusals.append(read)
    return None


def _relies_on(
    item: _Item,
    pointer: str,
    numbers: Mapping[str, int],
    parent: int | None,
    refusals: list[Refusal],
) -> tuple[int, ...]:
    found = set() if parent is None else {parent}
    for position, relation in enumerate(item.service_order_item_relationship):
        other = relation.order_item.item_id or relation.order_item.id or ""
        if other in numbers:
            found.add(numbers[other])
        else:
            where = f"{pointer}/serviceOrderItemRelationship/{position}/orderItem"
            reason = f"there is no item {other!r} in this order"
            refusals.append(Refusal("unknown_item", where, reason))
    return tuple(sorted(found))


def _circles(items: Sequence[ItemBody], refusals: list[Refusal]) -> None:
    """Refuse items that wait for one another."""
    left = {item.number: set(item.relies_on) for item in items}
    while free := [
        number for number, others in left.items() if not others & left.keys()
    ]:
        for number in free:
            del left[number]
    if left:
        item = items[min(left)]
        where = f"{item.pointer}/serviceOrderItemRelationship"
        refusals.append(Refusal("items_in_a_circle", where, "relies on itself"))


def _moment(text: str | None, refusals: list[Refusal]) -> int:
    if text is None:
        return 0
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        reason = "must be an RFC 3339 time such as 2026-01-31T12:00:00Z"
        refusals.append(Refusal("invalid_time", "/requestedStartDate", reason))
        return 0
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())
