"""Refusals over HTTP: RFC 9457 problem details, each with a stable code.

``code`` is for programs and never changes; ``detail`` is for people. What is wrong
with a body is listed in ``errors``, each with a JSON pointer (RFC 6901) to the place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from provisioning.refusal import Refusal
from storage.database import StorageError
from telemetry import logs

PROBLEM_TYPE = "application/problem+json"

_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")
_STEP = re.compile(r"\[(\d+|\.\.\.)\]|([^.\[\]]+)")

log = logs.get_logger("rest")


class Error(NamedTuple):
    """One thing that is wrong with a body: where, a code, and words."""

    pointer: str
    code: str
    detail: str


class Problem(Exception):  # noqa: N818 - an outcome, not an error
    """Raised by a handler to refuse: the status, the code, and what to say."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str = "",
        *,
        errors: Sequence[Error] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.headers = errors, dict(headers or {})


def not_found() -> Problem:
    """Say that there is no such object, or that it is another tenant's."""
    return Problem(HTTPStatus.NOT_FOUND, "not_found")


def refused(status: HTTPStatus, refusals: Sequence[Refusal]) -> Problem:
    """Say what of a body was refused, and where; the first one names the problem."""
    errors = [Error(one.pointer, one.code, one.reason) for one in refusals]
    return Problem(status, refusals[0].code, refusals[0].reason, errors=errors)


def on_problem(request: Request[Any, Any, Any], problem: Problem) -> Response[Any]:
    """Answer what a handler refused."""
    return _details(
        problem.status,
        problem.code,
        problem.detail,
        errors=problem.errors,
        headers=problem.headers,
    )


def on_http_exception(
    request: Request[Any, Any, Any], error: HTTPException
) -> Response[Any]:
    """Answer what the framework refused: no route, a method, a body."""
    status = HTTPStatus(error.status_code)
    if isinstance(error, ValidationException):
        errors = [_error(item) for item in _listed(error.extra)]
        return _details(status, "invalid_request", "", errors=errors)
    code = status.phrase.lower().replace(" ", "_")
    headers = {k: v for k, v in (error.headers or {}).items() if k.lower() == "allow"}
    return _details(status, code, error.detail, headers=headers)


def on_storage_error(
    request: Request[Any, Any, Any], error: StorageError
) -> Response[Any]:
    """Say that the database is away; nothing was done, so it may be asked again."""
    log.error("the database refused", error=str(error).splitlines()[0])
    return _details(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "database_unavailable",
        "nothing was changed; ask again",
        headers={"Retry-After": "5"},
    )


def on_busy(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Say that too many wait already: nothing was done, so it may be asked again."""
    return _details(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "busy",
        "too many requests wait; ask again",
        headers={"Retry-After": "1"},
    )


def on_depth(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Say that a body nests deeper than anything that is asked for."""
    return _details(HTTPStatus.BAD_REQUEST, "nested_too_deeply", "")


def on_fault(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Answer a bug: what went wrong inside is for the log, not for a stranger."""
    log.error("request failed", path=request.url.path, exc_info=error)
    return _details(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "")


def pointer(path: str) -> str:
    """Turn the framework's ``a.b[0].c`` into the JSON pointer ``/a/b/0/c``."""
    if path == "data":
        return ""
    steps = [number or name for number, name in _STEP.findall(path)]
    return "".join("/" + s.replace("~", "~0").replace("/", "~1") for s in steps)


def _listed(extra: Any) -> list[Mapping[str, Any]]:
    return [item for item in extra if isinstance(item, Mapping)] if extra else []


def _error(item: Mapping[str, Any]) -> Error:
    message, key = str(item.get("message", "")), str(item.get("key", ""))
    where = pointer(key) if item.get("source", "body") == "body" else f"?{key}"
    unknown = _UNKNOWN_FIELD.search(message)
    if unknown:
        return Error(where + pointer(unknown[1]), "unknown_field", "no such field")
    if message == f"'{key}'":
        return Error(where, "missing", "is required")
    return Error(where, "invalid", message.replace("`", ""))


def _details(
    status: HTTPStatus,
    code: str,
    detail: str,
    *,
    errors: Sequence[Error] = (),
    headers: Mapping[str, str] | None = None,
) -> Response[Any]:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": int(status),
        "code": code,
    }
    if detail and detail != status.phrase:
        body["detail"] = detail
    if errors:
        body["errors"] = [error._asdict() for error in errors]
    return Response(
        body, status_code=status, media_type=PROBLEM_TYPE, headers=dict(headers or {})
    )
