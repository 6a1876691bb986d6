"""What a subscriber's service has used and has left, and more of it, over REST.

A balance is the ledger's own, as new as the last reports. A top-up is bought for the
period of now; each request buys one more, so that it should carry an Idempotency-Key.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy import Connection

from config.network import Network
from controlplane.rest.authentication import requires
from controlplane.rest.context import Context
from controlplane.rest.idempotency import Idempotency
from controlplane.rest.problems import Problem, not_found
from services import topups
from services.live_balances import balance_of
from services.principal import Principal, Scope


class TopUp(msgspec.Struct, forbid_unknown_fields=True):
    """Which of the tariff's top-ups is bought, by its name."""

    topup: Annotated[str, msgspec.Meta(min_length=1, max_length=253)]


class Bought(msgspec.Struct):
    """What was bought for a service."""

    service: str
    topup: str
    state: Literal["bought"] = "bought"


def _own(network: Network, service: str, principal: Principal) -> None:
    """See to it that a service is the tenant's."""
    found = next((one for one in network.service if one.name == service), None)
    if found is None or not (principal.sees_all or found.isp == principal.tenant):
        raise not_found()


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of balances."""
    tags = ["money"]
    idempotency = Idempotency(context.database, context.clocks.now)

    @get(
        "/v1/services/{name:str}/balance",
        guards=[requires(Scope.USAGE_READ)],
        tags=tags,
        summary="What a service has used, has left and owes for use in a period",
    )
    async def balance(
        request: Request[Any, Any, Any],
        name: FromPath[str],
        at: Annotated[int | None, QueryParameter(ge=0, le=2**40)] = None,
    ) -> dict[str, Any]:
        """Give the balance in the period of ``at`` (epoch seconds), of now without;
        404 where no tariff of the service is in force then."""
        when = context.now() if at is None else at

        def work(connection: Connection) -> dict[str, Any]:
            network = context.network(connection)
            _own(network, name, request.user)
            found = balance_of(connection, network, name, when)
            if found is None:
                raise not_found()
            return found._asdict() | {
                "buckets": [one._asdict() for one in found.buckets],
                "used": [one._asdict() for one in found.used],
            }

        return await context.read(work)

    @post(
        "/v1/services/{name:str}/topups",
        guards=[requires(Scope.ORDERS_WRITE)],
        tags=tags,
        status_code=HTTPStatus.OK,
        summary="Buy a top-up of an allowance for the period of now",
    )
    async def topup(
        request: Request[Any, Any, Any], name: FromPath[str], data: JSONBody[TopUp]
    ) -> Response[Bought]:
        """Buy one; 422 where the service's tariff sells none of that name now."""

        def work() -> bool:
            at = context.now()
            with context.database.write.begin() as connection:
                network = context.network(connection)
                _own(network, name, request.user)
                is_bought = topups.buy(
                    connection, network, name, data.topup, at=at, now=at
                )
                if is_bought:
                    idempotency.keep(connection, request, Bought(name, data.topup))
                return is_bought

        async def once() -> Response[Bought]:
            if not await context.call(work):
                raise Problem(
                    HTTPStatus.UNPROCESSABLE_ENTITY,
                    "topup_not_sold",
                    f"no top-up {data.topup!r} is sold to {name!r} now",
                )
            return Response(Bought(name, data.topup))

        return await idempotency.once(request, f"topups/{name}", once)

    return [balance, topup]
