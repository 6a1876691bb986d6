"""What no route can do with: U+0000 in a path, a query or a body."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from litestar import Request

from controlplane.rest.problems import refused
from provisioning.unstorable import REFUSED, has_nul


async def refuse_nul(request: Request[Any, Any, Any]) -> None:
    """Refuse a request before anything is done for it."""
    scope = request.scope
    named = "\0" in scope["path"] or b"%00" in scope["query_string"]
    if named or has_nul(await request.body()):
        raise refused(HTTPStatus.BAD_REQUEST, [REFUSED])
