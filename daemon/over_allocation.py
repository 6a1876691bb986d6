"""The over-allocation inside the address server's role: time, inbox, journal, metrics.

How the role composes it: make ``State`` and manager with ``begin``, before the leases
are loaded; hand each block of the journal's tail to ``take_tail``, then call ``agree``
before the leases of the tail matter; when the server is there, ``serve`` with it. Then
``turn`` a few times a second, ``follow`` as a task, ``change_network`` whenever the
allocation has taken a network.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from config.network import Network
from daemon import clock
from ipserver.allocation import Allocation
from ipserver.draft import Step
from ipserver.over_allocation import OverAllocation
from ipserver.over_allocation_change import KIND, decode
from ipserver.over_allocation_request import TERMINAL
from ipserver.over_allocation_state import State
from ipserver.records import frame, frames
from ipserver.server import DhcpServer
from storage.database import Database, StorageError
from storage.journal import JournalReader
from storage.over_allocation import load_state
from storage.over_allocation_inbox import pending
from storage.sessions import read_positions
from telemetry import metrics

_TICK_SECONDS = 1.0
_INBOX_SECONDS = 0.5
_TAIL_RECORDS = 10_000


def read_state(database: Database, journal: Path) -> State:
    """Read what is stored, and the journal's tail behind it.

    Raises StorageError or JournalError when a store does not answer.
    """
    with database.read.connect() as connection:
        position = read_positions(connection).get(journal.name, 1)
        state = load_state(connection)
    reader = JournalReader(journal)
    try:
        while blocks := reader.read(position, _TAIL_RECORDS):
            for block in blocks:
                for kind, body in frames(block.octets):
                    if kind == KIND:
                        state.apply(decode(body))
            position = blocks[-1].first + blocks[-1].records
    finally:
        reader.close()
    return state


class OverAllocationDriver:
    """Drives the manager. ``now`` is the allocation's clock, in seconds."""

    def __init__(
        self, allocation: Allocation, state: State, now: Callable[[], float]
    ) -> None:
        self.manager = OverAllocation(state, allocation)
        self._now = now
        self._server: DhcpServer | None = None
        self._ticked = 0.0
        self.failure: str | None = None
        allocation.shortage = self._shortage

    def change_network(self, network: Network) -> None:
        """Take the terms of a network that the allocation has taken."""
        self.manager.agree(network, self._now())
        self._submit()

    def serve(self, server: DhcpServer) -> None:
        """Begin to journal through a server; what waited goes first."""
        self._server = server
        self._submit()

    def turn(self) -> None:
        """Tick once a second; call it a few times a second."""
        moment = clock.monotonic()
        if moment - self._ticked < _TICK_SECONDS:
            return
        self._ticked = moment
        self.manager.tick(self._now())
        metrics.OVER_ALLOCATION_SECONDS.observe(clock.monotonic() - moment)
        self._submit()
        self._publish()

    async def follow(self, database: Database) -> None:
        """Carry out the commands of the inbox, for ever."""
        while True:
            after = self.manager.state.command
            try:
                commands = await asyncio.to_thread(_pending, database, after)
                self.failure = None
            except StorageError as error:
                self.failure = str(error).splitlines()[0]
                commands = []
            for command in commands:
                self.manager.carry_out(command, self._now())
            self._submit()
            await asyncio.sleep(_INBOX_SECONDS)

    def pools(self) -> list[dict[str, Any]]:
        """Show each part of each pool, for ``fairlane pools``."""
        manager, found = self.manager, []
        for pool, pressure, level in manager.pools():
            usage = manager.space.pool_usage(pool.name)
            left = pressure.seconds_left
            found.append(
                {
                    "pool": pool.name,
                    "tenant": pool.tenant,
                    "area": pool.area,
                    "level": level.name.lower(),
                    "capacity": pressure.capacity,
                    "owned": pressure.owned,
                    "leased": usage.leased,
                    "offered": usage.offered,
                    "declined": usage.declined,
                    "cooling": usage.cooling,
                    "lent": pressure.lent,
                    "borrowed": pressure.borrowed,
                    "free": pressure.free,
                    "utilisation": round(pressure.utilisation, 4),
                    "seconds_left": None if left == float("inf") else int(left),
                    "guaranteed": pressure.guaranteed,
                    "burst_cap": pressure.burst_cap,
                }
            )
        return found

    def _shortage(self, pool: str, line: str, now: float) -> str | None:
        moment = clock.monotonic()
        request = self.manager.shortage(pool, line, now)
        metrics.OVER_ALLOCATION_SECONDS.observe(clock.monotonic() - moment)
        self._submit()
        return request

    def _submit(self) -> None:
        if self._server is None:
            return
        for step in self.manager.take():
            octets = frame(step.kind, step.body)
            self._server.record(octets, partial(self._durable, step))

    def _durable(self, step: Step) -> None:
        assert self._server is not None
        granted = self.manager.durable(step, self._now())
        self._submit()
        for request in step.change.requests:
            if request.state in TERMINAL:
                metrics.OVER_ALLOCATION_ENDED.labels(request.state).inc()
                waited = max(0.0, self._now() - request.raised_at)
                metrics.OVER_ALLOCATION_WAIT_SECONDS.observe(waited)
        for decided in step.change.decisions:
            outcome, reason = decided.decision.outcome, decided.decision.reason
            metrics.OVER_ALLOCATION_DECISIONS.labels(outcome, reason).inc()
        for number in granted:
            self._server.granted(number)

    def _publish(self) -> None:
        state = self.manager.state
        for gauge, objects in (
            (metrics.OVER_ALLOCATION_REQUESTS, state.requests),
            (metrics.ADDRESS_LOANS, state.loans),
        ):
            gauge.clear()
            for name, count in Counter(o.state for o in objects.values()).items():
                gauge.labels(name).set(count)
        for pool, pressure, _ in self.manager.pools():
            for part in ("lent", "borrowed", "capacity"):
                count = getattr(pressure, part)
                metrics.POOL_ADDRESSES.labels(pool.name, part).set(count)
            metrics.POOL_UTILISATION.labels(pool.name).set(pressure.utilisation)


def _pending(database: Database, after: int) -> list[Any]:
    with database.read.connect() as connection:
        return pending(connection, after)
