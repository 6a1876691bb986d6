"""``POST /oauth/token``: OAuth 2.0 client credentials (RFC 6749 sections 2.3.1, 4.4).

Wrong credentials are slow and limited, by client and by source, so that a secret is
not found by trying, and one that tries does not shut the right client out from
elsewhere.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import math
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_plus

from litestar import Request, Response, post
from litestar.types import ControllerRouterHandler

from controlplane.rest.authentication import OPEN
from controlplane.rest.limits import Buckets
from services.clients import Refusal, issue_token
from storage.database import Database

WRONG_SECONDS: Final = 0.5
"""How long a wrong secret waits for its answer; nothing but a timer waits with it."""

_FORM_OCTETS_MAX: Final = 8192
_NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def token_route(
    database: Database,
    *,
    now: Callable[[], float],
    monotonic: Callable[[], float],
    failures: Buckets,
) -> ControllerRouterHandler:
    """Make the route; ``failures`` limits wrong credentials."""

    @post(
        "/oauth/token",
        opt={OPEN: True},
        status_code=HTTPStatus.OK,
        tags=["authentication"],
        summary="A bearer token for client credentials",
    )
    async def issue(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        """Give a token for ``grant_type=client_credentials``."""
        body = await request.body()
        form = _form(body)
        if form is None or "grant_type" not in form:
            return _refuse("invalid_request", "a form with grant_type is needed")
        if form.get("grant_type") != "client_credentials":
            return _refuse("unsupported_grant_type", "only client_credentials")
        said = _credentials(request.headers.get("authorization"), form)
        if said is None:
            return _refuse("invalid_client", "no client credentials")
        source = request.client.host if request.client else ""
        key = f"{source} {said[0]}"
        # Taken before it is known to be wrong: many guesses at once are as many.
        wait = failures.take(key, monotonic())
        if wait:
            return _refuse("slow_down", "too many wrong secrets", math.ceil(wait))
        given = await asyncio.to_thread(
            issue_token, database, *said, form.get("scope", ""), int(now())
        )
        if isinstance(given, Refusal) and given.code == "invalid_client":
            await asyncio.sleep(WRONG_SECONDS)
            return _refuse(given.code, given.detail)
        failures.give_back(key)
        if isinstance(given, Refusal):
            return _refuse(given.code, given.detail)
        answer = {**given._asdict(), "token_type": "Bearer"}
        return Response(answer, headers=_NO_STORE)

    return issue


def _form(body: bytes) -> dict[str, str] | None:
    if len(body) > _FORM_OCTETS_MAX:
        return None
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        return None
    form = dict(pairs)
    # RFC 6749 section 3.2: a parameter may not be included more than once.
    return form if len(form) == len(pairs) else None


def _credentials(header: str | None, form: dict[str, str]) -> tuple[str, str] | None:
    """Read HTTP Basic (each part form-encoded, section 2.3.1), else the form."""
    if header:
        scheme, _, encoded = header.partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            text = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None
        name, colon, secret = text.partition(":")
        return (unquote_plus(name), unquote_plus(secret)) if colon else None
    if form.get("client_id") and form.get("client_secret"):
        return form["client_id"], form["client_secret"]
    return None


_STATUS: Final = {
    "invalid_client": HTTPStatus.UNAUTHORIZED,
    "slow_down": HTTPStatus.TOO_MANY_REQUESTS,
}


def _refuse(
    error: str, description: str, retry_after: int = 0
) -> Response[dict[str, Any]]:
    """Refuse in the form of RFC 6749 section 5.2, which is older than RFC 9457."""
    headers = dict(_NO_STORE)
    if error == "invalid_client":
        headers["WWW-Authenticate"] = 'Basic realm="fairlane"'
    if retry_after:
        headers["Retry-After"] = str(retry_after)
    return Response(
        {"error": error, "error_description": description},
        status_code=_STATUS.get(error, HTTPStatus.BAD_REQUEST),
        headers=headers,
    )
