"""Questions to ISPs and BSPs: a signed POST to the webhook that they registered for it.

A party registers a webhook whose query names the kind (``eventType=identity``, ``bsp``
or ``bsp-remove``); without one the question fails with that reason and comes again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import msgspec

from controlplane.foreign_json import UnreadableError, read_json
from controlplane.question import question
from controlplane.webhooks.callbacks import CallbackError, Callbacks
from controlplane.webhooks.signature import headers
from provisioning.outcomes import Done, Outcome, Refused, Trouble
from services import webhooks
from services.order_manager import Call
from storage.database import Database

_REFUSALS: Final = frozenset({HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
_ANSWER_OCTETS: Final = 65_536
_SECONDS: Final = 300.0
"""The longest that anything waits; who asks waits for less."""


class _Problem(msgspec.Struct):
    code: str = "refused"
    detail: str = ""
    reason: str = ""


class Questions:
    """Asks over HTTP; ``now`` tells the epoch seconds. ``close`` ends connections."""

    def __init__(
        self, database: Database, now: Callable[[], float], *, allow_private: bool
    ) -> None:
        self._database = database
        self._now = now
        self._callbacks = Callbacks(allow_private=allow_private, seconds=_SECONDS)

    async def ask(self, call: Call) -> Outcome:
        """Ask once; the caller bounds the time."""
        told = await asyncio.to_thread(
            webhooks.asked_for, self._database, call.party, call.kind.value
        )
        if told is None:
            return Trouble(f"{call.party} has no webhook for {call.kind.value}")
        body = msgspec.json.encode(question(call))
        signed = headers(told.secret, call.key, body, int(self._now()))
        try:
            status, content = await self._callbacks.post(
                *(told.callback, body, signed), read=_REFUSALS, octets=_ANSWER_OCTETS
            )
        except CallbackError as error:
            return Trouble(str(error))
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Done()
        if status in _REFUSALS:
            try:
                said = read_json(content, _Problem)
            except UnreadableError:
                said = _Problem()
            return Refused(said.code, said.detail or said.reason)
        return Trouble(f"HTTP {status}")

    async def close(self) -> None:
        """Close what is open."""
        await self._callbacks.close()
