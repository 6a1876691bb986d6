"""An order as others read it: TMF641's ServiceOrder, without a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from config.moment import moment
from provisioning.appointment import Appointment
from provisioning.order import Item, Order
from provisioning.order_states import Assessment, State
from provisioning.task_graph import Task


def service_order(order: Order) -> dict[str, Any]:
    """Show an order; what is not known yet is left out."""
    ids = {item.number: item.id for item in order.items.values()}

    def about(number: int) -> list[dict[str, str]]:
        return [{"itemId": ids[number]}] if number in ids else []

    shown: dict[str, Any] = {
        "id": order.id,
        "href": f"/tmf-api/serviceOrdering/v4/serviceOrder/{order.id}",
        "externalId": order.external_id,
        "state": order.state.value,
        "orderDate": moment(order.ordered_at),
        "requestedStartDate": moment(order.start_at),
        "description": order.body.get("description", ""),
        "relatedParty": [{"role": "isp", "name": order.tenant}],
        "serviceOrderItem": [_item(order, item) for item in order.items.values()],
        "milestone": [
            {
                "name": one["name"],
                "milestoneDate": moment(one["at"]),
                "serviceOrderItem": about(one["item"]),
            }
            for one in order.milestones
        ],
        "jeopardyAlert": [
            {
                "name": one["name"],
                "message": one["message"],
                "alertDate": moment(one["at"]),
                "serviceOrderItem": about(one["item"]),
            }
            for one in order.alerts
        ],
        "errorMessage": [_error(one, about(one["item"])) for one in order.errors],
        "@type": "ServiceOrder",
    }
    if order.on_behalf is not None:
        placed = {"role": "orderedBy", "name": order.actor}
        shown["relatedParty"].append(placed)
    if order.completed_at is not None:
        shown["completionDate"] = moment(order.completed_at)
    return shown


def _item(order: Order, item: Item) -> dict[str, Any]:
    state = item.state.value
    if item.state is State.REJECTED and item.assessment is not Assessment.INVALID:
        state = f"{state}.{item.assessment.value}"
    shown: dict[str, Any] = {
        "id": item.id,
        "action": item.action.value,
        "state": state,
        "errorMessage": [_error(one, None) for one in item.errors],
    }
    wanted = item.wanted
    if wanted is not None and wanted.appointment is not None:
        shown["appointment"] = appointment(order, item, wanted.appointment)
    if wanted is not None:
        service: dict[str, Any] = {"id": wanted.service, "name": wanted.service}
        if wanted.offering is not None:
            service["serviceSpecification"] = {"name": wanted.offering}
        places = {"line": wanted.line, "site": wanted.site}
        service["place"] = [
            {"role": role, "name": name} for role, name in places.items() if name
        ]
        said = {
            "userName": wanted.user_name,
            "customer": wanted.customer,
            "macAddress": wanted.mac_address,
            "device": wanted.device,
            "qualificationId": wanted.qualification,
        }
        service["serviceCharacteristic"] = [
            {"name": name, "value": value} for name, value in said.items() if value
        ]
        shown["service"] = service
    if item.relies_on:
        shown["serviceOrderItemRelationship"] = [
            {
                "relationshipType": "reliesOn",
                "orderItem": {"itemId": order.items[number].id},
            }
            for number in item.relies_on
        ]
    return shown


def _error(
    one: Mapping[str, Any], items: list[dict[str, str]] | None
) -> dict[str, Any]:
    shown = {
        "code": one["code"],
        "reason": one["reason"],
        "timestamp": moment(one["at"]),
        "referenceError": one.get("pointer", ""),
    }
    return shown if items is None else {**shown, "serviceOrderItem": items}


def appointment(order: Order, item: Item, made: Appointment) -> dict[str, Any]:
    """Show an item's appointment as TMF646's Appointment."""
    number = f"{order.id}.{item.number}"
    return {
        "id": number,
        "href": f"/tmf-api/appointment/v4/appointment/{number}",
        "description": made.description,
        "status": _APPOINTED.get(item.state, "confirmed"),
        "validFor": {
            "startDateTime": moment(made.start_at),
            "endDateTime": moment(made.end_at),
        },
        "relatedEntity": [{"id": order.id, "@referredType": "ServiceOrder"}],
        "@type": "Appointment",
    }


_APPOINTED: Final = {
    State.HELD: "initialized",
    State.COMPLETED: "completed",
    State.FAILED: "cancelled",
    State.CANCELLED: "cancelled",
    State.PENDING_CANCELLATION: "cancelled",
    State.REJECTED: "cancelled",
}
"""TMF646's status, by the state of the item; confirmed for all else."""


def task_object(task: Task) -> dict[str, Any]:
    """Show a task, for the monitor of an order and the dead letters."""
    return {
        "number": task.number,
        "item": task.item,
        "kind": task.kind.value,
        "state": task.state.value,
        "attempts": task.attempts,
        "after": list(task.after),
        "due_at": moment(task.due_at) if task.due_at else None,
        "reason": task.reason,
    }
