"""What a service's used up quotas ask for together: it has one restriction at a time.

Several allowances may be used up, or one may have several quotas. The strictest of what
they ask for holds, and when one is restored the others still do. Whether they are used
up is in the balance, which is written in the transaction of the events.
"""

from __future__ import annotations

from datetime import date
from typing import Final, NamedTuple

from sqlalchemy import Connection

from config.network import Network
from rating.balance import Balance, BalanceKey
from rating.quota import Action, Kind, QuotaEvent
from rating.tariff import CompiledTariff
from storage.balances import load_balances

_STRICTEST_FIRST: Final = (Action.BLOCK, Action.WALLED_GARDEN, Action.THROTTLE)
_NO_LIMIT: Final = 2**62


class Wanted(NamedTuple):
    """What is asked for; the speeds in kbit/s are of a throttle."""

    action: Action
    down_kbps: int | None
    up_kbps: int | None


def wanted(
    connection: Connection, network: Network, event: QuotaEvent
) -> Wanted | None:
    """Give what holds behind an event that restricts or restores; None for nothing."""
    found = _others(connection, network, event)
    if event.kind is not Kind.RESTORED:
        found.append(Wanted(event.action, event.down_kbps, event.up_kbps))
    return min(found, key=_strictness, default=None)


def _strictness(one: Wanted) -> tuple[int, int, int]:
    order = _STRICTEST_FIRST.index(one.action)
    return order, one.down_kbps or _NO_LIMIT, one.up_kbps or _NO_LIMIT


def _others(
    connection: Connection, network: Network, event: QuotaEvent
) -> list[Wanted]:
    """Give what the holder's other quotas that are used up ask for."""
    tariff = next((t for t in network.tariff if t.name == event.tariff), None)
    asking = [
        quota
        for version in (tariff.version if tariff is not None else ())
        for quota in version.quota
        if version.valid_from == event.version
        and quota.name != event.quota
        and quota.action in _STRICTEST_FIRST
    ]
    if tariff is None or not asking:
        return []
    key = BalanceKey(
        event.tenant, event.holder, event.tariff, event.version, event.period
    )
    compiled = CompiledTariff(tariff)
    used_up: set[str] = set()
    for stored in load_balances(connection, [key]):
        cut = compiled.cut_of(date.fromisoformat(event.period))
        version = next(v for v in compiled.versions if v.name == event.version)
        balance = Balance(stored.id, key, compiled, version, cut)
        balance.remember(stored.memory)
        used_up = {
            quota.name
            for (_, thresholds, quota), told in zip(
                version.quotas, balance.told, strict=True
            )
            if told == len(thresholds)
        }
    return [
        Wanted(Action(quota.action), quota.down_kbps, quota.up_kbps)
        for quota in asking
        if quota.name in used_up
    ]
