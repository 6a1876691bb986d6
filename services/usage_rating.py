"""What a batch's usage comes to, found out before the transaction that writes it.

Each record of a session that has a service is rated by the ISP's tariff and by the
Network Provider's, and what that comes to is made into rows. What cannot be rated now
is kept with its reason: no record ever stops the others. Balances in memory go on from
batch to batch, written or not; like the mediator's sessions they are only ever a copy.

Use of before a service was changed is rated by what the service was then
(``services.earlier_states``): it may come late. Nothing is of later than its arrival,
whatever its NAS's clock says.

Others write balances too (a top-up, a rerating), and close months. Each batch says what
it was made from; who writes it sees whether that still holds
(``services.usage_booking``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from sqlalchemy import Connection

from config.network import Network
from rating.charge import RatableUsage
from rating.direct import DirectRater
from rating.entry import NETWORK
from rating.months import Closed
from rating.plans import STATE_MARK, name_of
from rating.posting import Poster
from rating.quota import plain
from rating.rater import Rated, Unrated
from rating.samples import Samples
from services.earlier_states import EarlierStates, of_service
from services.former_services import former_services, of_then, payer
from storage.balances import (
    REJECTED,
    Rows,
    begun_rows,
    counted_rows,
    load_balances,
    next_balance_id,
    rewritten,
)
from storage.entries import closings, read_closed

BALANCES_KEPT = 400_000
"""Balances in memory between batches, about 1.5 KiB each; the others are read."""

Read = Callable[[], AbstractContextManager[Connection]]
"""Opens a connection, which sees all that is written by then."""

Whose = tuple[str | None, int, str]
"""A usage record's service, when its session began, and why there is no service."""

RECEIVED, GUIDED = "received", "guided"
"""TMF635's states of usage that waits: without a service, and with one."""

_new = tuple.__new__


class Basis(NamedTuple):
    """What usage was rated from: how often others had written balances, and how many
    months were closed."""

    rewritten: int
    closings: int


class RatedUsage(NamedTuple):
    """What a batch's usage came to, as rows to write, of plain values all through.

    ``waiting`` is what could not be rated, as ``UnratedUsage`` has it; ``begun`` and
    ``counted`` are balances, ``events`` those of quotas. ``tenants`` has the ISP of
    usage that is another's than its row says, by its id. It may only be written while
    the database has its ``basis``, unless no balance was changed.
    """

    basis: tuple[int, int]
    waiting: Rows
    begun: Rows
    counted: Rows
    samples: Samples
    events: Rows
    postings: list[tuple[tuple[str, ...], Rows]]
    tenants: dict[int, str]


class UsageRating:
    """Rates batch after batch, starting from what the database has.

    ``settle`` returns when every batch that was rated is written; nothing waits where
    each is before the next.
    """

    def __init__(
        self, states: EarlierStates, settle: Callable[[], object] = lambda: None
    ) -> None:
        self._states = states
        self._settle = settle
        self._rater = DirectRater(next_balance_id=1)
        self._basis: Basis | None = None
        self._changed = False
        self._isps: dict[str, str] = {}
        self._known: frozenset[str] = frozenset()
        self._zones: dict[str, str] = {}
        self._closed: Closed = {}
        self._poster = Poster({}, {})
        self._objects: Mapping[tuple[str, str], Mapping[str, Any]] = {}
        self._looked_for: set[str] = set()
        self._seen = -1

    def know(
        self, network: Network, objects: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> None:
        """Take the network, and its objects by kind and name, between two batches."""
        self._objects = objects
        self._looked_for = set()
        if self._rater.know(network):
            self._basis = None
        self._isps = {service.name: service.isp for service in network.service}
        self._known = frozenset(self._isps)
        self._zones = {tariff.name: tariff.zone for tariff in network.tariff}
        self._poster = Poster(self._zones, self._closed)

    def start_again(self) -> None:
        """Let go of every balance before the next batch."""
        self._basis = None

    def rate_rows(
        self,
        read: Read,
        usage: Sequence[tuple[Any, ...]],
        whose: Sequence[Whose],
        now: int,
    ) -> RatedUsage:
        """Rate a batch's usage: rows of USAGE_COLUMNS, and whose each is.

        ``now`` is in epoch seconds: when the batch was received.
        """
        usages = ratable(usage, whose)
        rated = self.rate(read, usages, now)
        if len(usages) < len(usage):
            rated.waiting.extend(
                (row[0], NETWORK, None, RECEIVED, reason, now, now, 1)
                for row, (service, _, reason) in zip(usage, whose, strict=True)
                if service is None
            )
        until, isps = self._states.until, self._isps
        for row, (service, _, _) in zip(usage, whose, strict=True) if until else ():
            last = -1 if service is None else until.get(service, -1)
            if service is None or last < 0:
                continue
            at = min(row[3], now)
            if at > last and isps.get(service) == row[-1]:
                continue
            isp = self.isp_at(service, at)
            if isp is not None and isp != row[-1]:
                rated.tenants[row[0]] = isp
        return rated

    def isp_at(self, service: str, at: int) -> str | None:
        """Give whose a service's usage is that was rated as of a time; None for a
        service that there never was."""
        return self._isps.get(self._states.at(service, at))

    def rate(
        self,
        read: Read,
        usages: Sequence[RatableUsage],
        now: int,
        came_at: Mapping[int, int] | None = None,
    ) -> RatedUsage:
        """Rate usage that has services, which came now, or by its ids ``came_at``."""
        if not usages:
            return RatedUsage((0, 0), [], [], [], {}, [], [], {})
        usages = self._prepare(read, usages, now, came_at or {})
        rater, poster, isps = self._rater, self._poster, self._isps
        rate_directly, post_directly = rater.rate_directly, poster.direct
        waiting: Rows = []
        for usage in usages:
            service = usage[0]
            is_state = STATE_MARK in service
            outcome = rater.rate(usage) if is_state else rate_directly(usage)
            if type(outcome) is Rated:
                own = of_service(outcome) if is_state else outcome
                poster.usage(isps[service], *own, usage[4])
            elif type(outcome) is tuple:
                post_directly(isps[service], usage, *outcome)
            else:
                tenant, reason = isps.get(service, NETWORK), str(outcome)
                name = name_of(service)
                # No tariff that comes makes it plausible: it is not tried by itself.
                state = REJECTED if outcome is Unrated.TOO_MUCH else GUIDED
                waiting.append((usage[1], tenant, name, state, reason, now, now, 1))
        changes = self._rater.changes()
        self._rater.next_batch()
        self._changed = self._changed or bool(changes.begun or changes.counted)
        assert self._basis is not None
        return RatedUsage(
            self._basis[:],
            waiting,
            begun_rows(changes.begun),
            counted_rows(changes.counted),
            changes.samples,
            [
                plain(event._replace(service=name_of(event.service)))
                for event in changes.events
            ],
            [(book[:], rows) for book, rows in self._poster.take().items()],
            {},
        )

    def _prepare(
        self,
        read: Read,
        usages: Sequence[RatableUsage],
        now: int,
        came_at: Mapping[int, int],
    ) -> Sequence[RatableUsage]:
        """See to it that memory has what the usage needs, as the database has it; give
        the usage, each by the name of what its service was then."""
        with read() as connection:
            basis = _basis(connection)
            self._states.follow(connection)
        if self._states.number != self._seen:
            self._seen = self._states.number
            self._looked_for = set()  # what had ended may have been again, as another
        usages = self._as_it_was(read, usages, now, came_at)
        known, looked_for = self._known, self._looked_for
        strange = {usage[0] for usage in usages if usage[0] not in known} - looked_for
        if strange:
            with read() as connection:
                self._know_more(connection, strange)
        if basis != self._basis or len(self._rater) > BALANCES_KEPT:
            if self._changed:
                self._settle()
                self._changed = False
            with read() as connection:
                # It comes first: what changes behind it shows when this is written.
                self._basis = _basis(connection)
                self._closed = read_closed(connection)
                self._rater.start_again(next_balance_id(connection))
            self._poster = Poster(self._zones, self._closed)
        missing = self._rater.missing(usages)
        if missing:
            with read() as connection:
                self._rater.adopt(missing, load_balances(connection, missing))
        return usages

    def _as_it_was(
        self,
        read: Read,
        usages: Sequence[RatableUsage],
        now: int,
        came_at: Mapping[int, int],
    ) -> Sequence[RatableUsage]:
        until, states = self._states.until, self._states
        if not until:
            return usages

        def as_of(usage: RatableUsage) -> int:
            return min(usage[5], came_at.get(usage[1], now))

        late = {
            usage[0]
            for usage in usages
            if usage[0] in until and as_of(usage) <= until[usage[0]]
        }
        if not late:
            return usages
        with read() as connection:
            states.look_up(connection, late)
        return [
            usage._replace(service=states.at(usage[0], as_of(usage)))
            if usage[0] in late
            else usage
            for usage in usages
        ]

    def _know_more(self, connection: Connection, names: set[str]) -> None:
        """Take earlier states, and services that ended as they last were, once for each
        network."""
        self._looked_for |= names
        services = [self._states.named(name) for name in names if STATE_MARK in name]
        own = sorted(name for name in names if STATE_MARK not in name)
        former = former_services(connection, self._objects, own)
        services += [payer(name, body) for name, body in former.items()]
        more = of_then(connection, self._objects, services)
        self._rater.know_more(more)
        self._isps.update((service.name, service.isp) for service in more.service)
        self._zones.update((tariff.name, tariff.zone) for tariff in more.tariff)


def ratable(
    usage: Sequence[tuple[Any, ...]], whose: Sequence[Whose]
) -> list[RatableUsage]:
    """Give the usage that has services, of rows of USAGE_COLUMNS and whose each is."""
    return [
        _new(RatableUsage, (service, row[0], row[1], began_at, *row[2:7], row[9], 0))
        for row, (service, began_at, _) in zip(usage, whose, strict=True)
        if service is not None
    ]


def _basis(connection: Connection) -> Basis:
    return Basis(rewritten(connection), closings(connection))
