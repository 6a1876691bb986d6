"""Answers that must be confirmed are told after that, and batches go on meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

from controlplane.desk import Desk


class _Slow:
    """Answers at once, and confirms when a test lets it; fails the confirmations that
    it is told to fail."""

    def __init__(self, *fails: int) -> None:
        self.answered: list[int] = []
        self.fourth = threading.Event()
        self.go = threading.Event()
        self.confirmed = 0
        self._fails = fails

    def answer(self, numbers: Sequence[int]) -> Sequence[int]:
        self.answered += numbers
        if len(self.answered) > 3:  # so two before it wait behind the first
            self.fourth.set()
        return numbers

    def confirm(self) -> None:
        number, self.confirmed = self.confirmed, self.confirmed + 1
        assert self.go.wait(30)
        if number in self._fails:
            raise OSError("the disk")


async def _ask(slow: _Slow, count: int) -> tuple[list[bool], list[Any]]:
    desk: Desk[int, int] = Desk(slow.answer, 1, slow.confirm)
    asked = [asyncio.ensure_future(desk.ask(number)) for number in range(count)]
    await asyncio.to_thread(slow.fourth.wait, 30)
    told = [one.done() for one in asked]
    slow.go.set()
    return told, await asyncio.gather(*asked, return_exceptions=True)


def test_nothing_is_told_before_it_is_confirmed() -> None:
    """Others are answered while the first waits; one wait confirms several of them."""
    slow = _Slow()
    told, answers = asyncio.run(_ask(slow, 40))

    assert [False] * 40 == told
    assert list(range(40)) == answers
    assert slow.confirmed < 40


def test_who_is_not_confirmed_hears_why() -> None:
    """Those who waited for the confirmation that failed, and nobody after them."""
    told, answers = asyncio.run(_ask(_Slow(0), 40))

    assert [False] * 40 == told
    assert isinstance(answers[0], OSError)
    assert list(range(40))[-1:] == answers[-1:]
