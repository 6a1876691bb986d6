"""What no route can do with: U+0000 anywhere, a body that is not UTF-8, and one that
says a thing twice."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

from litestar import Request

from controlplane.repeated_key import repeated_key
from controlplane.rest.problems import refused
from provisioning.refusal import Refusal
from provisioning.unstorable import REFUSED, has_nul

_NOT_UTF8: Final = Refusal("not_utf8", "", "JSON is UTF-8 (RFC 8259 section 8.1)")

_AT_ONCE: Final = 65_536
"""Characters that are looked through while others wait: a longer text has a thread."""


async def refuse_unreadable(request: Request[Any, Any, Any]) -> None:
    """Refuse a request before anything is done for it."""
    scope, body = request.scope, await request.body()
    named = "\0" in scope["path"] or b"%00" in scope["query_string"]
    if named or has_nul(body):
        raise refused(HTTPStatus.BAD_REQUEST, [REFUSED])
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise refused(HTTPStatus.BAD_REQUEST, [_NOT_UTF8]) from error
    if len(text) > _AT_ONCE:
        twice = await asyncio.to_thread(repeated_key, text)
    else:
        twice = repeated_key(text) if text else None
    if twice is not None:
        raise refused(HTTPStatus.BAD_REQUEST, [twice])
