"""Questions of many at once, answered in batches: one transaction, one thread.

While a batch is answered the next one gathers, so there is no timer, and under load
the batches grow by themselves, as with the journal's blocks. Where answers must be
confirmed before they are told, one wait confirms all that there are, and the next batch
is answered meanwhile. Qualifications and orders each have a desk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

WAITING_MAX: Final = 4096
"""Two seconds of work; who comes after that is told to come back, not kept."""


_UNTOLD_MAX: Final = 8
"""Batches that may wait to be confirmed; a disk that is slower makes the desk wait."""


class DeskBusyError(Exception):
    """Too many questions wait; ask again in a second."""


class Desk(Generic[Question, Answer]):
    """Answers questions in the order in which they come.

    ``answer`` is called in a thread with at most ``batch`` questions and gives as many
    answers. What it raises comes to everyone whose batch it was: nothing of it is
    kept, and each may ask again. ``confirm``, in another thread, lets answers be told
    that were given before it was called; what it raises comes to those who wait for it,
    and what was answered may have been kept. ``answered`` is called after each batch.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Question]], Sequence[Answer]],
        batch: int,
        confirm: Callable[[], None] | None = None,
    ) -> None:
        self._answer = answer
        self._batch = batch
        self._confirm = confirm
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._working: asyncio.Task[None] | None = None
        self._untold: list[tuple[list[asyncio.Future[Answer]], Sequence[Answer]]] = []
        self._confirming: asyncio.Task[None] | None = None
        self.answered: Callable[[], None] | None = None

    async def ask(self, question: Question) -> Answer:
        """Answer one question; raises DeskBusyError or what the answer raises."""
        if len(self._waiting) >= WAITING_MAX:
            raise DeskBusyError
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        size = self._batch
        while self._waiting:
            batch, self._waiting = self._waiting[:size], self._waiting[size:]
            futures = [future for _, future in batch]
            try:
                answers = await asyncio.to_thread(self._answer, [q for q, _ in batch])
            except Exception as error:  # noqa: BLE001  told to each who waits for it
                _fail(futures, error)
                continue
            if self.answered is not None:
                self.answered()
            if self._confirm is None:
                _tell(futures, answers)
                continue
            self._untold.append((futures, answers))
            if self._confirming is None:
                self._confirming = asyncio.create_task(self._tell_all(self._confirm))
            elif len(self._untold) >= _UNTOLD_MAX:
                await self._confirming
        self._working = None

    async def _tell_all(self, confirm: Callable[[], None]) -> None:
        while self._untold:
            given, self._untold = self._untold, []
            try:
                await asyncio.to_thread(confirm)
            except Exception as error:  # noqa: BLE001  told to each who waits for it
                for futures, _ in given:
                    _fail(futures, error)
                continue
            for futures, answers in given:
                _tell(futures, answers)
        self._confirming = None


def _tell(futures: Sequence[asyncio.Future[Answer]], answers: Sequence[Answer]) -> None:
    for future, answer in zip(futures, answers, strict=True):
        if not future.done():
            future.set_result(answer)


def _fail(futures: Sequence[asyncio.Future[Answer]], error: Exception) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(error)
