"""Usage of a month rated again: what would change, for whom, and then the change.

The dry run adds all use up on balances that begin anew, and compares what it comes to
with what was booked. Applying it first writes those balances, so that what comes late
goes on from them; if usage of the month was written or rated since it looked, it looks
again. Then it rates record by record and books where a record's money
differs, for holders whose sum does: a reversal of what stands and a new entry. A slice
is a transaction, and a run that was killed is simply run again: what is right already
is left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy import Connection

from config.network import Network
from rating.balance import Balance
from rating.charge import RatableUsage
from rating.entry import Book, Entry, reversal
from rating.months import booked_in
from rating.plans import STATE_MARK, name_of
from rating.posting import Poster
from rating.posting import Row as PostingRow
from rating.rater import Rated, Rater
from services.earlier_states import (
    Earlier,
    of_service,
    state_at,
    with_earlier_states,
)
from services.former_services import with_former_services
from services.rerated_usage import ServiceOf, Times, UsageReader, times_of
from storage.balances import (
    balances_rewritten,
    begun_rows,
    count_waiting,
    counted_rows,
    insert_balances,
    load_balances,
    lock_balances,
    next_balance_id,
    update_balances,
)
from storage.database import Database, StorageError
from storage.entries import lock_head, post, read_closed
from storage.rerating import (
    booked,
    booked_by_time,
    is_rolled_up,
    last_usage_id,
    standing,
    taken_back,
    usage_behind,
)

_ROUNDS: Final = 5
"""Times that a month is rated again because usage of it was written meanwhile."""

_SLICE: Final = 20_000
"""Records read and rated at a time."""


class RolledUpError(Exception):
    """Usage that cannot be rated again, as its records were made one for each day."""


class Difference(NamedTuple):
    """What one party would have of a month, in one currency, instead of what it has."""

    party: str
    currency: str
    before: int
    after: int


Key = tuple[str, str, str]
"""Tenant, currency, and whose use is added up, as balances name it: ``service/NAME``,
``account/NAME``, ``isp/NAME`` for wholesale."""


@dataclass(slots=True)
class Rerating:
    """What a month was booked at and would be, in micro-units."""

    usages: int = 0
    unrated: int = 0
    before: dict[Key, int] = field(default_factory=dict)
    after: dict[Key, int] = field(default_factory=dict)
    balances: list[Balance] = field(default_factory=list)
    """Those whose whole period was rated again."""
    last_usage_id: int = 0
    waiting: int = 0
    """The newest usage record then, and how many up to it were not rated."""

    def differing(self) -> set[tuple[str, str]]:
        """Give tenants and holders whose money differs."""
        return {
            (tenant, holder)
            for tenant, currency, holder in self.before.keys() | self.after.keys()
            if self.before.get((tenant, currency, holder), 0)
            != self.after.get((tenant, currency, holder), 0)
        }

    def differences(self) -> list[Difference]:
        """Give what each party has and would have; those without a change left out."""
        sums: dict[tuple[str, str], list[int]] = {}
        for place, side in enumerate((self.before, self.after)):
            for (tenant, currency, holder), owed in side.items():
                parties = [(f"subscribers of {tenant}", -owed), (tenant, owed)]
                if holder == _of_isp(tenant):
                    parties = [(tenant, -owed), ("network", owed)]
                for party, amount in parties:
                    sums.setdefault((party, currency), [0, 0])[place] += amount
        return [
            Difference(*key, *both)
            for key, both in sorted(sums.items())
            if both[0] != both[1]
        ]


def dry_run(
    database: Database, network: Network, service_of: ServiceOf, month: str
) -> Rerating:
    """Rate all usage of a month again, and compare with what was booked.

    Raises RolledUpError when some of it was (``storage.rollup``). It adds use up and
    asks once what it comes to, which by law 6 is what its records come to one by one.
    """
    result = Rerating()
    network, earlier, times = _whole(database, network, month)
    rater = _rater(network)
    with database.read.connect() as connection:
        if is_rolled_up(connection, times.needed_from, times.until):
            # What its records were, and their entries, is not known any more.
            raise RolledUpError(f"usage of {month} was rolled up: it keeps its price")
        _add_booked(connection, month, rater, earlier, result.before)
        result.last_usage_id = last_usage_id(connection)
        result.waiting = count_waiting(connection, result.last_usage_id)
        needed = times.needed_from
        reader = UsageReader(connection, network, service_of, rater, needed, earlier)
        for usages in reader.slices(times.since, times.begun):
            for usage in usages:
                if usage.ended_at > times.needed_from:
                    rater.count(usage, times.before(usage.started_at))
        for _ in rater.settle(times.first):
            pass  # it is the month's before, whose balances go on in this one
        begun, ending = times.begun, times.ending
        for usages in reader.slices(times.first, times.until):
            for usage in usages:
                at = usage[4]
                zones = None if begun <= at < ending else times.within(at)
                if rater.count(usage, zones) is None:
                    result.usages += 1
                else:
                    result.unrated += 1
        result.unrated += reader.unguided
        for balance, owed in rater.settle(times.until):
            tenant, holder = balance.key.tenant, balance.key.holder
            key = tenant, balance.tariff.currency, holder
            result.after[key] = result.after.get(key, 0) + owed
            if times.holds(balance):
                result.balances.append(balance)
    return result


def _add_booked(
    connection: Connection,
    month: str,
    rater: Rater,
    earlier: Earlier,
    before: dict[Key, int],
) -> None:
    """Add up what was booked, of a service that was another before by what it was."""

    def add(tenant: str, currency: str, state: str, owed: int) -> None:
        plan, holder = rater.plan(state), f"service/{name_of(state)}"
        if plan is not None and plan.retail is not None:
            holder = plan.retail.holder
        key = tenant, currency, holder
        before[key] = before.get(key, 0) + owed

    for tenant, currency, service, retail, wholesale in booked(connection, month):
        if service not in earlier:
            add(tenant, currency, service or "", retail)
        key = tenant, currency, _of_isp(tenant)
        before[key] = before.get(key, 0) + wholesale
    for tenant, currency, service, at, owed in booked_by_time(
        connection, month, sorted(earlier)
    ):
        add(tenant, currency, state_at(earlier, service, at), owed)


def _of_isp(name: str) -> str:
    return f"isp/{name}"


def apply(
    database: Database, network: Network, service_of: ServiceOf, month: str, now: int
) -> int:
    """Book what a dry run found; give how many entries. ``now`` is in epoch seconds.

    It is for months that are over: the ledger's own rater goes on with the running
    totals of the present one.
    """
    for _ in range(_ROUNDS):
        result = dry_run(database, network, service_of, month)
        whole, earlier, times = _whole(database, network, month)
        differing = result.differing()
        if _keep(database, result, differing, times):
            break
    else:
        raise StorageError(f"usage of {month} keeps coming: rate it again later")
    zones = {tariff.name: tariff.zone for tariff in whole.tariff}
    rater = _rater(whole)
    wanted = {
        service.name
        for service in whole.service
        if differing & set(_holders(rater, service.name))
    }
    posted = _undo_taken_back(database, month, wanted, now)
    pending: list[tuple[RatableUsage, str, Rated]] = []
    with database.read.connect() as connection:
        for usage, tenant, money in _rated(
            connection, whole, service_of, times, rater, earlier
        ):
            if usage.service in wanted:
                pending.append((usage, tenant, money))
            if len(pending) >= _SLICE:
                posted += _book(database, zones, month, pending, now)
                pending = []
    return posted + _book(database, zones, month, pending, now) if pending else posted


def _holders(rater: Rater, service: str) -> Iterator[tuple[str, str]]:
    plan = rater.plan(service)
    for meter in (plan.retail, plan.wholesale) if plan is not None else ():
        if meter is not None:
            yield meter.tenant, meter.holder


def _keep(
    database: Database,
    result: Rerating,
    differing: set[tuple[str, str]],
    times: Times,
) -> bool:
    """Write balances that were rated again, whether they were there or not; unless what
    they were made from has changed."""
    balances = [b for b in result.balances if (b.key.tenant, b.key.holder) in differing]
    if not balances:
        return True
    with database.write.begin() as connection:
        lock_balances(connection)
        last = result.last_usage_id
        if count_waiting(connection, last) != result.waiting or usage_behind(
            connection, last, times.since, times.until, 1
        ):
            return False
        keys = [balance.key for balance in balances]
        there = {old.key: old.id for old in load_balances(connection, keys)}
        number = next_balance_id(connection)
        begun, known = [], []
        for balance in balances:
            if balance.key in there:
                balance.id = there[balance.key]
                known.append(balance)
            else:
                balance.id, number = number, number + 1
                begun.append(balance)
        insert_balances(connection, begun_rows(begun))
        update_balances(connection, counted_rows(known))
        balances_rewritten(connection)
    return True


def _undo_taken_back(
    database: Database, month: str, services: set[str], now: int
) -> int:
    """Reverse what top-ups gave back: each record is rated with them in sight."""
    with database.write.begin() as connection:
        head = lock_head(connection)
        closed = read_closed(connection)
        postings: dict[Book, list[PostingRow]] = {}
        for entry in taken_back(connection, month, sorted(services)):
            book = entry.book
            open_month = booked_in(closed, book.tenant, book.zone, book.month)
            undone, undo = reversal(entry, open_month)
            postings.setdefault(undone, []).append(undo)
        done = post(connection, head, postings, now)
    return done.last_entry_id - done.first_entry_id + 1


def _book(
    database: Database,
    zones: dict[str, str],
    month: str,
    rated: list[tuple[RatableUsage, str, Rated]],
    now: int,
) -> int:
    ids = {usage.usage_id for usage, _, _ in rated}
    with database.write.begin() as connection:
        head = lock_head(connection)
        closed = read_closed(connection)
        poster = Poster(zones, closed)
        for usage, tenant, money in rated:
            poster.usage(tenant, money.retail, money.wholesale, usage.started_at)
        new: dict[int, list[tuple[Book, PostingRow]]] = {}
        for book, rows in poster.take().items():
            for row in rows:
                new.setdefault(row[8], []).append((book, row))
        old: dict[int, list[Entry]] = {}
        for entry in standing(connection, min(ids), max(ids)):
            own = entry.posting.late_from or entry.book.month
            if entry.posting.source_id in ids and own == month:
                old.setdefault(entry.posting.source_id, []).append(entry)
        postings: dict[Book, list[PostingRow]] = {}
        for usage_id in sorted(ids):
            stands, comes = old.get(usage_id, []), new.get(usage_id, [])
            if _money(e.posting for e in stands) == _money(row for _, row in comes):
                continue
            for entry in stands:
                book = entry.book
                open_month = booked_in(closed, book.tenant, book.zone, book.month)
                undone, undo = reversal(entry, open_month)
                postings.setdefault(undone, []).append(undo)
            for book, row in comes:
                postings.setdefault(book, []).append(row)
        done = post(connection, head, postings, now)
    return done.last_entry_id - done.first_entry_id + 1


def _money(postings: Iterable[PostingRow]) -> dict[int, tuple[int, ...]]:
    """What a record moves, by its own time: parts of it may be taxed apart."""
    money: dict[int, tuple[int, ...]] = {}
    for row in postings:
        before = money.get(row[6], (0, 0, 0, 0, 0))
        money[row[6]] = tuple(map(sum, zip(before, row[1:6], strict=True)))
    return {at: legs for at, legs in money.items() if any(legs)}


def _whole(
    database: Database, network: Network, month: str
) -> tuple[Network, Earlier, Times]:
    """Give a network with every service as it was when it was used."""
    times = times_of(network, month)
    with database.read.connect() as connection:
        network = with_former_services(connection, network)
        network, earlier = with_earlier_states(connection, network, times.since)
    return network, earlier, times


def _rater(network: Network) -> Rater:
    rater = Rater(next_balance_id=1, again=True)
    rater.know(network)
    return rater


def _rated(
    connection: Connection,
    network: Network,
    service_of: ServiceOf,
    times: Times,
    rater: Rater,
    earlier: Earlier,
) -> Iterator[tuple[RatableUsage, str, Rated]]:
    """Rate the usage of a month in the order in which it came; give it with its ISP."""
    isps = {service.name: service.isp for service in network.service}
    needed = times.needed_from
    reader = UsageReader(connection, network, service_of, rater, needed, earlier)
    for usages in reader.slices(times.since, times.begun):
        for usage in usages:
            if usage.ended_at > times.needed_from:
                rater.rate(usage, times.before(usage.started_at))
    for usages in reader.slices(times.first, times.until):
        for usage in usages:
            rated = rater.rate(usage, times.within(usage.started_at))
            if isinstance(rated, Rated):
                if STATE_MARK in usage.service:
                    rated = of_service(rated)
                yield usage, isps[usage.service], rated
