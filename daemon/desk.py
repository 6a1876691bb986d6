"""Questions of many at once, answered in batches: one transaction, one thread.

While a batch is answered the next one gathers, so there is no timer, and under load
the batches grow by themselves, as with the journal's blocks. Qualifications and orders
each have a desk.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

WAITING_MAX: Final = 4096
"""Two seconds of work; who comes after that is told to come back, not kept."""


class DeskBusyError(Exception):
    """Too many questions wait; ask again in a second."""


class Desk(Generic[Question, Answer]):
    """Answers questions in the order in which they come.

    ``answer`` is called in a thread with at most ``batch`` questions and gives as many
    answers. What it raises comes to everyone whose batch it was: nothing of it is
    kept, and each may ask again.
    """

    def __init__(
        self, answer: Callable[[Sequence[Question]], Sequence[Answer]], batch: int
    ) -> None:
        self._answer = answer
        self._batch = batch
        self._waiting: list[tuple[Question, asyncio.Future[Answer]]] = []
        self._working: asyncio.Task[None] | None = None

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
            questions = [question for question, _ in batch]
            try:
                answers = await asyncio.to_thread(self._answer, questions)
            except Exception as error:  # noqa: BLE001  told to each who waits for it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
        self._working = None
