"""The HTTP application: health, metrics, and its own description.

What it shows is handed to it as functions; it neither opens a store nor knows a role.
/livez says that this loop turns and nothing else, because a restart is what follows
when it fails.  /readyz is red when any check is.  Errors are RFC 9457 problem details
with a stable code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get
from litestar.exceptions import HTTPException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ControllerRouterHandler

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PROBLEM_TYPE = "application/problem+json"


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
) -> Litestar:
    """Make the application; ``checks`` and ``metrics`` must answer without waiting."""

    @get("/livez", sync_to_thread=False, media_type=MediaType.TEXT, tags=["health"])
    def livez() -> str:
        """Say that the process lives."""
        return "ok\n"

    @get(
        "/readyz",
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

    @get("/metrics", sync_to_thread=True, tags=["health"])
    def show_metrics() -> Response[bytes]:
        """Show the metrics of all roles in Prometheus's text format."""
        return Response(metrics(), media_type=METRICS_TYPE)

    @get("/openapi.json", sync_to_thread=False, include_in_schema=False)
    def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """Describe this interface."""
        return Response(
            request.app.openapi_schema.to_schema(),
            media_type="application/vnd.oai.openapi+json",
        )

    handlers: list[ControllerRouterHandler] = [livez, readyz, show_metrics, openapi]
    return Litestar(
        route_handlers=handlers,
        openapi_config=OpenAPIConfig(
            title="Fairlane",
            version=version,
            # Only the document: pages that show it would load scripts from elsewhere.
            render_plugins=[JsonRenderPlugin()],
        ),
        exception_handlers={HTTPException: _problem, Exception: _fault},
        logging_config=None,
    )


def _line(check: Check) -> str:
    mark = "[+]" if check.healthy else "[-]"
    return f"{mark} {check.name} {'ok' if check.healthy else 'failed'}" + (
        f": {check.detail}\n" if check.detail else "\n"
    )


def _problem(
    request: Request[Any, Any, Any], error: HTTPException
) -> Response[dict[str, Any]]:
    status = HTTPStatus(error.status_code)
    return _details(status, status.phrase.lower().replace(" ", "_"), error.detail)


def _fault(
    request: Request[Any, Any, Any], error: Exception
) -> Response[dict[str, Any]]:
    # What went wrong inside is for the log, not for a stranger.
    return _details(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "")


def _details(status: HTTPStatus, code: str, detail: str) -> Response[dict[str, Any]]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "code": code,
    }
    if detail and detail != status.phrase:
        body["detail"] = detail
    return Response(body, status_code=status, media_type=PROBLEM_TYPE)
