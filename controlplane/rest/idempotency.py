"""``Idempotency-Key``: the same request again gets the same answer, and is not done.

A key belongs to a client, an operation and a body. The key is written before the work
is done and the answer after it; a repetition in between is told to ask later. Work that
is idempotent by itself (an order's externalId, a purchase's event id) needs no key;
what costs money keeps its answer in its own transaction, so that a process that dies
behind it does not do it twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from sqlalchemy import Connection

from controlplane.rest.problems import Problem
from services.idempotency import Answer, Claim, answer, answer_in, claim, forget
from storage.database import Database

HEADER: Final = "idempotency-key"
_KEY_CHARACTERS_MAX: Final = 255

Work = Callable[[], Awaitable[Response[Any]]]


class Idempotency:
    """Does work once for each key; ``now`` is the time in epoch seconds."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    async def once(
        self, request: Request[Any, Any, Any], operation: str, work: Work
    ) -> Response[Any]:
        """Do ``work``, or give again what it gave for this key and body."""
        key = request.headers.get(HEADER)
        if key is None:
            return await work()
        if not 1 <= len(key) <= _KEY_CHARACTERS_MAX:
            raise Problem(HTTPStatus.BAD_REQUEST, "invalid_idempotency_key")
        client_id = request.user.client_id
        digest = hashlib.sha256(await request.body()).digest()
        found = await asyncio.to_thread(
            claim, self._database, client_id, key, operation, digest, int(self._now())
        )
        match found:
            case Answer(status, body):
                return Response(msgspec.json.decode(body), status_code=status)
            case Claim.IN_PROGRESS:
                raise _in_progress()
            case Claim.CONFLICT:
                raise Problem(
                    HTTPStatus.CONFLICT,
                    "idempotency_conflict",
                    "this key was used for another request",
                )
            case Claim.NEW:
                pass
        try:
            made = await work()
        except Exception:
            # Refused or failed: nothing was done, so the key may be used again.
            await asyncio.to_thread(forget, self._database, client_id, key)
            raise
        await asyncio.to_thread(
            answer,
            self._database,
            client_id,
            key,
            Answer(made.status_code or 200, msgspec.json.encode(made.content)),
        )
        return made

    def keep(
        self, connection: Connection, request: Request[Any, Any, Any], content: Any
    ) -> None:
        """Keep what work gives in the transaction of the work; raises where another
        request with the key has done it."""
        key = request.headers.get(HEADER)
        if key is None:
            return
        given = Answer(HTTPStatus.OK, msgspec.json.encode(content))
        if not answer_in(connection, request.user.client_id, key, given):
            raise _in_progress()


def _in_progress() -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        "in_progress",
        "the first request with this key is still being done",
        headers={"Retry-After": "1"},
    )
