"""Usage rated and posted in the transaction that writes it.

The ledger hands over a batch's usage. Each record of a session that has a service is
rated by the ISP's tariff and by the Network Provider's, and what that comes to is
posted. What cannot be rated now is kept with its reason, and is tried again when the
network has changed: no record ever stops the others. Like the mediator's sessions, what
is here in memory is only ever a copy: after a transaction that failed it is thrown
away.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from config.network import Network, network_of
from rating.charge import RatableUsage
from rating.entry import NETWORK
from rating.posting import Poster
from rating.quota import Effect, effect
from rating.rater import Rated, Rater
from rating.session import Session
from services.former_services import former_services
from services.session_guiding import SessionGuiding, description_of
from storage.balances import (
    UnratedUsage,
    add_samples,
    forget_unrated,
    insert_balances,
    insert_unrated,
    load_balances,
    lock_balances,
    next_balance_id,
    update_balances,
)
from storage.entries import BookIds, lock_head, post, read_closed
from storage.quota_events import (
    NumberedQuotaEvent,
    awaited,
    insert_quota_events,
    write_effects,
)
from storage.rerating import sessions_by_id, usage_by_id
from storage.session_rows import guided_row
from storage.sessions import update_guided, write_tenants

BALANCES_KEPT = 400_000
"""Balances in memory between batches, about 1.5 KiB each; the others are read."""

Whose = tuple[str | None, int, str]
"""A usage record's service, when its session began, and why there is no service."""

RECEIVED, GUIDED = "received", "guided"
"""TMF635's states of usage that waits: without a service, and with one."""

_AWAITED = 1000
_new = tuple.__new__


class UsageRating:
    """Rates and posts; starts from what the database has.

    ``class_key`` is as ``SessionGuiding`` has it, for sessions of usage that waits.
    """

    def __init__(self, connection: Connection, class_key: bytes | None = None) -> None:
        self._guiding = SessionGuiding(class_key)
        self._rater = Rater(
            next_balance_id=next_balance_id(connection), balances_kept=BALANCES_KEPT
        )
        self._rewritten = -1
        self._books = BookIds()
        self._zones: dict[str, str] = {}
        self._isps: dict[str, str] = {}
        self._objects: Mapping[tuple[str, str], Mapping[str, Any]] = {}
        self._looked_for: set[str] = set()
        self._poster = Poster({}, {})
        self._closings = -1
        self._awaited: dict[str, list[NumberedQuotaEvent]] = {}

    def know(
        self, network: Network, objects: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> None:
        """Take the network, and its objects by kind and name, between two batches."""
        self._guiding.know(network, objects)
        self._objects = objects
        self._looked_for = set()
        self._rate_by(network)
        self._zones = {tariff.name: tariff.zone for tariff in network.tariff}
        self._closings = -1

    def _rate_by(self, network: Network) -> None:
        self._rater.know(network)
        self._isps = {service.name: service.isp for service in network.service}

    def _know_former(self, connection: Connection, names: set[str]) -> None:
        """Take services that ended as they last were, once for each network."""
        self._looked_for |= names
        former = former_services(connection, self._objects, sorted(names))
        if former:
            self._objects = {**self._objects, **former}
            self._rate_by(network_of(self._objects))

    def apply(
        self,
        connection: Connection,
        usage: Sequence[tuple[Any, ...]],
        whose: Sequence[Whose],
        now: int,
    ) -> None:
        """Rate and post a batch's usage: rows of USAGE_COLUMNS, and whose each is.

        ``now`` is in epoch seconds: when the batch was received.
        """
        usages: list[RatableUsage] = []
        waiting: list[UnratedUsage] = []
        for row, (service, began_at, reason) in zip(usage, whose, strict=True):
            if service is None:
                waiting.append(
                    UnratedUsage(row[0], NETWORK, None, RECEIVED, reason, now, now, 1)
                )
                continue
            usages.append(
                _new(
                    RatableUsage,
                    (service, row[0], row[1], began_at, *row[2:7], row[9], 0),
                )
            )
        waiting += self.rate(connection, usages, now)
        insert_unrated(connection, waiting)

    def rate(
        self, connection: Connection, usages: Sequence[RatableUsage], now: int
    ) -> list[UnratedUsage]:
        """Rate and post usage; give what could not be rated."""
        if not usages:
            return []
        strange = {usage[0] for usage in usages} - self._isps.keys() - self._looked_for
        if strange:
            self._know_former(connection, strange)
        rater, isps = self._rater, self._isps
        rewritten = lock_balances(connection)
        if rewritten != self._rewritten:
            rater.start_again(next_balance_id(connection))
            self._rewritten = rewritten
        missing = rater.missing(usages)
        if missing:
            rater.adopt(missing, load_balances(connection, missing))
        rate = rater.rate
        waiting = []
        rated: list[tuple[str, int, Rated]] = []
        for usage in usages:
            service = usage[0]
            outcome = rate(usage)
            if type(outcome) is Rated:
                rated.append((isps[service], usage[4], outcome))
            else:
                tenant, reason = isps.get(service, NETWORK), str(outcome)
                waiting.append(
                    UnratedUsage(usage[1], tenant, service, GUIDED, reason, now, now, 1)
                )
        if self._awaited:
            self._look_for_effects(connection, usages)
        changes = rater.changes()
        insert_balances(connection, changes.begun)
        update_balances(connection, changes.counted)
        add_samples(connection, changes.samples)
        insert_quota_events(connection, changes.events)
        self._post(connection, rated, now)
        return waiting

    def _post(
        self, connection: Connection, rated: Sequence[tuple[str, int, Rated]], now: int
    ) -> None:
        # The ledger's head is held from here on, so it comes last.
        head = lock_head(connection)
        if head.closings != self._closings:
            self._poster = Poster(self._zones, read_closed(connection))
            self._closings = head.closings
        usage = self._poster.usage
        for tenant, began_at, (retail, wholesale) in rated:
            usage(tenant, retail, wholesale, began_at)
        post(connection, head, self._poster.take(), now, self._books)

    def recycle(
        self,
        connection: Connection,
        waiting: Sequence[UnratedUsage],
        session_of: Callable[[Row[Any]], Session],
        now: int,
    ) -> list[Session]:
        """Try again usage that waits; give the sessions that were guided for it.

        ``session_of`` gives the session that a row keeps.
        """
        guiding = self._guiding
        guiding.look_up_in(connection)
        rows = usage_by_id(connection, [w.usage_id for w in waiting])
        of_id: dict[int, Session] = {}
        found: list[Session] = []
        for row in sessions_by_id(connection, sorted({row.session_id for row in rows})):
            session = of_id[row.id] = session_of(row)
            if session.service is None:
                guiding.guide_one(session, description_of(row))
                found.append(session)
        update_guided(connection, [guided_row(session) for session in found])
        strange = {
            row.session_id: of_id[row.session_id].tenant
            for row in rows
            if of_id[row.session_id].tenant != row.tenant
        }
        write_tenants(connection, strange)
        before = {w.usage_id: w for w in waiting}
        usages, left = [], []
        for row in rows:
            session = of_id[row.session_id]
            if session.service is None:
                reason = session.guided_by or ""
                left.append(before[row.id]._replace(reason=reason))
            else:
                usages.append(_ratable(row, session.service, session.started_at))
        for unrated in self.rate(connection, usages, now):
            received_at = before[unrated.usage_id].received_at
            left.append(unrated._replace(received_at=received_at))
        forget_unrated(connection, list(before))
        tries = [before[w.usage_id].tries + 1 for w in left]
        insert_unrated(
            connection,
            [
                w._replace(tried_at=now, tries=tried)
                for w, tried in zip(left, tries, strict=True)
            ],
        )
        return found

    def written(self) -> None:
        """Let go of what the database has now."""
        self._rater.written()

    def follow_quotas(self, connection: Connection) -> None:
        """Learn which quota events were carried out, whose effect is to be looked for
        in the next usage of their services."""
        self._awaited = {}
        for event in awaited(connection, _AWAITED):
            self._awaited.setdefault(event.event.service, []).append(event)

    def _look_for_effects(
        self, connection: Connection, usages: Sequence[RatableUsage]
    ) -> None:
        found = []
        for usage in usages:
            for awaits in self._awaited.get(usage.service, ()):
                number, event, acted_at, _, _ = awaits
                assert acted_at is not None
                seen = effect(event, acted_at, usage)
                if seen is not Effect.TOO_EARLY:
                    found.append((number, seen, usage.usage_id))
                    self._awaited[usage.service].remove(awaits)
                    break
        write_effects(connection, found)


def _ratable(row: Row[Any], service: str, session_started_at: int) -> RatableUsage:
    return RatableUsage(
        service,
        row.id,
        row.session_id,
        session_started_at,
        row.started_at,
        row.ended_at,
        row.seconds,
        row.input_octets,
        row.output_octets,
        row.derived,
    )
