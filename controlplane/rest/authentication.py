"""Bearer tokens (RFC 6750): who asks, what they may do, how often.

A token that was found is remembered for a few seconds, so that a busy client costs one
look-up and a revoked one is out soon. Every route needs a scope, or says that it is
open: a route that forgot both answers nobody.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import AbstractAuthenticationMiddleware, AuthenticationResult
from litestar.types import ASGIApp

from controlplane.rest.limits import Buckets
from controlplane.rest.problems import Problem
from services.clients import identify
from services.principal import Principal, Role, Scope
from storage.database import Database

REMEMBERED_SECONDS: Final = 5.0
_REMEMBERED_MAX: Final = 10_000
STRANGERS_PER_SECOND: Final = 5.0
STRANGERS_BURST: Final = 50.0
"""Tokens that are none, from one address: each costs a look-up. Clients behind the same
address whose tokens have expired are some of them."""

_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="fairlane"'}

OPEN: Final = "open"
"""The key of a route's ``opt`` that lets anyone ask."""


class Gate:
    """Finds the principal of a token; ``monotonic`` and ``now`` are clocks."""

    def __init__(
        self,
        database: Database,
        *,
        now: Callable[[], float],
        monotonic: Callable[[], float],
        requests: Buckets,
    ) -> None:
        self._database = database
        self._now = now
        self._monotonic = monotonic
        self._requests = requests
        self._strangers = Buckets(STRANGERS_PER_SECOND, STRANGERS_BURST)
        self._remembered: dict[str, tuple[float, Principal]] = {}

    async def admit(self, header: str | None, source: str = "") -> Principal:
        """Give who asks, from which address; raises Problem for a wrong token or a
        client in a hurry. Programs that share a credential are told apart by theirs."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "unauthorized",
                "a bearer token of /oauth/token is needed",
                headers=_CHALLENGE,
            )
        principal = await self._principal(token, source)
        shared = principal.role is Role.CLIENT_SOFTWARE
        asker = f"{principal.client_id} {source}" if shared else principal.client_id
        wait = self._requests.take(asker, self._monotonic())
        if wait:
            raise _hurry("this client asks too often", wait)
        return principal

    async def _principal(self, token: str, source: str) -> Principal:
        at = self._monotonic()
        found = self._remembered.get(token)
        if found is not None and at - found[0] < REMEMBERED_SECONDS:
            return found[1]
        wait = self._strangers.peek(source, at)
        if wait:
            raise _hurry("too many tokens that are none came from there", wait)
        now = int(self._now())
        principal = await asyncio.to_thread(identify, self._database, token, now)
        if principal is None:
            self._remembered.pop(token, None)
            self._strangers.take(source, at)
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "invalid_token",
                "the token is unknown, expired or revoked",
                headers={
                    "WWW-Authenticate": _CHALLENGE["WWW-Authenticate"]
                    + ', error="invalid_token"'
                },
            )
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[token] = (at, principal)
        return principal


def _hurry(detail: str, wait: float) -> Problem:
    headers = {"Retry-After": str(math.ceil(wait))}
    status = HTTPStatus.TOO_MANY_REQUESTS
    return Problem(status, "rate_limited", detail, headers=headers)


class Authentication(AbstractAuthenticationMiddleware):
    """Puts the principal of each request where handlers and guards find it."""

    def __init__(self, app: ASGIApp, gate: Gate) -> None:
        super().__init__(app, exclude_from_auth_key=OPEN)
        self._gate = gate

    async def authenticate_request(
        self, connection: ASGIConnection[Any, Any, Any, Any]
    ) -> AuthenticationResult:
        """Admit a request by its Authorization header."""
        source = connection.client.host if connection.client else ""
        header = connection.headers.get("authorization")
        principal = await self._gate.admit(header, source)
        return AuthenticationResult(user=principal, auth=None)


def requires(
    scope: Scope,
) -> Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]:
    """Make the guard of a route that needs ``scope``."""

    # A coroutine, though it awaits nothing: others are called in a thread each time.
    async def guard(
        connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler
    ) -> None:
        if scope not in connection.user.scopes:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "insufficient_scope",
                f"this needs the scope {scope}",
                headers={
                    "WWW-Authenticate": _CHALLENGE["WWW-Authenticate"]
                    + f', error="insufficient_scope", scope="{scope}"'
                },
            )

    return guard
