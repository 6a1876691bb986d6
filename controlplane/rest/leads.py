"""Leads over REST: left, listed, surveyed by the network's staff, called back."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler

from config.moment import moment
from controlplane.channels import CHANNELS, actor_of
from controlplane.rest.authentication import requires
from controlplane.rest.context import Context
from controlplane.rest.idempotency import Idempotency
from controlplane.rest.paging import PAGE_MAX
from controlplane.rest.problems import Problem, not_found, refused
from provisioning.refusal import Refusal
from services import leads
from services.actor import Actor
from services.principal import Principal, Role, Scope
from services.provisioning import Transaction

_REFUSED = HTTPStatus.UNPROCESSABLE_ENTITY

State = Literal["open", "survey", "serviceable", "unserviceable", "closed"]


class Lead(msgspec.Struct, rename="camel"):
    """Whom to tell when a place can have what was wanted; an ``address`` that nobody
    knows is surveyed."""

    contact: str
    wanted: str
    qualification_id: str | None = None
    address: str | None = None


class Surveyed(msgspec.Struct):
    """What a survey found: the site, made or known by name, or null for none."""

    site: dict[str, Any] | None


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "at": moment(row["at"]),
        "state": row["state"],
        "contact": row["contact"],
        "wanted": row["wanted"],
        "address": row["address"],
        "site": row["site"],
        "qualificationId": row["qualification_id"],
        "tenant": row["tenant"],
    }


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of leads."""
    guards, tags = [requires(Scope.QUALIFY)], ["qualification"]
    staff = [requires(Scope.INVENTORY_WRITE)]
    once = Idempotency(context.database, context.clocks.now).once

    def reader(principal: Principal) -> Actor:
        if principal.role is Role.CLIENT_SOFTWARE:
            raise Problem(HTTPStatus.FORBIDDEN, "insufficient_scope")
        return Actor(principal.name, principal.tenant, CHANNELS[principal.role])

    @post("/v1/leads", guards=guards, tags=tags, summary="Leave a lead")
    async def leave(
        request: Request[Any, Any, Any], data: JSONBody[Lead]
    ) -> Response[dict[str, str]]:
        """Keep whom to call back when the place can have what was wanted."""
        principal, number = request.user, context.new_id()
        channel = CHANNELS[principal.role]
        who = actor_of(principal) or Actor(principal.name, principal.tenant, channel)

        def work(transaction: Transaction) -> Refusal | None:
            return leads.leave_lead(
                transaction,
                who,
                number,
                contact=data.contact,
                wanted=data.wanted,
                qualification=data.qualification_id,
                address=data.address,
            )

        async def keep() -> Response[dict[str, str]]:
            no = await context.transact(work)
            if no is not None:
                raise refused(_REFUSED, [no])
            return Response({"id": number}, status_code=HTTPStatus.CREATED)

        return await once(request, "lead", keep)

    @get("/v1/leads", guards=guards, tags=tags, summary="Leads and surveys")
    async def listed(
        request: Request[Any, Any, Any],
        in_state: Annotated[State, QueryParameter(name="state")] = "open",
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> list[dict[str, Any]]:
        """Give the tenant's leads of a state, the oldest first."""
        who = reader(request.user)

        def work(transaction: Transaction) -> list[dict[str, Any]]:
            return leads.leads(transaction, who, state=in_state, limit=limit)

        return [_shown(row) for row in await context.transact(work)]

    @post(
        "/v1/leads/{number:str}/survey",
        guards=staff,
        tags=tags,
        status_code=HTTPStatus.OK,
        summary="End a survey",
    )
    async def surveyed(
        request: Request[Any, Any, Any], number: FromPath[str], data: JSONBody[Surveyed]
    ) -> dict[str, Any]:
        """Make a site of the place, or say that service cannot be had there."""
        who = reader(request.user)

        def work(
            transaction: Transaction,
        ) -> dict[str, Any] | Refusal | list[Refusal] | None:
            seal = context.keys.seal
            return leads.survey(transaction, who, number, data.site, seal=seal)

        made = await context.transact(work)
        if made is None:
            raise not_found()
        if isinstance(made, Refusal):
            made = [made]
        if isinstance(made, list):
            raise refused(_REFUSED, made)
        return _shown(made)

    @post(
        "/v1/leads/{number:str}/close",
        guards=guards,
        tags=tags,
        status_code=HTTPStatus.NO_CONTENT,
        summary="Say that a lead was called back",
    )
    async def close(request: Request[Any, Any, Any], number: FromPath[str]) -> None:
        """Close a lead of the tenant's."""
        who = reader(request.user)

        def work(transaction: Transaction) -> bool:
            return leads.close_lead(transaction, who, number)

        if not await context.transact(work):
            raise not_found()

    return [leave, listed, surveyed, close]
