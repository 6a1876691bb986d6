"""What the address server is made of: allocation, over-allocation, DHCP, one journal.

The over-allocation's steps are journaled like leases, and the allocation hears of a
step when it is durable: an address of a borrowed block is never leased before the loan
is on the disk. Everything here runs in the role's loop, but for ``load`` and
``take_up``, which run in a thread before anything else does.
"""

from __future__ import annotations

from collections.abc import Iterator
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
from ipserver.lines import Lines
from ipserver.over_allocation import OverAllocation
from ipserver.over_allocation_change import KIND, decode
from ipserver.over_allocation_request import TERMINAL
from ipserver.records import bodies, frame
from ipserver.server import DhcpServer
from ipserver.walled_gardens import WalledGardens
from storage.database import Database
from storage.journal import JournalError
from storage.over_allocation import load_state
from telemetry import address_metrics

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
        self.gardens = WalledGardens()
        self._position = 1
        self._loader: LeaseLoader | None = None
        self.network = network
        self.server: DhcpServer | None = None

    def now(self) -> float:
        """Give the leases' time."""
        return self._clock.now(clock.monotonic())

    def load(self, database: Database, journal: Path) -> None:
        """Begin anew with what the stores have; ``take_up`` takes the rest.

        The role that is to be replaced may write on meanwhile. Raises StorageError or
        JournalError: then nothing is there, and it can be called again.
        """
        self._close_loader()
        now = self.now()
        allocation = Allocation(
            self._settings, random=unforeseeable().__next__, now=now
        )
        allocation.change_network(self.network, now)
        allocation.begin_loading()
        with database.read.connect() as connection:
            state = load_state(connection)
            self._position = applied(connection, journal)
        for body in self._steps(journal):
            state.apply(decode(body))
        over_allocation = OverAllocation(state, allocation)
        over_allocation.agree(self.network, now)
        loader = LeaseLoader(allocation, database, journal)
        try:
            loader.load(now)
        except Exception:
            loader.close()
            raise
        self._loader = loader
        self.allocation, self.over_allocation = allocation, over_allocation

    def take_up(self, database: Database, journal: Path) -> None:
        """Take what was journaled since ``load``, when nobody writes any more.

        Leases are few by then. A block that changed hands in between changes what they
        mean, so everything is loaded again; that is as rare as a loan. Raises as
        ``load`` does, and can be called again.
        """
        if self._loader is None or not self._follow(self._loader, journal):
            self.load(database, journal)
        self._close_loader()
        self.allocation.loaded()
        self.allocation.shortage = self._shortage

    def _follow(self, loader: LeaseLoader, journal: Path) -> bool:
        """Bring the leases up to the journal; False when that cannot be done."""
        try:
            if any(True for _ in self._steps(journal)):
                return False
            loader.follow(self.now())
        except JournalError:  # the ledger has deleted what it applied
            return False
        return True

    def _steps(self, journal: Path) -> Iterator[bytes]:
        """Give the over-allocation's steps that the journal has got since the last."""
        for block in tail(journal, self._position):
            yield from bodies(block.octets, KIND)
            self._position = block.first + block.records

    def _close_loader(self) -> None:
        if self._loader is not None:
            self._loader.close()
            self._loader = None

    def _shortage(self, pool: str, line: str | bytes, now: float) -> str | None:
        """Ask for addresses; what is granted by itself is journaled with this block."""
        began = clock.monotonic()
        request = self.over_allocation.shortage(pool, line, now)
        took = clock.monotonic() - began
        if self.step():
            address_metrics.OVER_ALLOCATION_SECONDS.observe(took)
        return request

    def change_network(self, network: Network, lines: Lines) -> None:
        """Lease in a changed network from the next ask on; ``lines`` are its lines."""
        self.network = network
        now = self.now()
        self.allocation.change_network(network, now, lines)
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
            address_metrics.OVER_ALLOCATION_SECONDS.observe(clock.monotonic() - began)
            self._relieve(now)
            self.gardens.look(self.network, self.allocation, now)
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

    def step(self) -> bool:
        """Journal the steps that the over-allocation has taken; say whether any was."""
        assert self.server is not None
        steps = self.over_allocation.take()
        for step in steps:
            self.server.record(
                frame(step.kind, step.body), partial(self._durable, step)
            )
        return bool(steps)

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
        address_metrics.OVER_ALLOCATION_DECISIONS.labels(outcome, reason).inc()
    for request in step.change.requests:
        if request.state in TERMINAL:
            address_metrics.OVER_ALLOCATION_ENDED.labels(request.state).inc()
            waited = max(0.0, now - request.raised_at)
            address_metrics.OVER_ALLOCATION_WAIT_SECONDS.observe(waited)
