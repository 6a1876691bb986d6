"""Rated usage written and posted, in the transaction that writes the usage.

It was rated before (``services.usage_rating``), from balances and closed months as they
were then. If another has written any since, it is rated again here, from what the
database has now, while nobody else can. Usage that waits is rated here too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from sqlalchemy import Connection, Row

from config.network import Network
from rating.charge import RatableUsage
from rating.entry import Book
from rating.quota import Effect, effect, event_of
from rating.session import Session
from services.earlier_states import EarlierStates
from services.session_guiding import SessionGuiding, description_of
from services.usage_rating import RatedUsage, UsageRating, Whose, ratable
from storage.balances import (
    UnratedUsage,
    add_samples,
    balances_rewritten,
    forget_unrated,
    insert_balances,
    insert_unrated,
    lock_balances,
    update_balances,
)
from storage.entries import BookIds, closings, lock_head, post
from storage.quota_events import (
    NumberedQuotaEvent,
    awaited,
    insert_quota_events,
    write_effects,
)
from storage.rerating import sessions_by_id, usage_by_id
from storage.session_rows import guided_row, ratable_of
from storage.sessions import update_guided, write_tenants
from storage.usage_arrivals import note_arrival

_AWAITED = 1000


class UsageBooking:
    """Writes what usage came to; ``class_key`` is as ``SessionGuiding`` has it.

    After a transaction that failed it is to be thrown away.
    """

    def __init__(self, class_key: bytes | None = None) -> None:
        self._states = EarlierStates()
        self._guiding = SessionGuiding(class_key, self._states)
        self._network: tuple[Network, Mapping[tuple[str, str], Mapping[str, Any]]]
        self._network = Network(), {}
        self._rating: UsageRating | None = None
        self._books = BookIds()
        self._awaited: dict[str, list[NumberedQuotaEvent]] = {}

    def know(
        self, network: Network, objects: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> None:
        """Take the network, and its objects by kind and name, between two batches."""
        self._states.know(objects)
        self._guiding.know(network, objects)
        self._network = network, objects
        self._rating = None

    def book(
        self,
        connection: Connection,
        usage: Sequence[tuple[Any, ...]],
        whose: Sequence[Whose],
        rated: RatedUsage,
        now: int,
    ) -> None:
        """Write and post what a batch's usage came to.

        ``usage``, ``whose`` and ``now`` are what it was rated from, as
        ``UsageRating.rate_rows`` takes them.
        """
        if rated.begun or rated.counted:
            basis = lock_balances(connection), closings(connection)
            if basis != rated.basis:
                rating = self._rating_again()
                rated = rating.rate_rows(
                    lambda: nullcontext(connection), usage, whose, now
                )
        if self._awaited:
            self._look_for_effects(connection, ratable(usage, whose))
        note_arrival(connection, usage, now)
        write_tenants(connection, rated.tenants)
        insert_unrated(connection, rated.waiting)
        self._write(connection, rated, now)

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
        before = {w.usage_id: w for w in waiting}
        usages, left = [], []
        for row in rows:
            session = of_id[row.session_id]
            if session.service is None:
                reason = session.guided_by or ""
                left.append(before[row.id]._replace(reason=reason))
            else:
                usages.append(ratable_of(row, session.service, session.started_at))
        came_at = {w.usage_id: w.received_at for w in waiting}
        unrated_now, isps = self._rate_now(connection, usages, came_at, now)
        tenants = {row.id: of_id[row.session_id].tenant for row in rows} | isps
        strange = {r.id: tenants[r.id] for r in rows if tenants[r.id] != r.tenant}
        write_tenants(connection, strange)
        for unrated in unrated_now:
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

    def _rate_now(
        self,
        connection: Connection,
        usages: Sequence[RatableUsage],
        came_at: Mapping[int, int],
        now: int,
    ) -> tuple[list[UnratedUsage], dict[int, str]]:
        """Rate and post usage that waited since it came; give what could not be rated,
        and whose the usage is."""
        if not usages:  # most rounds: nothing of it has a service yet
            return [], {}
        lock_balances(connection)
        rating = self._rating_again()
        rated = rating.rate(lambda: nullcontext(connection), usages, now, came_at)
        if rated.counted or rated.begun:
            balances_rewritten(connection)
        self._look_for_effects(connection, usages)
        self._write(connection, rated, now)
        isps = {}
        for usage in usages:
            at = min(usage.ended_at, came_at[usage.usage_id])
            if (isp := rating.isp_at(usage.service, at)) is not None:
                isps[usage.usage_id] = isp
        return [UnratedUsage._make(row) for row in rated.waiting], isps

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

    def _write(self, connection: Connection, rated: RatedUsage, now: int) -> None:
        insert_balances(connection, rated.begun)
        update_balances(connection, rated.counted)
        add_samples(connection, rated.samples)
        insert_quota_events(connection, [event_of(values) for values in rated.events])
        if rated.postings:
            postings = {Book._make(book): rows for book, rows in rated.postings}
            # The ledger's head is held from here on, so it comes last.
            post(connection, lock_head(connection), postings, now, self._books)

    def _rating_again(self) -> UsageRating:
        """Give a rating that starts from what the database has."""
        if self._rating is None:
            self._rating = UsageRating(self._states)
            self._rating.know(*self._network)
        self._rating.start_again()
        return self._rating
