"""Journal records into sessions, usage and money: one batch, one transaction, one
position.

``daemon.mediation`` says what a batch makes of sessions, usage and money; here it is
written and posted. The position of the journal is written in the same transaction, so a
crash between two batches repeats nothing and loses nothing. Everything here blocks, and
runs in the ledger role's thread or in ``fairlane replay``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import Row

from config.network import Network, network_of
from config.schema import AccountingSettings
from daemon.mediation import UNKNOWN_NAS, Mediated, Mediation, patience_at
from rating.session import GuidedSession, Session
from services.usage_booking import UsageBooking
from storage import sessions as repository
from storage.balances import waiting
from storage.database import Database
from storage.journal import Block
from storage.session_rows import guided_row, session_of


class Mediating(Protocol):
    """What the ledger needs of the mediation, here or in another process."""

    def know(
        self, network: Network, objects: Mapping[tuple[str, str], Mapping[str, Any]]
    ) -> None:
        """Take the network."""

    def mediate(self, journal: str, position: int, blocks: Sequence[Block]) -> Mediated:
        """Mediate a batch."""

    def sweep(self, now: int, after_id: int, limit: int) -> tuple[Mediated, int | None]:
        """Judge silent sessions."""

    def written(self, number: int) -> None:
        """Hear that a batch is written."""

    def guided(self, sessions: Sequence[GuidedSession]) -> None:
        """Take over whose sessions are."""


class Ledger:
    """Applies journals to the database; the only one that writes sessions and usage.

    ``mediation`` starts from what the database has, as this does; it is made here
    unless given.
    """

    def __init__(
        self,
        database: Database,
        settings: AccountingSettings,
        class_key: bytes | None = None,
        mediation: Mediating | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._mediation = mediation or Mediation(database, settings, class_key)
        with database.read.connect() as connection:
            self.positions = dict(repository.read_positions(connection))
        self._booking = UsageBooking(class_key)

    def know(self, objects: Mapping[tuple[str, str], Mapping[str, Any]]) -> None:
        """Take the network's objects by kind and name: counters of each NAS, services,
        tariffs."""
        network = network_of(objects)
        self._mediation.know(network, objects)
        self._booking.know(network, objects)

    def position(self, journal: str) -> int:
        """Give the next position of a journal to apply."""
        return self.positions.get(journal, 1)

    def apply(self, journal: str, blocks: Sequence[Block]) -> Mediated:
        """Apply a batch, and give it.

        The first block is the one with the journal's position in it.

        A ``StorageError`` leaves the database as it was and this ledger unusable: make
        a new one, which starts from what the database has.
        """
        position = self.position(journal)
        batch = self._mediation.mediate(journal, position, blocks)
        self.book(batch)
        return batch

    def book(self, batch: Mediated) -> None:
        """Write a batch that was mediated; as ``apply``."""
        with self._database.write.begin() as connection:
            repository.update_guided(connection, batch.guided)
            repository.insert_sessions(connection, batch.begun)
            repository.update_sessions(connection, batch.described)
            repository.update_life(connection, batch.moved)
            repository.update_progress(connection, batch.counted)
            repository.insert_usage(connection, batch.usage)
            self._booking.book(
                connection, batch.usage, batch.whose, batch.rated, batch.received_at
            )
            if batch.journal:
                repository.write_position(connection, batch.journal, batch.position)
        if batch.journal:
            self.positions[batch.journal] = batch.position
        self._mediation.written(batch.number)

    def waits(self, after_usage_id: int) -> bool:
        """Whether any usage behind an id waits to be tried again."""
        with self._database.read.connect() as connection:
            return bool(waiting(connection, after_usage_id, 1))

    def recycle(self, now: int, after_usage_id: int, limit: int) -> int | None:
        """Try again the next ``limit`` records of usage that wait behind an id.

        Gives the id to go on behind, or None when there are no more. All that was
        mediated must be written before.
        """

        def whole(row: Row[Any]) -> Session:
            return session_of(row, lambda _: UNKNOWN_NAS)

        with self._database.read.connect() as connection:
            some = waiting(connection, after_usage_id, limit)
        if not some:
            return None
        with self._database.write.begin() as connection:
            guided = self._booking.recycle(connection, some, whole, now)
        self._mediation.guided(
            [GuidedSession(s.nas, s.acct_session_id, *guided_row(s)) for s in guided]
        )
        return some[-1].usage_id if len(some) == limit else None

    def follow_quotas(self) -> None:
        """Learn what was carried out of quota events."""
        with self._database.read.connect() as connection:
            self._booking.follow_quotas(connection)

    def sweep(self, now: int, after_id: int, limit: int) -> int | None:
        """Judge the next ``limit`` silent sessions behind ``after_id``.

        Gives the id to go on behind, or None at the end of the round.
        """
        _, before = patience_at(self._settings, now)
        with self._database.read.connect() as connection:
            if not repository.stale_candidates(connection, before, after_id, 1):
                return None
        batch, more = self._mediation.sweep(now, after_id, limit)
        self.book(batch)
        return more
