"""The HTTP application: health, metrics, and its own description.

What it shows of the daemon is handed to it as functions; it knows no role. /livez says
that this loop turns and nothing else, because a restart is what follows when it fails.
/readyz is red when any check is. Errors are RFC 9457 problem details.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from litestar import Litestar, MediaType, Request, Response, Router, get
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, OAuthFlow, OAuthFlows, SecurityScheme
from litestar.types import ControllerRouterHandler

from controlplane.desk import DeskBusyError
from controlplane.rest import (
    activation,
    addresses,
    balances,
    hub,
    inventory,
    leads,
    money,
    service_orders,
    service_qualification,
    usage,
)
from controlplane.rest.authentication import OPEN, Authentication, Gate
from controlplane.rest.context import Context
from controlplane.rest.limits import Buckets
from controlplane.rest.oauth import token_route
from controlplane.rest.problems import (
    Problem,
    on_busy,
    on_depth,
    on_fault,
    on_http_exception,
    on_problem,
    on_storage_error,
)
from controlplane.rest.texts import refuse_unreadable
from services.principal import Scope
from storage.database import StorageError

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BODY_OCTETS_MAX = 4 * 1024 * 1024

REQUESTS_PER_SECOND = 1000.0
REQUESTS_BURST = 2000.0
"""A client's requests: more than one client needs, less than would starve another."""

FAILURES_PER_SECOND = 1 / 12
FAILURES_BURST = 5.0
"""Wrong secrets of a client from a source: five at once, then one in twelve seconds."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be well before this daemon is; ``detail`` is for people."""

    name: str
    healthy: bool
    detail: str = ""


def build(
    *,
    checks: Callable[[], list[Check]],
    metrics: Callable[[], bytes],
    version: str,
    context: Context,
) -> Litestar:
    """Make the application; ``checks`` and ``metrics`` must answer without waiting."""

    @get(
        "/livez",
        opt={OPEN: True},
        sync_to_thread=False,
        media_type=MediaType.TEXT,
        tags=["health"],
    )
    def livez() -> str:
        """Say that the process lives."""
        return "ok\n"

    @get(
        "/readyz",
        opt={OPEN: True},
        sync_to_thread=False,
        media_type=MediaType.TEXT,
        tags=["health"],
        summary="Readiness; with ?verbose a line for each check",
    )
    def readyz(request: Request[Any, Any, Any]) -> Response[str]:
        """Say whether every check is green: 200, else 503."""
        found = checks()
        healthy = bool(found) and all(check.healthy for check in found)
        text = "ready\n" if healthy else "not ready\n"
        if "verbose" in request.query_params:
            text = "".join(_line(check) for check in found) + text
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        return Response(text, status_code=status, media_type=MediaType.TEXT)

    # A thread of its own: while the database hangs, all others may wait for it.
    scrapes = ThreadPoolExecutor(1, thread_name_prefix="metrics")

    @get("/metrics", opt={OPEN: True}, tags=["health"])
    async def show_metrics() -> Response[bytes]:
        """Show the metrics of all roles in Prometheus's text format."""
        loop = asyncio.get_running_loop()
        text = await loop.run_in_executor(scrapes, metrics)
        return Response(text, media_type=METRICS_TYPE)

    @get(
        "/openapi.json",
        opt={OPEN: True},
        sync_to_thread=False,
        include_in_schema=False,
    )
    def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """Describe this interface."""
        return Response(
            request.app.openapi_schema.to_schema(),
            media_type="application/vnd.oai.openapi+json",
        )

    database, clocks = context.database, context.clocks
    gate = Gate(
        database,
        now=clocks.now,
        monotonic=clocks.monotonic,
        requests=Buckets(REQUESTS_PER_SECOND, REQUESTS_BURST),
    )
    token = token_route(
        database,
        now=clocks.now,
        monotonic=clocks.monotonic,
        failures=Buckets(FAILURES_PER_SECOND, FAILURES_BURST),
    )
    handlers: list[ControllerRouterHandler] = [
        livez,
        readyz,
        show_metrics,
        openapi,
        token,
        *hub.routes(context),
        *inventory.routes(context),
        *service_orders.routes(context),
        *activation.routes(context),
        *service_qualification.routes(context),
        *leads.routes(context),
        *usage.routes(context),
        *addresses.routes(context),
        *money.routes(context),
        *balances.routes(context),
    ]
    return Litestar(
        route_handlers=handlers,
        middleware=[DefineMiddleware(Authentication, gate=gate)],
        before_request=refuse_unreadable,
        request_max_body_size=BODY_OCTETS_MAX,
        openapi_config=OpenAPIConfig(
            title="Fairlane",
            version=version,
            # Only the document: pages that show it would load scripts from elsewhere.
            render_plugins=[JsonRenderPlugin()],
            openapi_router=Router(
                "/schema", route_handlers=[], opt={OPEN: True}, include_in_schema=False
            ),
            components=Components(security_schemes={"oauth2": _OAUTH2}),
        ),
        exception_handlers={
            Problem: on_problem,
            HTTPException: on_http_exception,
            StorageError: on_storage_error,
            DeskBusyError: on_busy,
            RecursionError: on_depth,
            Exception: on_fault,
        },
        logging_config=None,
    )


_OAUTH2 = SecurityScheme(
    type="oauth2",
    flows=OAuthFlows(
        client_credentials=OAuthFlow(
            token_url="/oauth/token",  # noqa: S106 - a path
            scopes={str(scope): scope.name.lower() for scope in Scope},
        )
    ),
)


def _line(check: Check) -> str:
    mark = "[+]" if check.healthy else "[-]"
    return f"{mark} {check.name} {'ok' if check.healthy else 'failed'}" + (
        f": {check.detail}\n" if check.detail else "\n"
    )
