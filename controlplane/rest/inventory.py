"""The inventory over REST: every kind of object listed, read, made, changed, retired.

An object's ``ETag`` is its revision (RFC 9110 section 8.8.3); who changes it says in
``If-Match`` which one he saw, so that two people do not undo each other's work. A
change is a JSON merge patch (RFC 7396), since secrets are never shown and so cannot be
sent back. With ``dry_run`` the difference is answered and nothing done. ``isp`` names
the ISP that the Network Provider's staff act for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final

from litestar import Request, Response, delete, get, patch, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy import Connection

from config.moment import moment
from config.row import redacted
from controlplane.channels import actor_of
from controlplane.rest.authentication import requires
from controlplane.rest.context import Context
from controlplane.rest.paging import PAGE_MAX, paged
from controlplane.rest.problems import Problem, not_found, refused
from services import inventory
from services.actor import Actor
from services.inventory_edit import Edit, Edited, No, edit, find
from services.principal import Principal, Scope
from services.provisioning import Transaction

_ETAG: Final = re.compile(r'"(\d{1,18})"')
_NO: Final[dict[No, tuple[HTTPStatus, str, str]]] = {
    No.NOT_FOUND: (HTTPStatus.NOT_FOUND, "not_found", ""),
    No.NOT_ALLOWED: (
        HTTPStatus.FORBIDDEN,
        "kind_not_yours",
        "this is changed by orders, or by the Network Provider",
    ),
    No.NAME_TAKEN: (HTTPStatus.CONFLICT, "name_taken", "choose another name"),
    No.CHANGED_MEANWHILE: (
        HTTPStatus.PRECONDITION_FAILED,
        "changed_meanwhile",
        "read it again and decide anew",
    ),
}

Named = Annotated[str | None, QueryParameter(max_length=128)]
Reason = Annotated[str, QueryParameter(max_length=500)]
IfMatch = "if-match"


def _actor(principal: Principal, isp: str | None) -> Actor:
    actor = actor_of(principal, isp)
    if actor is None:
        detail = "this client may not act for that ISP"
        raise Problem(HTTPStatus.FORBIDDEN, "isp_not_allowed", detail)
    return actor


def _known(kind: str) -> str:
    if kind not in inventory.ALL_KINDS:
        raise not_found()
    return kind


def _revision(request: Request[Any, Any, Any]) -> int:
    """Read If-Match, which must name one revision."""
    said = request.headers.get(IfMatch)
    if said is None:
        detail = "say with If-Match which ETag you saw"
        raise Problem(HTTPStatus.PRECONDITION_REQUIRED, "if_match_missing", detail)
    match = _ETAG.fullmatch(said.strip())
    return int(match[1]) if match else -1  # of no revision: it changed


def _body(data: Any) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        detail = "must be a JSON object"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid_body", detail)
    return data


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of the inventory."""
    read = [requires(Scope.INVENTORY_READ)]
    write = [requires(Scope.INVENTORY_WRITE)]
    tags = ["inventory"]

    async def editing(
        request: Request[Any, Any, Any],
        asked: Edit,
        isp: str | None,
        *,
        dry_run: bool,
    ) -> Response[Any]:
        actor = _actor(request.user, isp)

        def work(transaction: Transaction) -> Edited | No | list[Any]:
            return edit(
                transaction, actor, asked, seal=context.keys.seal, dry_run=dry_run
            )

        done = await context.transact(work)
        if isinstance(done, No):
            status, code, detail = _NO[done]
            raise Problem(status, code, detail)
        if isinstance(done, list):
            raise refused(HTTPStatus.UNPROCESSABLE_ENTITY, done)
        if dry_run or done.after is None:
            difference = {"before": done.before, "after": done.after}
            return Response(difference, status_code=HTTPStatus.OK)
        headers = {"ETag": f'"{done.revision}"'}
        status = HTTPStatus.OK
        if asked.name is None:
            name = inventory.name_of(done.after)
            headers["Location"] = f"/v1/inventory/{asked.kind}/{name}"
            status = HTTPStatus.CREATED
        return Response(done.after, status_code=status, headers=headers)

    @get("/v1/inventory", guards=read, tags=tags, summary="The kinds of objects")
    async def kinds(request: Request[Any, Any, Any]) -> list[str]:
        """Name the kinds that the tenant may have objects of."""
        mine = inventory.ALL_KINDS if request.user.sees_all else inventory.OWNED_BY
        return sorted(mine)

    @get("/v1/inventory/{kind:str}", guards=read, tags=tags, summary="Objects")
    async def listed(
        request: Request[Any, Any, Any],
        kind: FromPath[str],
        isp: Named = None,
        offset: Annotated[int, QueryParameter(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> Response[list[Any]]:
        """List the tenant's objects of a kind by name, secrets blotted out."""
        actor = _actor(request.user, isp)
        of = _known(kind)

        def work(connection: Connection) -> list[Any]:
            tenant = actor.isp or actor.sees
            rows = inventory.page(connection, of, tenant, offset, limit + 1)
            return [redacted(one) for one in rows]

        return paged(await context.read(work), offset, limit)

    @get(
        "/v1/inventory/{kind:str}/{name:str}",
        guards=read,
        tags=tags,
        summary="One object",
    )
    async def one(
        request: Request[Any, Any, Any],
        kind: FromPath[str],
        name: FromPath[str],
        isp: Named = None,
    ) -> Response[dict[str, Any]]:
        """Give one object of the tenant's, with its revision as ETag."""
        actor = _actor(request.user, isp)
        of = _known(kind)
        tenant = actor.isp or actor.sees
        found = await context.read(lambda c: find(c, of, name, tenant))
        if found is None:
            raise not_found()
        return Response(found.body, headers={"ETag": f'"{found.revision}"'})

    @post("/v1/inventory/{kind:str}", guards=write, tags=tags, summary="A new object")
    async def make(
        request: Request[Any, Any, Any],
        kind: FromPath[str],
        data: JSONBody[dict[str, Any]],
        isp: Named = None,
        reason: Reason = "",
        *,
        dry_run: FromQuery[bool] = False,
    ) -> Response[Any]:
        """Make an object; what is an ISP's by its credential need not say so."""
        asked = Edit(_known(kind), None, _body(data), None, reason)
        return await editing(request, asked, isp, dry_run=dry_run)

    @patch(
        "/v1/inventory/{kind:str}/{name:str}",
        guards=write,
        tags=tags,
        summary="Change an object",
    )
    async def change(
        request: Request[Any, Any, Any],
        kind: FromPath[str],
        name: FromPath[str],
        data: JSONBody[dict[str, Any]],
        isp: Named = None,
        reason: Reason = "",
        *,
        dry_run: FromQuery[bool] = False,
    ) -> Response[Any]:
        """Merge a patch into an object, from the revision in If-Match."""
        asked = Edit(_known(kind), name, _body(data), _revision(request), reason)
        return await editing(request, asked, isp, dry_run=dry_run)

    @delete(
        "/v1/inventory/{kind:str}/{name:str}",
        guards=write,
        tags=tags,
        status_code=HTTPStatus.OK,
        summary="Retire an object",
    )
    async def retire(
        request: Request[Any, Any, Any],
        kind: FromPath[str],
        name: FromPath[str],
        isp: Named = None,
        reason: Reason = "",
        *,
        dry_run: FromQuery[bool] = False,
    ) -> Response[Any]:
        """Take an object away that nothing refers to; the change log keeps it."""
        asked = Edit(_known(kind), name, None, _revision(request), reason)
        return await editing(request, asked, isp, dry_run=dry_run)

    @get("/v1/changes", guards=read, tags=tags, summary="The change log")
    async def log(
        request: Request[Any, Any, Any],
        kind: Named = None,
        name: Named = None,
        before: Annotated[int | None, QueryParameter(ge=0, le=2**63 - 1)] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> list[dict[str, Any]]:
        """Say who changed what of the tenant's, the newest first; read on with
        ``before`` the last number."""
        tenant = None if request.user.sees_all else request.user.tenant

        def work(connection: Connection) -> list[dict[str, Any]]:
            rows = inventory.log_of(
                connection,
                kind=kind,
                name=name,
                tenant=tenant,
                before=before,
                limit=limit,
            )
            return [{**row, "at": moment(row["at"])} for row in rows]

        found: list[dict[str, Any]] = await context.read(work)
        return found

    return [kinds, listed, one, make, change, retire, log]
