"""Money over REST: purchases and use of a BSP's services, statements and settlement.

A purchase's event id makes it happen once: the same event gets the same answer, another
body under the same id is a conflict. Amounts are in micro-units of the currency.
"""

from __future__ import annotations

from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy import Connection

from controlplane.rest.authentication import requires
from controlplane.rest.context import Context
from controlplane.rest.paging import PAGE_MAX, paged
from controlplane.rest.problems import Problem, not_found
from rating.statement import Line
from rating.statement_csv import csv_lines, header
from services import bsp_usage, purchases, statements
from services.catalogue import Catalogue
from services.principal import Principal, Scope
from services.purchases import Answer, Event

RECORDS_MAX: Final = 10_000
_MONTH: Final = r"^[0-9]{4}-(0[1-9]|1[0-2])$"

Month = Annotated[str, QueryParameter(pattern=_MONTH)]


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of money."""
    tags = ["money"]

    def catalogue() -> Catalogue:
        with context.database.read.connect() as connection:
            return context.catalogue(connection)

    @post(
        "/v1/purchases",
        guards=[requires(Scope.PURCHASES)],
        tags=tags,
        status_code=HTTPStatus.OK,
        summary="Authorise, sell, capture, cancel or refund a purchase",
    )
    async def purchase(
        request: Request[Any, Any, Any], data: JSONBody[Event]
    ) -> dict[str, Any]:
        """Do what an event asks; ``denial`` says why not, 409 is another body."""
        principal: Principal = request.user

        def work() -> Answer:
            return purchases.handle(
                context.database, catalogue(), principal.tenant, data, context.now()
            )

        answer = await context.call(work)
        if answer.conflict:
            raise Problem(
                HTTPStatus.CONFLICT,
                "event_id_conflict",
                f"{data.event_id!r} is the id of another event",
            )
        shown: dict[str, Any] = msgspec.to_builtins(answer)
        return shown

    @post(
        "/v1/bsp-usage",
        guards=[requires(Scope.BSP_USAGE)],
        tags=tags,
        status_code=HTTPStatus.OK,
        summary="Take records of use of a BSP's services",
    )
    async def usage(
        request: Request[Any, Any, Any], data: JSONBody[list[dict[str, Any]]]
    ) -> list[dict[str, Any]]:
        """Take a batch; each record has its receipt, in order."""
        principal: Principal = request.user
        if len(data) > RECORDS_MAX:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "too_many_records",
                f"at most {RECORDS_MAX} at once",
            )

        def work() -> list[bsp_usage.Receipt]:
            received = bsp_usage.receive(
                context.database, catalogue(), principal.tenant, data, context.now()
            )
            return list(received)

        return [msgspec.to_builtins(one) for one in await context.call(work)]

    def recipient(
        connection: Connection, principal: Principal, month: str, name: str | None
    ) -> statements.Recipient:
        """Find whose statement is asked for: the tenant's own, if it is not staff."""
        wanted = principal.tenant if name is None else name
        if not principal.sees_all and wanted != principal.tenant:
            raise not_found()
        network = context.network(connection)
        found = statements.recipient_of(
            network, wanted, month
        ) or statements.former_recipient(connection, wanted, month)
        if found is None:
            raise not_found()
        return found

    @get(
        "/v1/statements/{month:str}",
        guards=[requires(Scope.STATEMENTS)],
        tags=tags,
        summary="A statement's summary",
    )
    async def summary(
        request: Request[Any, Any, Any],
        month: FromPath[str],
        name: Annotated[str | None, QueryParameter(max_length=253)] = None,
    ) -> list[dict[str, Any]]:
        """Give the sums of a month's statement."""

        def work() -> list[dict[str, Any]]:
            with context.database.read.connect() as connection:
                whose = recipient(connection, request.user, month, name)
                last, _ = statements.as_issued(connection, whose)
                found = statements.summary_of(connection, whose, last)
            return [one._asdict() for one in found]

        return await context.call(work)

    @get(
        "/v1/statements/{month:str}/lines",
        guards=[requires(Scope.STATEMENTS)],
        tags=tags,
        summary="A statement's lines",
    )
    async def lines(
        request: Request[Any, Any, Any],
        month: FromPath[str],
        name: Annotated[str | None, QueryParameter(max_length=253)] = None,
        offset: Annotated[int, QueryParameter(ge=0, le=10_000_000)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> Response[Any]:
        """Give a page of lines; ``Accept: text/csv`` gives it as CSV (RFC 4180)."""

        def work(connection: Connection) -> tuple[list[Line], int]:
            whose = recipient(connection, request.user, month, name)
            last, layout = statements.as_issued(connection, whose)
            found = statements.lines_of(connection, whose, last)
            return list(islice(found, offset, offset + limit + 1)), layout

        found, layout = await context.read(work)
        if "text/csv" not in request.headers.get("accept", ""):
            return paged([one._asdict() for one in found], offset, limit)
        text = header(layout) + csv_lines(found[:limit], layout) if found else ""
        return Response(text, media_type="text/csv; charset=utf-8")

    @get(
        "/v1/settlement",
        guards=[requires(Scope.STATEMENTS)],
        tags=tags,
        summary="Everybody's position in a month",
    )
    async def settlement(
        request: Request[Any, Any, Any], month: Month
    ) -> list[dict[str, Any]]:
        """Give the positions of a month, which sum to zero; a party sees its own."""
        principal: Principal = request.user

        def work() -> list[statements.Position]:
            with context.database.read.connect() as connection:
                return statements.settlement_of(connection, month)

        return [
            one._asdict()
            for one in await context.call(work)
            if principal.sees_all or one.owner == principal.tenant
        ]

    return [purchase, usage, summary, lines, settlement]
