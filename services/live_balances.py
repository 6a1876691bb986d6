"""What a service has used, has left and owes for use in a period, as of now.

It is the ledger's own balance, read and not written: as new as the last batch of
reports. A period that nothing was used in yet is shown as it would begin.
"""

from __future__ import annotations

from datetime import date
from typing import NamedTuple

import msgspec
from sqlalchemy import Connection

from config.network import Network
from rating.balance import Balance
from rating.rater import Rater
from storage.balances import load_balances, next_balance_id


class Bucket(NamedTuple):
    """An allowance in a period, in ``unit``: what was granted in all, what of it was
    rolled over or bought, and what is left."""

    allowance: str
    unit: str
    granted: int
    rolled_over: int
    topped_up: int
    remaining: int


class Used(NamedTuple):
    """Use by one rate: how much, how much of that was included, and what it costs, in
    micro-units before tax. A connect fee counts sessions."""

    rate: str
    unit: str
    quantity: int
    included: int
    amount: int


class LiveBalance(NamedTuple):
    """A service's balance in a period of its retail tariff; ``until`` is not in it.

    ``holder`` is whose it is: the service's, or its account's.
    """

    service: str
    holder: str
    tariff: str
    version: str
    since: date
    until: date
    currency: str
    buckets: list[Bucket]
    used: list[Used]


def balance_of(
    connection: Connection, network: Network, service: str, at: int
) -> LiveBalance | None:
    """Give the balance of a service in the period of a time (epoch seconds); None when
    there is no such service, or no tariff of its offering is in force then."""
    own = next((one for one in network.service if one.name == service), None)
    if own is None:
        return None
    rater = Rater(next_balance_id=next_balance_id(connection))
    rater.know(msgspec.structs.replace(network, service=(own,)))
    keys = rater.missing_of(service, at)
    rater.adopt(keys, load_balances(connection, keys))
    rater.open_period(service, at)
    found = rater.balance(service, at)
    return None if found is None else _shown(service, found)


def _shown(service: str, balance: Balance) -> LiveBalance:
    version = balance.version
    buckets = [
        Bucket(allowance.name, allowance.unit, *figures)
        for allowance, *figures in zip(
            version.allowances,
            balance.granted,
            balance.rolled,
            balance.topped,
            balance.remaining(),
            strict=True,
        )
    ]
    used = [
        Used(rate.element, rate.unit, *figures)
        for rate, *figures in zip(
            version.rates,
            balance.quantities,
            balance.included,
            balance.amounts,
            strict=True,
        )
    ]
    return LiveBalance(
        service,
        balance.key.holder,
        balance.tariff.name,
        version.name,
        balance.cut.first,
        balance.cut.next,
        balance.tariff.currency,
        buckets,
        used,
    )
