"""The provisioning manager at work in the role ``control``.

A loop with one thread for the database: release what expired, listen for subscribers
who have come on, take orders a step further, settle answers. Between the steps the
calls of the last one are made, many at a time, each within the time it has; a call
without a transport or without an answer is trouble like any other and tried again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from daemon import clock
from provisioning.outcomes import Outcome, Trouble
from provisioning.task_graph import Kind
from services.adapters import Ports
from services.order_manager import (
    ORDERS_AT_ONCE,
    Call,
    Step,
    is_due,
    ring,
    settle,
    step,
)
from services.provisioning import Provisioning
from services.qualification_life import EXPIRED_AT_ONCE, expire
from storage import service_records
from storage.database import StorageError
from telemetry import logs, metrics

log = logs.get_logger("daemon.provisioning_manager")

IDLE_SECONDS: Final = 0.2
"""Between two looks when nothing is due: a fifth of the second in which a change of
service has to be effective."""

GATHER_SECONDS: Final = 0.02
"""Between two steps while there is work: orders that come meanwhile share the next one,
whose statements and commit cost the same for one as for a hundred."""

EXPIRIES: Final = 4
"""Transactions between two steps that end answers whose time is over: 2,500 answers a
second, which is more than are given. Others take their turn in between."""

CALLS_AT_ONCE: Final = 256
"""Questions that are under way; more wait, and their deadlines with them."""

Transport = Callable[[Call], Awaitable[Outcome]]
"""Asks one party and gives its answer; may raise OSError or TimeoutError. The key of
the call goes along, so that a question that comes twice is answered twice the same."""


class ProvisioningManager:
    """Carries orders out until cancelled.

    ``transports`` has one for each kind that is asked of others (``identity``,
    ``device``, ``bsp`` and the removal of these two); a kind without one fails with
    that reason.
    """

    def __init__(
        self,
        provisioning: Provisioning,
        ports: Ports,
        transports: Mapping[Kind, Transport],
    ) -> None:
        self._provisioning = provisioning
        self._ports = ports
        self._transports = transports
        self._chance = random.SystemRandom()
        self._answers: list[tuple[Call, Outcome]] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(CALLS_AT_ONCE)
        self._session: int | None = None
        self._bell = asyncio.Event()
        self.failure: str | None = None

    def ring(self) -> None:
        """Look at once: an order has come."""
        self._bell.set()

    async def run(self) -> None:
        """Go on until cancelled; a store that is away is waited for."""
        try:
            while True:
                self._bell.clear()
                answers, self._answers = self._answers, []
                try:
                    made = await asyncio.to_thread(self._work, answers)
                    self.failure = None
                except StorageError as error:
                    self.failure = str(error).splitlines()[0]
                    self._answers = answers + self._answers
                    made = Step(0, [], [])
                for order_id, task, failure in made.failures:
                    log.error(
                        "order failed", order=order_id, task=task, exc_info=failure
                    )
                for call in made.calls:
                    task_ = asyncio.create_task(self._ask(call))
                    self._calls.add(task_)
                    task_.add_done_callback(self._calls.discard)
                if not made.orders and not self._answers:
                    await self._rest()
                if made.orders < ORDERS_AT_ONCE:
                    await asyncio.sleep(GATHER_SECONDS)
        finally:
            for task_ in self._calls:
                task_.cancel()
            await asyncio.gather(*self._calls, return_exceptions=True)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                await self._bell.wait()
        except TimeoutError:
            pass

    def _work(self, answers: list[tuple[Call, Outcome]]) -> Step:
        now, session = int(clock.now()), self._session
        # An idle manager takes no lock that the ledger's batches would wait for.
        if not (answers or session is None or is_due(self._provisioning, now, session)):
            return Step(0, [], [])
        for _ in range(EXPIRIES):
            # Nobody is told of it, so nobody waits until it is durable.
            with self._provisioning.transaction(now, later=True) as transaction:
                if expire(transaction) < EXPIRED_AT_ONCE:
                    break
        with self._provisioning.transaction(now) as transaction:
            if self._session is None:
                self._session = service_records.latest_session(transaction.connection)
            for call, outcome in answers:
                settle(transaction, call, outcome, self._chance.random)
            latest = ring(transaction, self._session)
            made = step(transaction, self._ports, self._chance.random)
        self._session = latest
        metrics.ORDER_STEPS.inc(made.orders)
        metrics.ORDER_FAILURES.inc(len(made.failures))
        return made

    async def _ask(self, call: Call) -> None:
        transport = self._transports.get(call.kind)
        if transport is None:
            outcome: Outcome = Trouble(f"no transport for {call.kind} is configured")
        else:
            async with self._slots:
                outcome = await _answer(transport, call)
        metrics.ORDER_CALLS.labels(
            call.kind.value, type(outcome).__name__.lower()
        ).inc()
        self._answers.append((call, outcome))
        self._bell.set()


async def _answer(transport: Transport, call: Call) -> Outcome:
    try:
        async with asyncio.timeout(call.answer_seconds):
            return await transport(call)
    except TimeoutError:
        return Trouble(f"no answer within {call.answer_seconds} s")
    except OSError as error:
        return Trouble(error.strerror or type(error).__name__)
