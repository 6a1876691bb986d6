"""What the routes of REST share: the database, the clocks, the desks, and threads.

Services block, so every route calls them in a thread. The number of threads is the
bound on requests that are in the database at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, ParamSpec, TypeVar

from litestar.params import PathParameter
from sqlalchemy import Connection

from config.network import Network, network_of
from controlplane.desk import Desk
from provisioning.refusal import Refusal
from services.catalogue import Catalogue
from services.order_assessment import Keys
from services.orders import Command, Placed
from services.provisioning import Provisioning, Transaction
from services.qualification import Qualification, Query
from storage.database import Database
from storage.network import latest_change, read_network

Number = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
"""A number in a path that a row can have."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """The time in epoch seconds, and on the monotonic clock."""

    now: Callable[[], float]
    monotonic: Callable[[], float]


class _Networks:
    """The last network that was read and its catalogue, by its last change."""

    def __init__(self) -> None:
        self._last: tuple[int, tuple[Network, Catalogue]] | None = None

    def at(self, connection: Connection) -> tuple[Network, Catalogue]:
        number = latest_change(connection)
        last = self._last
        if last is None or last[0] != number:
            network = network_of(read_network(connection))
            last = self._last = (number, (network, Catalogue(network)))
        return last[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Handed to every module of routes; ``new_id`` gives an id that nobody guesses,
    ``keys`` are those that orders are taken with."""

    database: Database
    clocks: Clocks
    provisioning: Provisioning
    orders: Desk[Command, Placed | list[Refusal]]
    qualifications: Desk[Query, Qualification | Refusal]
    new_id: Callable[[], str]
    keys: Keys
    insecure_callbacks: bool = False
    """Whether webhooks may go to http:// and to addresses inside the network."""
    _networks: _Networks = field(default_factory=lambda: _Networks())

    def network(self, connection: Connection) -> Network:
        """Give the network as a transaction sees it; read again when it changed."""
        return self._networks.at(connection)[0]

    def catalogue(self, connection: Connection) -> Catalogue:
        """Give the prices and subscribers of that network."""
        return self._networks.at(connection)[1]

    def now(self) -> int:
        """Give the time in epoch seconds."""
        return int(self.clocks.now())

    async def call(
        self,
        service: Callable[Arguments, Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result:
        """Call a service in a thread."""
        return await asyncio.to_thread(partial(service, *args, **kwargs))

    async def read(self, work: Callable[[Connection], Result]) -> Result:
        """Do work that only reads, in a thread."""

        def inside() -> Result:
            with self.database.read.connect() as connection:
                return work(connection)

        return await asyncio.to_thread(inside)

    async def transact(self, work: Callable[[Transaction], Result]) -> Result:
        """Do work in a transaction of provisioning, in a thread."""

        def inside() -> Result:
            with self.provisioning.transaction(self.now()) as transaction:
                return work(transaction)

        return await asyncio.to_thread(inside)
