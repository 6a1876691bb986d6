"""Usage of a month rated again: what would change, for whom, and then the change.

The dry run rates every record with a rater of its own on balances that begin anew, and
compares with what was booked. Applying it books only for services whose money differs,
record by record: a reversal of what stands and a new entry. A slice is a transaction,
and a run that was killed is simply run again: what is right already is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Row

from config.network import Network
from rating.balance import Balance
from rating.charge import RatableUsage
from rating.counters import Derived
from rating.entry import Book, Entry, reversal
from rating.months import booked_in, span_of
from rating.posting import Poster
from rating.posting import Row as PostingRow
from rating.rater import Rated, Rater, StoredBalance
from services.former_services import with_former_services
from storage.balances import load_balances
from storage.database import Database
from storage.entries import lock_head, post, read_closed
from storage.rerating import booked, sessions_by_id, standing, usage_behind

_SLICE: Final = 20_000
"""Records read and rated at a time."""

_SESSIONS_KEPT: Final = 2_000_000
_WARM_UP_SECONDS: Final = 31 * 86_400

ServiceOf = Callable[[Row[Any]], str | None]
"""Gives the service of a session, a row of the table; None when it has none."""


def own_service(session: Row[Any]) -> str | None:
    """The service that the ledger guided a session to."""
    service: str | None = session.service
    return service


class Owed(NamedTuple):
    """What usage came to, in micro-units: by the ISP's tariff to its subscribers, by
    the Network Provider's to the ISP."""

    retail: int = 0
    wholesale: int = 0


class Difference(NamedTuple):
    """What one party would have of a month, in one currency, instead of what it has."""

    party: str
    currency: str
    before: int
    after: int


Key = tuple[str, str, str | None]
"""Tenant, currency and service."""


@dataclass(slots=True)
class Rerating:
    """What a month was booked at and would be, by tenant, currency and service."""

    usages: int = 0
    unrated: int = 0
    before: dict[Key, Owed] = field(default_factory=dict)
    after: dict[Key, list[int]] = field(default_factory=dict)

    def differing(self) -> set[Key]:
        """Give the services whose money differs."""
        return {
            key
            for key in self.before.keys() | self.after.keys()
            if self.before.get(key, Owed()) != Owed(*self.after.get(key, (0, 0)))
        }

    def differences(self) -> list[Difference]:
        """Give what each party has and would have; those without a change left out."""
        sums: dict[tuple[str, str], list[int]] = {}
        after = {key: Owed(*owed) for key, owed in self.after.items()}
        for place, side in enumerate((self.before, after)):
            for (tenant, currency, _), (retail, wholesale) in side.items():
                for party, amount in (
                    (f"subscribers of {tenant}", -retail),
                    (tenant, retail - wholesale),
                    ("network", wholesale),
                ):
                    sums.setdefault((party, currency), [0, 0])[place] += amount
        return [
            Difference(*key, *both)
            for key, both in sorted(sums.items())
            if both[0] != both[1]
        ]


def dry_run(
    database: Database, network: Network, service_of: ServiceOf, month: str
) -> Rerating:
    """Rate all usage of a month again, and compare with what was booked."""
    result = Rerating()
    with database.read.connect() as connection:
        for tenant, currency, service, retail, wholesale in booked(connection, month):
            result.before[tenant, currency, service] = Owed(retail, wholesale)
        after = result.after
        for _, tenant, rated in _rated(connection, network, service_of, month, result):
            for place, charges in enumerate(rated):
                for charge in charges:
                    if charge.amount:
                        key = tenant, charge.currency, charge.service
                        owed = after.get(key)
                        if owed is None:
                            owed = after[key] = [0, 0]
                        owed[place] += charge.amount
    return result


def apply(
    database: Database, network: Network, service_of: ServiceOf, month: str, now: int
) -> int:
    """Book what a dry run found; give how many entries. ``now`` is in epoch seconds.

    It is for months that are over: the ledger's own rater goes on with the running
    totals of the present one.
    """
    differing = {
        (tenant, service)
        for tenant, _, service in dry_run(
            database, network, service_of, month
        ).differing()
    }
    zones = {tariff.name: tariff.zone for tariff in network.tariff}
    posted = 0
    pending: list[tuple[int, str, Rated]] = []
    with database.read.connect() as connection:
        rated = _rated(connection, network, service_of, month, Rerating())
        for usage, tenant, money in rated:
            if (tenant, usage.service) in differing:
                pending.append((usage.usage_id, tenant, money))
            if len(pending) >= _SLICE:
                posted += _book(database, zones, pending, now)
                pending = []
    return posted + _book(database, zones, pending, now) if pending else posted


def _book(
    database: Database,
    zones: dict[str, str],
    rated: list[tuple[int, str, Rated]],
    now: int,
) -> int:
    ids = {usage_id for usage_id, _, _ in rated}
    with database.write.begin() as connection:
        head = lock_head(connection)
        closed = read_closed(connection)
        poster = Poster(zones, closed)
        for _, tenant, money in rated:
            poster.usage(tenant, money.retail, money.wholesale)
        new: dict[int, list[tuple[Book, PostingRow]]] = {}
        for book, rows in poster.take().items():
            for row in rows:
                new.setdefault(row[8], []).append((book, row))
        old: dict[int, list[Entry]] = {}
        for entry in standing(connection, min(ids), max(ids)):
            if entry.posting.source_id in ids:
                old.setdefault(entry.posting.source_id, []).append(entry)
        postings: dict[Book, list[PostingRow]] = {}
        for usage_id in sorted(ids):
            stands, comes = old.get(usage_id, []), new.get(usage_id, [])
            if _money(e.posting[1:6] for e in stands) == _money(
                row[1:6] for _, row in comes
            ):
                continue
            for entry in stands:
                book = entry.book
                month = booked_in(closed, book.tenant, book.zone, book.month)
                undone, undo = reversal(entry, month)
                postings.setdefault(undone, []).append(undo)
            for book, row in comes:
                postings.setdefault(book, []).append(row)
        done = post(connection, head, postings, now)
    return done.last_entry_id - done.first_entry_id + 1


def _money(legs: Iterator[tuple[int, ...]]) -> tuple[int, ...]:
    return tuple(map(sum, zip((0, 0, 0, 0, 0), *legs, strict=True)))


def _rated(
    connection: Connection,
    network: Network,
    service_of: ServiceOf,
    month: str,
    result: Rerating,
) -> Iterator[tuple[RatableUsage, str, Rated]]:
    """Rate the usage of a month in the order in which it came; give it with its ISP.

    Where a tariff's periods do not begin with the month, what came before it is rated
    too, so that running totals are right, and is not given.
    """
    rater = Rater(next_balance_id=1, balances_kept=2**62)
    network = with_former_services(connection, network)
    rater.know(network)
    isps = {service.name: service.isp for service in network.service}
    spans = {
        zone: span_of(zone, month)
        for zone in {t.zone for t in network.tariff} or {"UTC"}
    }
    first = min(span.starts_at for span in spans.values())
    until = max(span.ends_at for span in spans.values())
    anchored = any(tariff.anchor_day != 1 for tariff in network.tariff)
    since = first - _WARM_UP_SECONDS if anchored else first
    services: dict[int, tuple[str, int] | None] = {}
    last = 0
    while rows := usage_behind(connection, last, since, until, _SLICE):
        last = rows[-1][0]
        if len(services) > _SESSIONS_KEPT:
            services.clear()
        _guide(connection, service_of, isps, {row[1] for row in rows}, services)
        usages = []
        for row in rows:
            guided = services[row[1]]
            if guided is not None:
                usages.append(_ratable(row, *guided))
        _begin_anew(connection, rater, usages, since)
        for usage in usages:
            rated = rater.rate(usage)
            if not isinstance(rated, Rated):
                result.unrated += 1
            elif usage.started_at >= first:
                result.usages += 1
                yield usage, isps[usage.service], rated
        result.unrated += len(rows) - len(usages)
        rater.written()


def _ratable(row: Sequence[Any], service: str, session_started_at: int) -> RatableUsage:
    number, session_id, started_at, ended_at, seconds, octets_in, octets_out, by = row
    return RatableUsage(
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
