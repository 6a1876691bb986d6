"""The event hub: webhooks as TM Forum registers them, and the feed to read oneself.

``GET /v1/events?after=N`` gives the tenant's events behind a number, so whoever missed
a webhook, or wants none, reads on from where it was.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, delete, get, post
from litestar.params import JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy import Connection

from controlplane.events import envelope
from controlplane.rest.authentication import requires
from controlplane.rest.context import Context, Number
from controlplane.rest.idempotency import Idempotency
from controlplane.rest.problems import Error, Problem, not_found
from controlplane.webhooks.signature import shown
from services import webhooks
from services.principal import Scope
from storage.outbox import NumberedEvent, events_since

EVENTS_MAX = 1000

HUBS = [
    "/tmf-api/serviceOrdering/v4/hub",
    "/tmf-api/serviceQualificationManagement/v4/hub",
    "/tmf-api/usageManagement/v4/hub",
]


class Registration(msgspec.Struct, forbid_unknown_fields=True):
    """TM Forum's hub request: where to tell, and of which event types (``query``)."""

    callback: str
    query: str = ""


class Registered(msgspec.Struct):
    """A registration; ``secret`` is told once, to check signatures with."""

    id: str
    callback: str
    query: str
    secret: str


def types_of(query: str) -> list[str]:
    """Read ``eventType=A,B`` (TMF630 section 6.5); an empty query is all types."""
    if not query:
        return []
    name, equals, value = query.partition("=")
    types = [word for word in value.split(",") if word]
    if name != "eventType" or not equals or not types:
        detail = "only eventType=NAME,NAME"
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "invalid_query",
            detail,
            errors=[Error("/query", "invalid_query", detail)],
        )
    return types


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the hub's routes."""
    guards = [requires(Scope.EVENTS)]
    once = Idempotency(context.database, context.clocks.now).once

    @post(HUBS, guards=guards, tags=["events"], summary="Register a webhook")
    async def register(
        request: Request[Any, Any, Any], data: JSONBody[Registration]
    ) -> Response[Registered]:
        """Tell a callback of this tenant's events from now on, signed."""

        async def work() -> Response[Registered]:
            made = await context.call(
                webhooks.register,
                context.database,
                request.user,
                data.callback,
                types_of(data.query),
                insecure=context.insecure_callbacks,
            )
            if isinstance(made, webhooks.Refusal):
                status = HTTPStatus.UNPROCESSABLE_ENTITY
                error = Error("/callback", made.code, made.detail)
                raise Problem(status, made.code, made.detail, errors=[error])
            body = Registered(
                str(made.id), made.callback, data.query, shown(made.secret)
            )
            return Response(body, status_code=HTTPStatus.CREATED)

        return await once(request, "hub", work)

    @delete(
        [f"{hub}/{{number:int}}" for hub in HUBS],
        guards=guards,
        tags=["events"],
        summary="Forget a webhook",
    )
    async def unregister(request: Request[Any, Any, Any], number: Number) -> None:
        """Stop telling a callback."""
        if not await context.call(
            webhooks.unregister, context.database, request.user, number
        ):
            raise not_found()

    @get("/v1/events", guards=guards, tags=["events"], summary="Events behind a number")
    async def events(
        request: Request[Any, Any, Any],
        after: Annotated[int, QueryParameter(ge=0, le=2**63 - 1)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=EVENTS_MAX)] = 100,
    ) -> list[dict[str, Any]]:
        """Give the first events of this tenant behind ``after``, in order."""
        tenant = None if request.user.sees_all else request.user.tenant

        def work(connection: Connection) -> list[NumberedEvent]:
            return events_since(connection, after, limit, tenant)

        return [envelope(event) for event in await context.read(work)]

    return [register, unregister, events]
