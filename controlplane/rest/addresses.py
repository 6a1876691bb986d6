"""Addresses over REST: pools, leases, over-allocation requests and loans.

A command to the address server is taken (202) and applied by it a moment later; what
came of it is at the command's own place. The client's key makes it happen once: an
``Idempotency-Key`` where one is sent, else each request is another command.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta
from sqlalchemy import Connection

from controlplane.rest.authentication import requires
from controlplane.rest.context import Context, Number
from controlplane.rest.idempotency import HEADER
from controlplane.rest.paging import PAGE_MAX, paged
from controlplane.rest.problems import Problem, not_found
from ipserver.over_allocation_command import Action
from ipserver.over_allocation_request import RequestState
from services import overallocation
from services.overallocation import CommandRefusedError, Sent
from services.principal import Principal, Scope
from storage.lease_queries import LeaseFilter, list_leases
from storage.pool_queries import pool_parts

REQUEST_ACTIONS = {"approve", "partial", "deny", "cancel"}
LOAN_ACTIONS = {"recall", "return", "extend", "convert"}


class Raise(msgspec.Struct, forbid_unknown_fields=True):
    """More addresses for a pool; ``size`` 0 asks for what is needed."""

    pool: Annotated[str, Meta(min_length=1, max_length=253)]
    size: Annotated[int, Meta(ge=0, le=overallocation.SIZE_MAX)] = 0
    reason: Annotated[str, Meta(max_length=overallocation.REASON_MAX)] = ""


class Decide(msgspec.Struct, forbid_unknown_fields=True):
    """Words to a decision; ``blocks`` where a request is approved in part."""

    blocks: Annotated[int, Meta(ge=0, le=65_536)] = 0
    reason: Annotated[str, Meta(max_length=overallocation.REASON_MAX)] = ""


def _shown(sent: Sent) -> Response[dict[str, Any]]:
    body = {
        "command": sent.number,
        "result": sent.result,
        "message": sent.message,
        "object": sent.object_number or None,
    }
    return Response(
        body,
        status_code=HTTPStatus.ACCEPTED,
        headers={"Location": f"/v1/overallocation-commands/{sent.number}"},
    )


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of addresses."""
    read, steer = [requires(Scope.ADDRESSES_READ)], [requires(Scope.ADDRESSES_STEER)]
    tags = ["addresses"]

    async def command(
        asked: Request[Any, Any, Any], put: Callable[..., Sent], **said: Any
    ) -> Response[dict[str, Any]]:
        principal: Principal = asked.user
        # An empty key is none that a client meant.
        key = asked.headers.get(HEADER, context.new_id())

        def inside() -> Sent:
            with context.database.write.begin() as connection:
                return put(
                    connection,
                    tenant=principal.tenant,
                    actor=principal.name,
                    client_key=key,
                    now=context.now(),
                    **said,
                )

        try:
            return _shown(await context.call(inside))
        except CommandRefusedError as error:
            if error.code == overallocation.UNKNOWN:
                raise not_found() from error
            conflict = error.code == "client_key_reused"
            status = HTTPStatus.CONFLICT if conflict else HTTPStatus.BAD_REQUEST
            raise Problem(status, error.code, str(error)) from error

    @get("/v1/pools", guards=read, tags=tags, summary="How full each pool is")
    async def pools(request: Request[Any, Any, Any]) -> list[dict[str, Any]]:
        """Give the pools of the tenant with each part of them, in addresses."""
        principal: Principal = request.user

        def work(connection: Connection) -> list[dict[str, Any]]:
            network = context.network(connection)
            return pool_parts(connection, network, context.now())

        rows = await context.read(work)
        mine = principal.tenant
        return [r for r in rows if principal.sees_all or r["tenant"] == mine]

    @get("/v1/leases", guards=read, tags=tags, summary="Leases")
    async def leases(
        request: Request[Any, Any, Any],
        line: Annotated[str | None, QueryParameter(max_length=253)] = None,
        offset: Annotated[int, QueryParameter(ge=0, le=1_000_000)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> Response[list[dict[str, Any]]]:
        """Give the last lease of each address of the tenant's."""
        principal: Principal = request.user
        isp = None if principal.sees_all else principal.tenant

        def work(connection: Connection) -> list[dict[str, Any]]:
            wanted = LeaseFilter(now=context.now(), line=line, isp=isp)
            found = list_leases(connection, wanted)
            return list(islice(found, offset, offset + limit + 1))

        return paged(await context.read(work), offset, limit)

    @get(
        "/v1/overallocation-requests",
        guards=read,
        tags=tags,
        summary="Over-allocation requests",
    )
    async def list_requests(
        request: Request[Any, Any, Any],
        pool: Annotated[str | None, QueryParameter(max_length=253)] = None,
        in_state: Annotated[RequestState | None, QueryParameter(name="state")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> list[dict[str, Any]]:
        """Give the requests that the tenant is a party of, the newest last."""
        tenant = request.user.tenant

        def work(connection: Connection) -> list[dict[str, Any]]:
            return overallocation.requests(
                connection, tenant=tenant, pool=pool, state=in_state, limit=limit
            )

        found: list[dict[str, Any]] = await context.read(work)
        return found

    @get(
        "/v1/overallocation-requests/{number:int}",
        guards=read,
        tags=tags,
        summary="A request with its decisions",
    )
    async def show_request(
        request: Request[Any, Any, Any], number: Number
    ) -> dict[str, Any]:
        """Give one request with its words, inputs and decisions."""
        tenant = request.user.tenant
        found: dict[str, Any] | None = await context.read(
            lambda c: overallocation.request(c, tenant=tenant, number=number)
        )
        if found is None:
            raise not_found()
        return found

    @post(
        "/v1/overallocation-requests",
        guards=steer,
        tags=tags,
        status_code=HTTPStatus.ACCEPTED,
        summary="Ask for more addresses",
    )
    async def raise_request(
        request: Request[Any, Any, Any], data: JSONBody[Raise]
    ) -> Response[dict[str, Any]]:
        """Raise a request for a pool of the tenant's."""
        said = msgspec.structs.asdict(data)
        return await command(request, overallocation.raise_request, **said)

    @post(
        "/v1/overallocation-requests/{number:int}/{action:str}",
        guards=steer,
        tags=tags,
        status_code=HTTPStatus.ACCEPTED,
        summary="Approve, deny or cancel a request",
    )
    async def decide(
        request: Request[Any, Any, Any],
        number: Number,
        action: FromPath[str],
        data: JSONBody[Decide],
    ) -> Response[dict[str, Any]]:
        """Decide for the tenant: approve, partial (with blocks), deny, cancel."""
        if action not in REQUEST_ACTIONS:
            raise not_found()
        return await command(
            request,
            overallocation.decide_request,
            action=Action(action),
            request=number,
            blocks=data.blocks,
            reason=data.reason,
        )

    @get("/v1/loans", guards=read, tags=tags, summary="Loans of addresses")
    async def loans(
        request: Request[Any, Any, Any],
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> list[dict[str, Any]]:
        """Give the open loans of the tenant's pools, and those it had agreed to."""
        tenant = request.user.tenant
        found: list[dict[str, Any]] = await context.read(
            lambda c: overallocation.loans(c, tenant=tenant, limit=limit)
        )
        return found

    @post(
        "/v1/loans/{number:int}/{action:str}",
        guards=steer,
        tags=tags,
        status_code=HTTPStatus.ACCEPTED,
        summary="Recall, return, extend or convert a loan",
    )
    async def steer_loan(
        request: Request[Any, Any, Any],
        number: Number,
        action: FromPath[str],
        data: JSONBody[Decide],
    ) -> Response[dict[str, Any]]:
        """Steer a loan that the tenant is a party of."""
        if action not in LOAN_ACTIONS:
            raise not_found()
        return await command(
            request,
            overallocation.steer_loan,
            action=Action(action),
            loan=number,
            reason=data.reason,
        )

    @get(
        "/v1/overallocation-commands/{number:int}",
        guards=read,
        tags=tags,
        summary="What came of a command",
    )
    async def outcome(
        request: Request[Any, Any, Any], number: Number
    ) -> Response[dict[str, Any]]:
        """Give a command's result; null until it was applied."""
        tenant = request.user.tenant
        found: Sent | None = await context.read(
            lambda c: overallocation.outcome(c, tenant=tenant, number=number)
        )
        if found is None:
            raise not_found()
        shown = _shown(found)
        shown.status_code = HTTPStatus.OK
        return shown

    return [
        pools,
        leases,
        list_requests,
        show_request,
        raise_request,
        decide,
        loans,
        steer_loan,
        outcome,
    ]
