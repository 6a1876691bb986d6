"""The over-allocation in its role: the inbox, what is counted, and what is shown.

``daemon.address_server`` drives the manager itself; this is what surrounds it.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from typing import Any, Final

from netaddr import IPAddress

from config.addresses import Pool
from daemon.address_server import AddressServer
from ipserver.address_space import PoolUsage
from ipserver.block import BlockState
from ipserver.decision import NETWORK
from ipserver.holdings import Holder
from ipserver.loan import Loan
from ipserver.over_allocation import OverAllocation
from ipserver.over_allocation_command import Command
from ipserver.over_allocation_request import TERMINAL, RequestState
from ipserver.pressure import Level, Pressure
from storage.database import Database, StorageError
from storage.over_allocation_inbox import pending
from telemetry import address_metrics

INBOX_SECONDS = 0.5


async def follow_inbox(addresses: AddressServer, database: Database) -> None:
    """Carry out what people and programs ask for, in order, for ever.

    Commands wait in the database while it is away; nothing of them is here.
    """
    while True:
        over_allocation = addresses.over_allocation
        try:
            found = await asyncio.to_thread(
                _pending, database, over_allocation.state.command
            )
        except StorageError:
            found = []  # the feed of the network polls as well, and says so
        for command in found:
            over_allocation.carry_out(command, addresses.now())
            if over_allocation.state.command < command.number:
                break  # the journal is behind: this one comes first again
        if found:
            addresses.step()
        await asyncio.sleep(INBOX_SECONDS)


def _pending(database: Database, after: int) -> list[Command]:
    with database.read.connect() as connection:
        return pending(connection, after)


class Gauges:
    """Sets the gauges to what there is, and to 0 those of a pool that is gone: a gauge
    of one process among several keeps its last value.
    """

    def __init__(self) -> None:
        self._pools: set[str] = set()

    def publish(self, addresses: AddressServer) -> None:
        """Set all of them."""
        over_allocation = addresses.over_allocation
        state = over_allocation.state
        requests = Counter(request.state for request in state.requests.values())
        for standing in set(RequestState) - TERMINAL:
            gauge = address_metrics.OVER_ALLOCATION_REQUESTS.labels(standing)
            gauge.set(requests[standing])
        loans = Counter(loan.state for loan in state.loans.values())
        for stage in BlockState:
            address_metrics.ADDRESS_LOANS.labels(stage).set(loans[stage])
        before, self._pools = self._pools, {p.name for p in addresses.network.pool}
        for name in self._pools:
            _set(name, _USED, addresses.allocation.pool_usage(name))
        for pool, pressure, _ in over_allocation.pools():
            _set(pool.name, _HELD, pressure)
            utilisation = address_metrics.POOL_UTILISATION.labels(pool.name)
            utilisation.set(pressure.utilisation)
        for name in before - self._pools:
            _set(name, (*_USED, *_HELD), None)
            address_metrics.POOL_UTILISATION.labels(name).set(0)


_USED: Final = ("leased", "offered", "declined", "cooling", "free")
_HELD: Final = ("lent", "borrowed", "capacity")


def _set(pool: str, parts: tuple[str, ...], figures: object) -> None:
    for part in parts:
        count = getattr(figures, part) if figures is not None else 0
        address_metrics.POOL_ADDRESSES.labels(pool, part).set(count)


def answer(addresses: AddressServer, question: dict[str, Any]) -> dict[str, Any]:
    """Answer what the command line asks of the running role.

    ``pools`` for every pool's parts; ``why`` and ``line`` for the last decision on a
    line, by its name or as ``fairlane leases`` shows it.
    """
    match question.get("about"):
        case "pools":
            return {"pools": pools(addresses)}
        case "why":
            return why(addresses, str(question.get("line", "")))
        case other:
            return {"error": f"unknown question {other!r}"}


def pools(addresses: AddressServer) -> list[dict[str, Any]]:
    """Show each part of each pool, in addresses, and how long it will last; walled
    gardens last, which have no marks and so no level."""
    allocation = addresses.allocation
    found = [
        _parts(pool, pool.tenant, level, allocation.pool_usage(pool.name), pressure)
        for pool, pressure, level in addresses.over_allocation.pools()
    ]
    return found + [
        _parts(garden.pool, NETWORK, None, garden.usage, garden.pressure)
        for garden in addresses.gardens.show(addresses.network, allocation)
    ]


def _parts(
    pool: Holder | Pool,
    tenant: str,
    level: Level | None,
    usage: PoolUsage,
    pressure: Pressure,
) -> dict[str, Any]:
    left = pressure.seconds_left
    return {
        "pool": pool.name,
        "tenant": tenant,
        "area": pool.area,
        "walled_garden": level is None,
        "level": None if level is None else level.name.lower(),
        "leased": usage.leased,
        "offered": usage.offered,
        "declined": usage.declined,
        "cooling": usage.cooling,
        "lent": pressure.lent,
        "borrowed": pressure.borrowed,
        "free": pressure.free,
        "owned": pressure.owned,
        "capacity": pressure.capacity,
        "guaranteed": pressure.guaranteed,
        "burst_cap": pressure.burst_cap,
        "utilisation": round(pressure.utilisation, 4),
        "seconds_left": None if math.isinf(left) else int(left),
    }


def why(addresses: AddressServer, text: str) -> dict[str, Any]:
    """Trace the last decision on a line: what it asked and got, what its service gives
    it, what it has, and what its pools and their requests look like now.

    Nothing was asked since the start where there is no ``answer``.
    """
    nothing = {"error": f"nothing is known of line {text!r}"}
    try:
        told = addresses.allocation.why(text, addresses.now())
    except ValueError:
        return nothing
    policy, decision = told["policy"], told.pop("decision")
    if not (policy or decision or told["leases"]):
        return nothing
    over_allocation = addresses.over_allocation
    shown = told | (decision or {"answer": None})
    if "address" in shown:
        shown["loan"] = _loan(over_allocation, int(IPAddress(shown["address"])))
    names = policy["pools"] if policy else []
    shown["pools"] = [r for r in pools(addresses) if r["pool"] in names]
    shown["requests"] = [
        {
            "number": request.number,
            "pool": request.pool,
            "state": request.state,
            "size": request.size,
            "reason": request.reason,
            "retry_after": request.retry_after,
        }
        for request in over_allocation.state.requests.values()
        if request.pool in names
    ]
    memories = [over_allocation.state.memory(name) for name in names]
    shown["denied_until"] = {m.pool: m.denied_until for m in memories if m.denied_until}
    return shown


def _loan(over_allocation: OverAllocation, address: int) -> dict[str, Any] | None:
    for loan in over_allocation.state.loans.values():
        if loan.first <= address <= loan.last:
            return _shown(loan)
    return None


def _shown(loan: Loan) -> dict[str, Any]:
    return {
        "number": loan.number,
        "lender": loan.lender,
        "state": loan.state,
        "term_ends_at": loan.term_ends_at,
    }
