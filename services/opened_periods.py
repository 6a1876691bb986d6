"""Billing periods opened as they begin, so that what is left of the last rolls over.

A balance begins with the first use of its period, and takes over what is left of the
period before. Without this, a month in which nothing was used would have no balance,
and the next would find nothing that could roll into it: the customer would lose what is
its own. Only tariffs that roll something over need it, and only some hours after a
period has begun: use of the last one that is still on its way would find gone what was
left, and pay. A daemon that was down opens the periods that it missed, where the one
before them was open: who had no service then has nothing to take along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection

from config.network import Network
from config.quantities import day_of
from rating.rater import Rater
from rating.tariff import CompiledTariff
from services.periodic_charges import SETTLED_AFTER_SECONDS
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
from storage.database import Database

_PERIODS_BACK: Final = 3


class OpenedPeriods:
    """The periods of one network; make a new one when the network changes."""

    def __init__(self, network: Network) -> None:
        rolling = {
            tariff.name
            for tariff in network.tariff
            if any(a.rollover for version in tariff.version for a in version.allowance)
        }
        tariff_of = {o.name: o.tariff for o in network.offering if o.tariff in rolling}
        own = {s.name: s for s in network.service if s.offering in tariff_of}
        self._tariffs = {t.name: CompiledTariff(t) for t in network.tariff}
        self._tariff_of = {name: tariff_of[s.offering] for name, s in own.items()}
        self._first = {
            name: day_of(s.billed_from) for name, s in own.items() if s.billed_from
        }
        self._names = sorted(own)
        self._own = own
        self._network = network

    def open_some(
        self, database: Database, now: int, after: str, limit: int
    ) -> str | None:
        """Open the periods of the next services behind a name that began some hours
        before ``now`` (epoch seconds); give the name to go on behind, or None when
        there are no more."""
        now -= SETTLED_AFTER_SECONDS
        names = [name for name in self._names if name > after][:limit]
        begun = [name for name in names if self._is_billed(name, now)]
        rater = Rater(next_balance_id=1)
        if begun:
            services = tuple(self._own[name] for name in begun)
            rater.know(msgspec.structs.replace(self._network, service=services))
            with database.read.connect() as connection:
                missing = _without_balance(connection, rater, begun, now)
            if missing:
                with database.write.begin() as connection:
                    self._open(connection, rater, missing, now)
        return names[-1] if len(names) == limit else None

    def _is_billed(self, name: str, now: int) -> bool:
        tariff, first = self._tariff(name), self._first.get(name)
        day = tariff.calendar.day_of(now)
        return tariff.version_on(day) is not None and (first is None or first <= day)

    def _tariff(self, name: str) -> CompiledTariff:
        tariff = self._tariff_of[name]
        assert tariff is not None
        return self._tariffs[tariff]

    def _open(
        self, connection: Connection, rater: Rater, names: Sequence[str], now: int
    ) -> None:
        lock_balances(connection)
        rater.start_again(next_balance_id(connection))
        for name in names:
            before = False
            for at in self._times(name, now):
                keys = rater.missing_of(name, at)
                rater.adopt(keys, load_balances(connection, keys))
                if before or at == now:
                    rater.open_period(name, at)
                before = rater.balance(name, at) is not None
        changes = rater.changes()
        insert_balances(connection, begun_rows(changes.begun))
        update_balances(connection, counted_rows(changes.counted))
        balances_rewritten(connection)

    def _times(self, name: str, now: int) -> list[int]:
        """A time in each of the last periods, the oldest first; ``now`` is the last."""
        tariff = self._tariff(name)
        times = [now]
        while len(times) <= _PERIODS_BACK:
            day = tariff.calendar.day_of(times[-1])
            if tariff.version_on(day) is None:
                return times[-2::-1]
            times.append(tariff.calendar.midnight(tariff.cut_of(day).first) - 1)
        return times[::-1]


def _without_balance(
    connection: Connection, rater: Rater, names: Sequence[str], now: int
) -> list[str]:
    keys = {key for name in names for key in rater.missing_of(name, now)}
    rater.adopt(keys, load_balances(connection, keys))
    return [name for name in names if rater.balance(name, now) is None]
