"""TMF635 usage, and sessions: what subscribers of the tenant used, as it was reported.

A tenant's sessions are those of its services. The Network Provider sees everyone's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any, Final

from litestar import Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ControllerRouterHandler
from sqlalchemy import Connection

from controlplane.rest.authentication import requires
from controlplane.rest.context import Context
from controlplane.rest.paging import PAGE_MAX, paged
from controlplane.rest.problems import Problem
from services.principal import Principal, Scope
from storage.usage_queries import Filter, list_sessions, list_usage
from storage.usage_states import STATES

BASE: Final = "/tmf-api/usageManagement/v4"

_CHARACTERISTICS: Final = (
    *("acct_session_id", "user_name", "framed_ip_address", "calling_station_id"),
    *("started_at", "ended_at", "seconds", "input_octets", "output_octets"),
    *("input_packets", "output_packets", "derived"),
)

Moment = Annotated[str | None, QueryParameter(max_length=40)]
State = Annotated[str | None, QueryParameter(pattern=f"^({'|'.join(STATES)})$")]


def _at(text: str | None) -> int | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            "invalid_time",
            "a time is written as 2026-01-31T12:00:00Z",
        ) from None


def _usage(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(row["id"]),
        "usageType": "network",
        "usageDate": row["ended_at"],
        "description": f"session {row['acct_session_id']} at {row['nas']}",
        "status": row["status"],
        "usageSpecification": {"name": "RADIUS accounting"},
        "usageCharacteristic": [
            {"name": name, "value": row[name]}
            for name in _CHARACTERISTICS
            if row[name] is not None
        ],
        "@type": "Usage",
    }


def routes(context: Context) -> list[ControllerRouterHandler]:
    """Make the routes of usage and sessions."""
    guards, tags = [requires(Scope.USAGE_READ)], ["usage"]

    async def read(
        rows: Callable[[Connection, Filter], Iterator[dict[str, Any]]],
        principal: Principal,
        offset: int,
        limit: int,
        **wanted: Any,
    ) -> list[dict[str, Any]]:
        tenant = None if principal.sees_all else principal.tenant

        def work(connection: Connection) -> list[dict[str, Any]]:
            found = rows(connection, Filter(tenant=tenant, **wanted))
            return list(islice(found, offset, offset + limit + 1))

        return await context.read(work)

    @get(f"{BASE}/usage", guards=guards, tags=tags, summary="Usage records")
    async def usage(
        request: Request[Any, Any, Any],
        user: Annotated[str | None, QueryParameter(max_length=253)] = None,
        since: Moment = None,
        until: Moment = None,
        status: State = None,
        offset: Annotated[int, QueryParameter(ge=0, le=1_000_000)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> Response[list[dict[str, Any]]]:
        """Give usage records that overlap ``since`` to ``until``, the oldest first, and
        how far the rating of each has come."""
        wanted = {"user": user, "since": _at(since), "until": _at(until)}
        rated = {"status": status, "with_status": True}
        found = await read(list_usage, request.user, offset, limit, **wanted, **rated)
        return paged([_usage(row) for row in found], offset, limit)

    @get("/v1/sessions", guards=guards, tags=tags, summary="Sessions")
    async def sessions(
        request: Request[Any, Any, Any],
        user: Annotated[str | None, QueryParameter(max_length=253)] = None,
        since: Moment = None,
        until: Moment = None,
        offset: Annotated[int, QueryParameter(ge=0, le=1_000_000)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = 100,
    ) -> Response[list[dict[str, Any]]]:
        """Give sessions, the oldest first, as ``fairlane sessions --json`` does."""
        wanted = {"user": user, "since": _at(since), "until": _at(until)}
        found = await read(list_sessions, request.user, offset, limit, **wanted)
        return paged(found, offset, limit)

    return [usage, sessions]
