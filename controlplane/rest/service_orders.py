"""TMF641 service orders: placed, found, cancelled; and what a representative steers.

An order that cannot be read is refused (422) and leaves nothing. One that can be read
and not be carried out is kept as ``rejected``, with what is wrong on each item. The
same ``externalId`` with the same body gives the same order (200), with another body a
conflict (409), on whichever channel the first one came.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, patch, post
from litestar.params import FromPath, JSONBody, PathParameter, QueryParameter
from litestar.types import ControllerRouterHandler

from config.moment import moment
from controlplane.channels import CHANNELS, actor_of
from controlplane.rest.authentication import requires
from controlplane.rest.context import Context
from controlplane.rest.paging import PAGE_MAX, paged
from controlplane.rest.problems import Error, Problem, not_found, refused
from provisioning.appointment import read_appointment
from provisioning.order import Item, Order
from provisioning.order_body import OrderChange, read_change
from provisioning.order_view import appointment, service_order, task_object
from provisioning.refusal import Refusal
from provisioning.resume_token import issue
from services import order_steering, orders
from services.actor import Actor
from services.orders import Command
from services.principal import Principal, Role, Scope
from services.provisioning import Transaction
from storage import order_queries as stored

BASE: Final = "/tmf-api/serviceOrdering/v4"
APPOINTMENTS: Final = "/tmf-api/appointment/v4/appointment"

_UNREADABLE: Final = HTTPStatus.UNPROCESSABLE_ENTITY
_STATUS: Final = {"external_id_conflict": HTTPStatus.CONFLICT}


class Cancellation(msgspec.Struct, forbid_unknown_fields=False, rename="camel"):
    """TMF641's cancelServiceOrder: which order, and why."""

    service_order: _OrderRef
    cancellation_reason: str = ""


class Reasoned(msgspec.Struct):
    """Why a person does what the machinery does not."""

    reason: str


class _OrderRef(msgspec.Struct):
    id: str


def _isp_named(body: Mapping[str, Any]) -> str | None:
    """Give the ISP among the related parties, if the body names one."""
    parties = body.get("relatedParty")
    for party in parties if isinstance(parties, list) else ():
        if isinstance(party, Mapping) and party.get("role") == "isp":
            name = party.get("name") or party.get("id")
            return name if isinstance(name, str) else None
    return None


def _actor(principal: Principal, isp: str | None = None) -> Actor:
    actor = actor_of(principal, isp)
    if actor is None:
        detail = "this client may not act for that ISP, or has to name one"
        error = Error("/relatedParty", "isp_not_allowed", detail)
        raise Problem(HTTPStatus.FORBIDDEN, "isp_not_allowed", detail, errors=[error])
    return actor


def _cancel_task(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {
        "id": row["id"],
        "href": f"{BASE}/cancelServiceOrder/{row['id']}",
        "serviceOrder": {"id": row["order_id"]},
        "cancellationReason": row["reason"],
        "state": row["state"],
        "effectiveCancellationDate": moment(row["at"]),
        "@type": "CancelServiceOrder",
    }
    if row["message"]:
        shown["errorMessage"] = [{"code": "too_late", "reason": row["message"]}]
    return shown


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of orders."""
    read, write = [requires(Scope.ORDERS_READ)], [requires(Scope.ORDERS_WRITE)]
    steer = [requires(Scope.TASKS)]
    tags = ["orders"]

    def mine(principal: Principal, found: Order | None) -> Order:
        """Give an order that a principal may see; of client software's, by its id, what
        that program's kind has ordered: ids are not guessed."""
        theirs = principal.role is Role.CLIENT_SOFTWARE
        if found is None or (theirs and found.actor != principal.name):
            raise not_found()
        return found

    def reader(principal: Principal) -> Actor:
        return Actor(principal.name, principal.tenant, "")

    async def find(principal: Principal, order_id: str) -> Order:
        def work(transaction: Transaction) -> Order | None:
            return orders.find(transaction, reader(principal), order_id)

        return mine(principal, await context.transact(work))

    @post(f"{BASE}/serviceOrder", guards=write, tags=tags, summary="Place an order")
    async def place(
        request: Request[Any, Any, Any], data: JSONBody[dict[str, Any]]
    ) -> Response[dict[str, Any]]:
        """Take TMF641's ServiceOrder_Create; 200 when it was placed before."""
        actor = _actor(request.user, _isp_named(data))
        placed = await context.orders.ask(Command(actor, data))
        if isinstance(placed, list):
            raise refused(_STATUS.get(placed[0].code, _UNREADABLE), placed)
        mine(request.user, placed.order)
        body = service_order(placed.order)
        if request.user.role is Role.CLIENT_SOFTWARE:
            body["resumeToken"] = issue(placed.order.id, context.keys.token_key)
        status = HTTPStatus.CREATED if placed.is_new else HTTPStatus.OK
        return Response(body, status_code=status, headers={"Location": body["href"]})

    @get(f"{BASE}/serviceOrder", guards=read, tags=tags, summary="List orders")
    async def list_orders(
        request: Request[Any, Any, Any],
        external_id: Annotated[str | None, QueryParameter(name="externalId")] = None,
        in_state: Annotated[str | None, QueryParameter(name="state")] = None,
        offset: Annotated[int, QueryParameter(ge=0, le=2**31)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> Response[list[dict[str, Any]]]:
        """Give this tenant's orders, the newest first."""
        principal: Principal = request.user
        if principal.role is Role.CLIENT_SOFTWARE:
            raise Problem(HTTPStatus.FORBIDDEN, "insufficient_scope")
        wanted = stored.Filter(
            state=in_state, external_id=external_id, limit=limit + 1, offset=offset
        )

        def work(transaction: Transaction) -> list[Order]:
            return orders.listed(transaction, reader(principal), wanted)

        found = await context.transact(work)
        return paged([service_order(one) for one in found], offset, limit)

    @get(
        f"{BASE}/serviceOrder/{{order_id:str}}",
        guards=read,
        tags=tags,
        summary="An order",
    )
    async def show(
        request: Request[Any, Any, Any], order_id: FromPath[str]
    ) -> dict[str, Any]:
        """Give one order as it is now."""
        return service_order(await find(request.user, order_id))

    @post(
        f"{BASE}/cancelServiceOrder",
        guards=write,
        tags=tags,
        summary="Ask for an order to be cancelled",
    )
    async def cancel(
        request: Request[Any, Any, Any], data: JSONBody[Cancellation]
    ) -> dict[str, Any]:
        """Make the cancel task; past the point of no return it ends with an error."""
        await find(request.user, data.service_order.id)

        def work(transaction: Transaction) -> dict[str, Any] | None:
            return order_steering.cancel(
                transaction,
                reader(request.user)._replace(channel="rest"),
                data.service_order.id,
                reason=data.cancellation_reason,
                new_id=context.new_id,
            )

        row = await context.transact(work)
        if row is None:
            raise not_found()
        return _cancel_task(row)

    @get(
        f"{BASE}/cancelServiceOrder/{{task_id:str}}",
        guards=read,
        tags=tags,
        summary="A cancel task",
    )
    async def show_cancel(
        request: Request[Any, Any, Any], task_id: FromPath[str]
    ) -> dict[str, Any]:
        """Give a cancel task as it is now."""
        principal: Principal = request.user

        def work(transaction: Transaction) -> Mapping[str, Any] | None:
            return stored.find_cancel(transaction.connection, task_id)

        row = await context.transact(work)
        if row is None or not (principal.sees_all or row["tenant"] == principal.tenant):
            raise not_found()
        return _cancel_task(row)

    @get(
        "/v1/orders/{order_id:str}/tasks",
        guards=read,
        tags=tags,
        summary="The tasks of an order",
    )
    async def tasks(
        request: Request[Any, Any, Any], order_id: FromPath[str]
    ) -> list[dict[str, Any]]:
        """Give what is done, waits or failed, and why: the monitor of an order."""
        found = await find(request.user, order_id)
        return [task_object(task) for task in found.tasks.values()]

    @post(
        "/v1/orders/{order_id:str}/release",
        guards=write,
        tags=tags,
        status_code=HTTPStatus.OK,
        summary="Let a draft begin",
    )
    async def release(
        request: Request[Any, Any, Any], order_id: FromPath[str]
    ) -> dict[str, Any]:
        """Release a held order; 409 when it is not held."""
        await find(request.user, order_id)

        def work(transaction: Transaction) -> Order | None:
            return order_steering.release(transaction, reader(request.user), order_id)

        found = await context.transact(work)
        if found is None:
            raise Problem(HTTPStatus.CONFLICT, "not_held", "the order is not held")
        return service_order(found)

    @patch(
        f"{BASE}/serviceOrder/{{order_id:str}}",
        guards=write,
        tags=tags,
        summary="Change when an order begins, and its appointments",
    )
    async def change(
        request: Request[Any, Any, Any],
        order_id: FromPath[str],
        data: JSONBody[dict[str, Any]],
    ) -> dict[str, Any]:
        """Take TMF641's ServiceOrder_Update; 409 past the point of no return."""
        await find(request.user, order_id)
        read = read_change(data)
        if isinstance(read, list):
            raise refused(_UNREADABLE, read)
        return service_order(await changed(request.user, order_id, read))

    async def changed(
        principal: Principal, order_id: str, wanted: OrderChange
    ) -> Order:
        def work(transaction: Transaction) -> Order | list[Refusal] | None:
            actor = reader(principal)._replace(channel=CHANNELS[principal.role])
            return order_steering.change(transaction, actor, order_id, wanted)

        made = await context.transact(work)
        if made is None:
            raise not_found()
        if isinstance(made, list):
            late = any(one.code == "too_late" for one in made)
            raise refused(HTTPStatus.CONFLICT if late else _UNREADABLE, made)
        return made

    async def appointed(principal: Principal, number: str) -> tuple[Order, Item]:
        order_id, _, place = number.rpartition(".")
        order = await find(principal, order_id)
        item = order.items.get(int(place)) if place.isdecimal() else None
        if item is None or item.wanted is None or item.wanted.appointment is None:
            raise not_found()
        return order, item

    def shown(order: Order, item: Item) -> dict[str, Any]:
        assert item.wanted is not None
        assert item.wanted.appointment is not None
        return appointment(order, item, item.wanted.appointment)

    @get(
        f"{APPOINTMENTS}/{{number:str}}",
        guards=read,
        tags=tags,
        summary="An appointment of an order's item",
    )
    async def show_appointment(
        request: Request[Any, Any, Any], number: FromPath[str]
    ) -> dict[str, Any]:
        """Give one appointment in TMF646's shape."""
        return shown(*await appointed(request.user, number))

    @patch(
        f"{APPOINTMENTS}/{{number:str}}",
        guards=write,
        tags=tags,
        summary="Move an appointment",
    )
    async def move_appointment(
        request: Request[Any, Any, Any],
        number: FromPath[str],
        data: JSONBody[dict[str, Any]],
    ) -> dict[str, Any]:
        """Take TMF646's Appointment_Update: another ``validFor``, with what to know."""
        order, item = await appointed(request.user, number)
        made = read_appointment(data, "")
        if isinstance(made, Refusal):
            raise refused(_UNREADABLE, [made])
        wanted = OrderChange(start_at=None, appointments={item.id: ("", made)})
        order = await changed(request.user, order.id, wanted)
        return shown(order, order.items[item.number])

    @post(
        "/v1/orders/{order_id:str}/tasks/{number:int}/force",
        guards=steer,
        tags=tags,
        status_code=HTTPStatus.OK,
        summary="Take a dead letter for done",
    )
    async def force(
        request: Request[Any, Any, Any],
        order_id: FromPath[str],
        number: Annotated[int, PathParameter(ge=0, le=10_000)],
        data: JSONBody[Reasoned],
    ) -> dict[str, Any]:
        """Go on as if the party had answered: somebody saw to it by hand."""

        def work(transaction: Transaction) -> Order | Refusal | None:
            actor = reader(request.user)._replace(channel=CHANNELS[request.user.role])
            return order_steering.force(
                transaction, actor, order_id, number, data.reason
            )

        made = await context.transact(work)
        if made is None:
            raise not_found()
        if isinstance(made, Refusal):
            conflict = made.code == "not_forcible"
            raise refused(HTTPStatus.CONFLICT if conflict else _UNREADABLE, [made])
        return service_order(made)

    @post(
        "/v1/orders/{order_id:str}/retry",
        guards=steer,
        tags=tags,
        status_code=HTTPStatus.OK,
        summary="Send dead letters on their way again",
    )
    async def retry(
        request: Request[Any, Any, Any], order_id: FromPath[str]
    ) -> dict[str, int]:
        """Try an order's failed tasks again; gives how many there were."""

        def work(transaction: Transaction) -> int | None:
            return order_steering.retry(transaction, reader(request.user), order_id)

        count = await context.transact(work)
        if count is None:
            raise not_found()
        return {"retried": count}

    return [
        place,
        list_orders,
        show,
        cancel,
        show_cancel,
        tasks,
        release,
        change,
        show_appointment,
        move_appointment,
        force,
        retry,
    ]
