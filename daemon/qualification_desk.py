"""Questions of many at once, answered in batches: one transaction, one thread.

While a batch is answered the next one gathers, so there is no timer, and under load
the batches grow by themselves, as with the journal's blocks.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from daemon import clock
from provisioning.refusal import Refusal
from services.provisioning import Provisioning
from services.qualification import BATCH, Qualification, Query, qualify

WAITING_MAX: Final = 4096
"""Two seconds of work; who comes after that is told to come back, not kept."""


class DeskBusyError(Exception):
    """Too many questions wait; ask again in a second."""


class QualificationDesk:
    """Answers questions in the order in which they come.

    Errors of the store (StorageError) come to everyone whose batch it was.
    """

    def __init__(self, provisioning: Provisioning, *, token_key: bytes = b"") -> None:
        self._provisioning = provisioning
        self._token_key = token_key
        self._waiting: list[tuple[Query, asyncio.Future[Qualification | Refusal]]] = []
        self._working: asyncio.Task[None] | None = None

    async def ask(self, query: Query) -> Qualification | Refusal:
        """Answer one question; raises DeskBusyError or StorageError."""
        if len(self._waiting) >= WAITING_MAX:
            raise DeskBusyError
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((query, future))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        answer: Qualification | Refusal = await future
        return answer

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            queries = [query for query, _ in batch]
            try:
                answers = await asyncio.to_thread(self._answer, queries)
            except Exception as error:  # noqa: BLE001  told to each who waits for it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        self._working = None

    def _answer(self, queries: list[Query]) -> list[Qualification | Refusal]:
        with self._provisioning.transaction(int(clock.now())) as transaction:
            return qualify(
                transaction,
                queries,
                new_id=lambda: secrets.token_hex(12),
                token_key=self._token_key,
            )
