"""What the address server is made of: allocation, over-allocation, DHCP, one journal.

The over-allocation's steps are journaled like leases, and the allocation hears of a
step when it is durable: an address of a borrowed block is never leased before the loan
is on the disk. Everything here runs in the role's loop, but for ``load``, which runs in
a thread before anything else does.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from config.network import Network
from config.schema import LeaseSettings
from daemon import clock
from daemon.lease_loading import LeaseLoader, applied, tail
from daemon.random_numbers import unforeseeable
from ipserver.allocation import Allocation
from ipserver.draft import Step
from ipserver.lease_clock import LeaseClock
from ipserver.over_allocation import OverAllocation
from ipserver.over_allocation_change import KIND, decode
from ipserver.over_allocation_request import TERMINAL
from ipserver.records import frame, frames
from ipserver.server import DhcpServer
from storage.database import Database
from storage.over_allocation import load_state
from telemetry import metrics

_TURN_LEASES = 2000
"""Leases ended before packets have their turn again: about 5 ms."""

_RELIEF = 16
"""Declined addresses that a pool tries again in a second at most."""


class AddressServer:
    """The state in memory; ``server`` is set when the sockets and the journal are."""

    def __init__(self, settings: LeaseSettings, network: Network) -> None:
        self._settings = settings
        self._clock = LeaseClock(clock.now(), clock.monotonic())
        self._ticked = 0.0
        self.network = network
        self.server: DhcpServer | None = None

    def now(self) -> float:
        """Give the leases' time."""
        return self._clock.now(clock.monotonic())

    def load(self, database: Database, journal: Path) -> None:
        """Begin anew with what the stores have; nobody writes the journal meanwhile.

        Raises StorageError or JournalError: then nothing is there, and it can be called
        again.
        """
        now = self.now()
        allocation = Allocation(
            self._settings, random=unforeseeable().__next__, now=now
        )
        allocation.change_network(self.network, now)
        allocation.begin_loading()
        with database.read.connect() as connection:
            state = load_state(connection)
            position = applied(connection, journal)
        for octets in tail(journal, position):
            for kind, body in frames(octets):
                if kind == KIND:
                    state.apply(decode(body))
        over_allocation = OverAllocation(state, allocation)
        over_allocation.agree(self.network, now)
        loader = LeaseLoader(allocation, database, journal)
        try:
            loader.load(now)
        finally:
            loader.close()
        allocation.loaded()
        allocation.shortage = self._shortage
        self.allocation, self.over_allocation = allocation, over_allocation

    def _shortage(self, pool: str, line: str | bytes, now: float) -> str | None:
        """Ask for addresses; what is granted by itself is journaled with this block."""
        request = self.over_allocation.shortage(pool, line, now)
        self.step()
        return request

    def change_network(self, network: Network) -> None:
        """Lease in a changed network from the next ask on."""
        self.network = network
        now = self.now()
        self.allocation.change_network(network, now)
        self.over_allocation.agree(network, now)
        self.step()

    def turn(self) -> bool:
        """Do what time asks for, a few times a second; say whether there is more."""
        now = self.now()
        skew = self._clock.skew(clock.now(), clock.monotonic())
        self.allocation.follow_wall(skew, now)
        more = self.allocation.turn(now, _TURN_LEASES)
        if now - self._ticked >= 1.0:
            self._ticked = now
            began = clock.monotonic()
            self.over_allocation.tick(now)
            metrics.OVER_ALLOCATION_SECONDS.observe(clock.monotonic() - began)
            self._relieve(now)
        self.step()
        return more

    def _relieve(self, now: float) -> None:
        """Try again what was declined long ago, in pools that are about to end."""
        assert self.server is not None
        after = self.over_allocation.figures.terms.policy.declined_seconds
        for pool in self.over_allocation.critical():
            count, record = self.allocation.end_quarantine(
                pool, _RELIEF, now, after=after
            )
            if count:
                self.server.record(record)

    def step(self) -> None:
        """Journal the steps that the over-allocation has taken."""
        assert self.server is not None
        for step in self.over_allocation.take():
            self.server.record(
                frame(step.kind, step.body), partial(self._durable, step)
            )

    def _durable(self, step: Step) -> None:
        assert self.server is not None
        granted = self.over_allocation.durable(step, self.now())
        count(step, self.now())
        self.step()
        for request in granted:
            self.server.granted(request)


def count(step: Step, now: float) -> None:
    """Count what a step has decided and ended."""
    for decided in step.change.decisions:
        outcome, reason = decided.decision.outcome, decided.decision.reason
        metrics.OVER_ALLOCATION_DECISIONS.labels(outcome, reason).inc()
    for request in step.change.requests:
        if request.state in TERMINAL:
            metrics.OVER_ALLOCATION_ENDED.labels(request.state).inc()
            waited = max(0.0, now - request.raised_at)
            metrics.OVER_ALLOCATION_WAIT_SECONDS.observe(waited)
