"""The desired state of a line, versioned: what differs from it becomes an order.

A control plane says what is to be, not what is to be done, so it may say it again, say
it late or skip versions: a version that is not newer than the one taken up is ignored,
and a newer one is compared with what is there. While an order is open on the line
nothing is decided; the state is looked at again when that has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from config.offers import Service
from provisioning.refusal import Refusal
from services import orders
from services.actor import Actor
from services.order_assessment import Keys
from services.orders import Placed
from services.provisioning import Transaction
from storage import desired_states
from storage.desired_states import TakenUp
from storage.orders import OpenClaims


class Stale(NamedTuple):
    """A newer version, or this one, was taken up before."""

    version: int


class Waiting(NamedTuple):
    """An order is open on the line; the state is to be looked at again after it."""

    order_id: str


class Same(NamedTuple):
    """The line is as it is to be already."""

    version: int


class _Desired(msgspec.Struct):
    version: Annotated[int, Meta(ge=0, le=2**63 - 1)]  # what a column can have
    service: dict[str, Any] | None = None


Outcome = Placed | list[Refusal] | Stale | Waiting | Same


def take_up(
    transaction: Transaction,
    actor: Actor,
    line: str,
    said: Any,
    *,
    keys: Keys,
    new_id: Callable[[], str],
) -> Outcome:
    """Take up a desired state: ``{"version": 7, "service": {...}}`` or null for none.

    ``service`` is TMF641's, without its place. Raises StorageError.
    """
    isp = actor.isp
    assert isp is not None
    try:
        desired = msgspec.convert(said, _Desired)
    except msgspec.ValidationError as error:
        return [Refusal("invalid_body", "", str(error))]
    connection = transaction.connection
    before = desired_states.find(connection, isp, line)
    if before is not None and desired.version <= before.version:
        return Stale(before.version)
    busy = transaction.together(OpenClaims).find(("line", line))
    if busy is not None:
        return Waiting(busy)
    placed = _place(transaction, actor, line, desired, keys, new_id)
    if not isinstance(placed, list):
        order_id = placed.order.id if isinstance(placed, Placed) else None
        taken = TakenUp(desired.version, order_id)
        desired_states.put(connection, isp, line, taken, transaction.now)
    return placed


def _place(
    transaction: Transaction,
    actor: Actor,
    line: str,
    desired: _Desired,
    keys: Keys,
    new_id: Callable[[], str],
) -> Placed | list[Refusal] | Same:
    there = _service_on(transaction, actor, line)
    service: dict[str, Any]
    if desired.service is None and there is None:
        return Same(desired.version)
    if desired.service is None:
        assert there is not None
        action, service = "delete", {"id": there.name}
    elif there is None:
        place = [{"role": "line", "name": line}]
        action, service = "add", {**desired.service, "place": place}
    elif _is(there, desired.service):
        return Same(desired.version)
    else:
        action, service = "modify", {**desired.service, "id": there.name}
    body = {
        "externalId": f"desired/{line}/{desired.version}",
        "serviceOrderItem": [{"id": "1", "action": action, "service": service}],
    }
    return orders.place(transaction, actor, body, keys=keys, new_id=new_id)


def _service_on(transaction: Transaction, actor: Actor, line: str) -> Service | None:
    services = transaction.inventory.services_on(line)
    return next((one for one in services if one.isp == actor.isp), None)


def _is(there: Service, wanted: Mapping[str, Any]) -> bool:
    """Say whether a service is as wanted; a password cannot be compared, so one that
    is said again is set again."""
    specification = wanted.get("serviceSpecification")
    named = specification.get("name") if isinstance(specification, Mapping) else None
    said = {
        one.get("name"): one.get("value")
        for one in wanted.get("serviceCharacteristic") or ()
        if isinstance(one, Mapping)
    }
    user = said.pop("userName", None)
    return (
        named == there.offering
        and (user is None or user in there.user_names)
        and not said
    )


def actual(transaction: Transaction, isp: str, line: str) -> dict[str, Any]:
    """Give what is so of an ISP's service on a line, and the version behind it."""
    actor = Actor(isp, isp, "")
    there = _service_on(transaction, actor, line)
    taken = desired_states.find(transaction.connection, isp, line)
    shown: dict[str, Any] = {
        "version": taken.version if taken else None,
        "orderId": taken.order_id if taken else None,
        "service": None,
    }
    if there is not None:
        shown["service"] = {
            "name": there.name,
            "serviceSpecification": {"name": there.offering},
            "userName": list(there.user_names),
        }
    return shown
