"""What the ledger's thread charges between batches: fees, addresses that were sold, and
metered use of BSPs; and the periods that it opens, so that what is left of an allowance
goes into them.

A slice at a time, so that the journals never wait long; what breaks one is logged, its
transaction is undone, and the journals go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from config.network import Network, network_of
from daemon import clock
from daemon.network_feed import Objects
from rating.bsp_usage import UsageState
from services.address_sales import book_sales
from services.bsp_usage import rate_guided
from services.opened_periods import OpenedPeriods
from services.periodic_charges import PeriodicCharges
from services.purchases import expire
from storage.address_sales import count_waiting_sales
from storage.bsp_usage import records_in
from storage.database import Database, is_away
from telemetry import logs, metrics

Result = TypeVar("Result")

_SERVICES: Final = 500
_SALES: Final = 1000
_SLICES: Final = 10
_METERED_BY: Final = ("bsp", "meter", "tariff", "tax")
"""Tables that say what metered use costs: services are known by then."""

log = logs.get_logger("ledger")


class Fees:
    """Charges on a database what the network of the moment says; all of it blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._objects: Objects = {}
        self._periodic = PeriodicCharges(Network())
        self._opened = OpenedPeriods(Network())
        self._charge_after: str | None = None
        self._open_after: str | None = None

    @property
    def unfinished(self) -> bool:
        """Whether a round of fees goes on."""
        return self._charge_after is not None or self._open_after is not None

    def know(self, objects: Objects) -> None:
        """Take the network's objects by kind and name."""
        self._objects = objects
        network = network_of(objects)
        self._periodic = PeriodicCharges(network)
        self._opened = OpenedPeriods(network)

    def begin(self) -> None:
        """Charge ISPs what has become due, let go of authorisations that were not
        captured in time, and begin a round of the services' fees."""
        now = int(clock.now())
        _guarded(lambda: expire(self._database, now))
        _guarded(lambda: self._periodic.charge_isps(self._database, now))
        self._charge_after = self._open_after = ""

    def charge_some(self) -> None:
        """Charge the fees of a slice of services; after all, open some periods."""
        after, now = self._charge_after, int(clock.now())
        behind = self._open_after
        if after is None and behind is not None:
            self._open_after = _guarded(
                lambda: self._opened.open_some(self._database, now, behind, _SERVICES)
            )
        if after is not None:
            self._charge_after = _guarded(
                lambda: self._periodic.charge_services(
                    self._database, now, after, _SERVICES
                )
            )

    def rate_bsp_usage(self) -> None:
        """Rate and book metered use of BSPs that came, as much as a moment allows."""
        with self._database.read.connect() as connection:
            if not records_in(connection, UsageState.GUIDED, 0, 1):
                return
        own = {k: body for k, body in self._objects.items() if k[0] in _METERED_BY}
        network, now = network_of(own), int(clock.now())
        _guarded(lambda: rate_guided(self._database, network, now, _SLICES))

    def book_sales(self) -> None:
        """Book the addresses that were sold; what cannot be waits, and is counted."""
        with self._database.read.connect() as connection:
            count = count_waiting_sales(connection)
        metrics.UNBOOKED_SALES.set(count)
        if not count:
            return
        network, behind = network_of(self._objects), 0

        def book() -> int | None:
            with self._database.write.begin() as connection:
                return book_sales(
                    connection,
                    network,
                    self._objects,
                    behind=behind,
                    limit=_SALES,
                    now=int(clock.now()),
                )

        while more := _guarded(book):
            behind = more


def _guarded(work: Callable[[], Result]) -> Result | None:
    try:
        return work()
    except Exception as error:
        if is_away(error):
            raise
        log.exception("fees are not charged")
        return None
