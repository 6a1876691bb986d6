"""A month's usage as a rerating reads it: in slices, each record with its service, and
with the balances that it needs, begun anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row

from config.network import Network
from config.schema import CLOCK_SKEW_SECONDS_MAX
from rating.balance import Balance
from rating.charge import RatableUsage
from rating.counters import Derived
from rating.months import Span, span_of
from rating.rater import Rater, StoredBalance
from services.earlier_states import Earlier, state_at
from storage.balances import load_balances, waiting_between
from storage.rerating import sessions_by_id, usage_behind
from storage.usage_arrivals import times_rated_as_of

_SLICE: Final = 20_000
"""Records read at a time."""

_SESSIONS_KEPT: Final = 2_000_000
_WARM_UP_SECONDS: Final = 31 * 86_400
_new = tuple.__new__

ServiceOf = Callable[[Row[Any]], str | None]
"""Gives the service of a session, a row of the table; None when it has none."""


def own_service(session: Row[Any]) -> str | None:
    """The service that the ledger guided a session to."""
    service: str | None = session.service
    return service


class Times(NamedTuple):
    """A month in every zone of the tariffs: what is read and from when on it matters,
    from ``first`` until ``until`` it is the month anywhere, from ``begun`` until
    ``ending`` everywhere.

    What lies between two midnights is of the month in some zones, and not in others.
    """

    since: int
    needed_from: int
    first: int
    until: int
    begun: int
    ending: int
    spans: Mapping[str, Span]

    def before(self, at: int) -> frozenset[str] | None:
        """Say in which zones a time is before the month; None is in all."""
        return None if at < self.first else self._where(lambda s: at < s.starts_at)

    def within(self, at: int) -> frozenset[str] | None:
        """Say in which zones a time is in the month; None is in all."""
        if self.begun <= at < self.ending:
            return None
        return self._where(lambda span: span.starts_at <= at < span.ends_at)

    def _where(self, holds: Callable[[Span], bool]) -> frozenset[str]:
        return frozenset(zone for zone, span in self.spans.items() if holds(span))

    def holds(self, balance: Balance) -> bool:
        """Say whether all use of a balance's period is in what is read."""
        midnight, cut = balance.tariff.calendar.midnight, balance.cut
        return (
            self.needed_from <= midnight(cut.first) and midnight(cut.next) <= self.until
        )


def times_of(network: Network, month: str) -> Times:
    """Say which times matter to a month."""
    zones = {t.zone for t in network.tariff} or {"UTC"}
    spans = {zone: span_of(zone, month) for zone in zones}
    starts = [span.starts_at for span in spans.values()]
    first = min(starts)
    # Where a tariff's periods do not begin with the month, what came before it is part
    # of their totals; else only a record that runs into the month is.
    anchored = any(tariff.anchor_day != 1 for tariff in network.tariff)
    since = first - _WARM_UP_SECONDS
    needed = since if anchored else first
    ends = [span.ends_at for span in spans.values()]
    return Times(since, needed, first, max(ends), max(starts), min(ends), spans)


class UsageReader:
    """Usage with its services, by slices, and the balances that it needs."""

    def __init__(
        self,
        connection: Connection,
        network: Network,
        service_of: ServiceOf,
        rater: Rater,
        anew_from: int,
        earlier: Earlier,
    ) -> None:
        self._connection = connection
        self._isps = {service.name: service.isp for service in network.service}
        self._service_of = service_of
        self._rater = rater
        self._anew_from = anew_from
        self._earlier = earlier
        self._services: dict[int, tuple[str, int] | None] = {}
        self.unguided = 0

    def slices(self, since: int, until: int) -> Iterator[list[RatableUsage]]:
        """Give what began in a span; ``unguided`` is what of it has no service, or
        waits: the ledger rates that when it can."""
        last = self.unguided = 0
        services = self._services
        while rows := usage_behind(self._connection, last, since, until, _SLICE):
            last = rows[-1][0]
            if len(services) > _SESSIONS_KEPT:
                services.clear()
            if waits := waiting_between(self._connection, rows[0][0], last):
                self.unguided += len(rows)
                rows = [row for row in rows if row[0] not in waits]
                self.unguided -= len(rows)
            ids = {row[1] for row in rows}
            _guide(self._connection, self._service_of, self._isps, ids, services)
            usages, as_of = [], self._rated_as_of(rows)
            for row in rows:
                guided = services[row[1]]
                if guided is not None:
                    service, began_at = guided
                    if service in self._earlier:
                        at = as_of.get(row[0], row[3])
                        service = state_at(self._earlier, service, at)
                    usages.append(_ratable(row, service, began_at))
            self.unguided += len(rows) - len(usages)
            _begin_anew(self._connection, self._rater, usages, self._anew_from)
            yield usages

    def _rated_as_of(self, rows: Sequence[Sequence[Any]]) -> dict[int, int]:
        """Give what usage of changed services was rated as of, by its id, where that
        may not be when it ended: it may have come before the change behind which it
        ended, by a fast clock."""
        ahead = []
        for row in rows if self._earlier else ():
            guided = self._services[row[1]]
            for until, _ in self._earlier.get(guided[0], ()) if guided else ():
                if until < row[3] <= until + CLOCK_SKEW_SECONDS_MAX:
                    ahead.append(row[0])
                    break
        return times_rated_as_of(self._connection, ahead) if ahead else {}


def _ratable(row: Sequence[Any], service: str, session_started_at: int) -> RatableUsage:
    number, session_id, started_at, ended_at, seconds, octets_in, octets_out, by = row
    return _new(
        RatableUsage,
        (
            service,
            number,
            session_id,
            session_started_at,
            started_at,
            ended_at,
            seconds,
            octets_in,
            octets_out,
            _DERIVED[by],
            0,
        ),
    )


def _guide(
    connection: Connection,
    service_of: ServiceOf,
    isps: dict[str, str],
    ids: set[int],
    services: dict[int, tuple[str, int] | None],
) -> None:
    """Look up the service of each session, and when the session began."""
    unknown = sorted(ids - services.keys())
    services.update(dict.fromkeys(unknown))
    for row in sessions_by_id(connection, unknown):
        service = service_of(row)
        if service in isps and service is not None:
            services[row.id] = service, row.started_at


def _begin_anew(
    connection: Connection, rater: Rater, usages: list[RatableUsage], since: int
) -> None:
    """Give the rater the balances it needs: those of earlier periods as they are, the
    others with nothing used, and with what was granted to them."""
    keys = rater.missing(usages)
    if not keys:
        return
    anew = []
    for stored in load_balances(connection, keys):
        tariff = rater.tariff(stored.key.tariff)
        version = next(v for v in tariff.versions if v.name == stored.key.version)
        cut = tariff.cut_of(version.first.fromisoformat(stored.key.period))
        if tariff.calendar.midnight(cut.first) < since:
            anew.append(stored)
            continue
        had = Balance(stored.id, stored.key, tariff, version, cut)
        had.remember(stored.memory)
        fresh = Balance(stored.id, stored.key, tariff, version, cut)
        fresh.rolled, fresh.topped, fresh.moved = had.rolled, had.topped, had.moved
        anew.append(StoredBalance(stored.id, stored.key, fresh.memory()))
    rater.adopt(keys, anew)


_DERIVED: Final = {word.value: word for word in Derived}
