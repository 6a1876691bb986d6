"""Activation for client software: its order after a reboot, and what is not well.

The resume token that came with the order says which one it is: programs of a kind share
a credential, so who asks says nothing. A token that is not ours is 404, like an order
that is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from controlplane.rest.authentication import requires
from controlplane.rest.context import Context
from controlplane.rest.problems import not_found
from provisioning.order_view import service_order
from services.activation import Activation, Observation, activation, report
from services.principal import Principal, Role, Scope
from services.provisioning import Transaction

_Text = Annotated[str, Meta(min_length=1, max_length=200)]
_Long = Annotated[str, Meta(max_length=200)]


class Seen(msgspec.Struct):
    """One check that the program made itself, such as a name that it looked up."""

    name: _Text
    ok: bool
    detail: _Long = ""


class Report(msgspec.Struct):
    """What a program sees from its side of the line."""

    checks: Annotated[list[Seen], Meta(max_length=20)]


def _shown(found: Activation) -> dict[str, Any]:
    return {
        "order": service_order(found.order),
        "next": found.next.value,
        "checks": [
            {**one._asdict(), "next": one.next.value if not one.ok else None}
            for one in found.checks
        ],
    }


def _may_see(principal: Principal, found: Activation) -> bool:
    """Client software has the token alone; an ISP sees no other's order by it."""
    software = principal.role is Role.CLIENT_SOFTWARE
    return software or principal.sees_all or found.order.tenant == principal.tenant


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of activation."""
    tags, read = ["activation"], [requires(Scope.ORDERS_READ)]
    write = [requires(Scope.ORDERS_WRITE)]
    key = context.keys.token_key

    async def find(
        principal: Principal, token: str, seen: Sequence[Observation] = ()
    ) -> dict[str, Any]:
        def work(transaction: Transaction) -> Activation | None:
            found = activation(transaction, token, key)
            if found is None or not _may_see(principal, found):
                return None
            report(transaction, found, seen)
            return found

        found = await context.transact(work)
        if found is None:
            raise not_found()
        return _shown(found)

    @get(
        "/v1/activations/{token:str}",
        guards=read,
        tags=tags,
        summary="How far an activation is, and what to do next",
    )
    async def show(
        request: Request[Any, Any, Any], token: FromPath[str]
    ) -> dict[str, Any]:
        """Give the order of a resume token with a diagnosis."""
        return await find(request.user, token)

    @post(
        "/v1/activations/{token:str}/reports",
        guards=write,
        tags=tags,
        status_code=200,
        summary="Report what is not well from the subscriber's side",
    )
    async def tell(
        request: Request[Any, Any, Any], token: FromPath[str], data: JSONBody[Report]
    ) -> dict[str, Any]:
        """Take a program's own checks; what failed is an alert of its order."""
        seen = [Observation(one.name, one.ok, one.detail) for one in data.checks]
        return await find(request.user, token, seen)

    return [show, tell]
