"""A top-up bought for a service: its allowance grows, and what that costs is booked.

What use beyond the allowance had cost comes back as usage that no record is behind, so
that a month's usage still adds up to what its balances owe; the price is a fee.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import Connection

from config.network import Network
from rating.charge import Charge
from rating.posting import Poster
from rating.rater import Rater, Unrated
from rating.tariff import CompiledTariff
from storage.balances import (
    balances_rewritten,
    begun_rows,
    counted_rows,
    insert_balances,
    load_balances,
    lock_balances,
    next_balance_id,
    update_balances,
)
from storage.entries import lock_head, post, read_closed
from storage.quota_events import insert_quota_events

_UNBOUNDED: Final = 2**62


def sold_to(network: Network, service: str, at: int) -> list[str]:
    """Name the top-ups that a service's tariff sells at a time, in epoch seconds."""
    offerings = {offering.name: offering.tariff for offering in network.offering}
    wanted = {offerings.get(s.offering) for s in network.service if s.name == service}
    found: list[str] = []
    for tariff in network.tariff:
        compiled = CompiledTariff(tariff) if tariff.name in wanted else None
        version = compiled and compiled.version_on(compiled.calendar.day_of(at))
        found += version.topups if version else ()
    return found


def buy(
    connection: Connection,
    network: Network,
    service: str,
    topup: str,
    *,
    at: int,
    now: int,
    at_most: int = _UNBOUNDED,
    until_some_is_left: bool = False,
) -> bool:
    """Buy a top-up in the period of ``at`` (epoch seconds); it joins a transaction.

    One, or as many as it takes ``until_some_is_left`` of the allowance. False when its
    tariff sells no such one then, or ``at_most`` were bought already.
    """
    own = next((one for one in network.service if one.name == service), None)
    if own is None:
        return False
    lock_balances(connection)
    rater = Rater(next_balance_id=next_balance_id(connection))
    rater.know(msgspec.structs.replace(network, service=(own,)))
    keys = rater.open_period(service, at)
    if keys:
        rater.adopt(keys, load_balances(connection, keys))
        rater.open_period(service, at)
    balance = rater.balance(service, at)
    if balance is None or topup not in balance.version.topups:
        return False
    place, quantity, _ = balance.version.topups[topup]
    bought: list[list[Charge]] = []
    while balance.topped[place] < at_most * quantity:
        charges = rater.top_up(service, topup, at)
        assert not isinstance(charges, Unrated)
        bought.append(charges)
        if not until_some_is_left or balance.remaining()[place]:
            break
    if not bought:
        return False
    changes = rater.changes()
    insert_balances(connection, begun_rows(changes.begun))
    update_balances(connection, counted_rows(changes.counted))
    balances_rewritten(connection)
    insert_quota_events(connection, changes.events)
    head = lock_head(connection)
    zones = {tariff.name: tariff.zone for tariff in network.tariff}
    poster = Poster(zones, read_closed(connection))
    for charges in bought:
        poster.usage(own.isp, charges[:-1], [])
        poster.fees(own.isp, charges[-1:])
    post(connection, head, poster.take(), now)
    return True
