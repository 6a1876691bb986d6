"""The address server's journal into leases, history and sales: one batch, one position.

A binding is written to ``lease`` when it is made and to ``lease_history`` when it has
ended: by a record, by another binding of its address, or by its time, which nobody
records and which is found when the next binding comes. Bindings of a batch follow one
another in memory; the database is asked for those it begins with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from config.schema import Settings
from ipserver.over_allocation_change import KIND
from ipserver.reasons import Reason
from ipserver.record_columns import apart, whole
from ipserver.records import (
    Bound,
    Declined,
    Ended,
    Entry,
    Excess,
    Extended,
    Reusable,
    bodies,
)
from storage import leases
from storage.database import Database
from storage.journal import Block
from storage.lease_rows import (
    ENDED,
    EXPIRES,
    EXTENDED,
    REASON,
    history_row,
    lease_row,
    lease_rows,
    sale_row,
)
from storage.over_allocation import apply_bodies
from storage.sessions import read_positions, write_position

_ADDRESS = 2
"""Where a binding that was read whole has it."""


class LeaseLedger:
    """Applies the journal of the address server; the only one that writes leases."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        with database.read.connect() as connection:
            self.positions = dict(read_positions(connection))

    def apply(self, journal: str, blocks: Sequence[Block]) -> None:
        """Apply blocks in one transaction."""
        position = self.positions.get(journal, 1)
        octets = b"".join(block.octets for block in blocks if block.first >= position)
        last = blocks[-1]
        with self._database.write.begin() as connection:
            self._apply(connection, octets)
            apply_bodies(connection, bodies(octets, KIND))
            write_position(connection, journal, last.first + last.records)
        self.positions[journal] = last.first + last.records

    def _apply(self, connection: Connection, octets: bytes) -> None:
        alike, others = apart(octets)
        bindings = list(whole(alike))
        counts = Counter([binding[_ADDRESS] for binding in bindings])
        turned = {e.address for e in others if isinstance(e, Bound | Ended | Declined)}
        found = leases.leases_at(connection, sorted(turned | counts.keys()))
        # What is all that is said of an address is its row; the rest follows in order.
        known = {row[0] for row in found}
        known.update(e.address for e in others if not isinstance(e, Excess))
        known.update(address for address, count in counts.items() if count > 1)
        if not known.isdisjoint(counts):
            alike, others = apart(octets, known)
            bindings = list(whole(alike))
        pages = _Pages(found)
        for entry in others:
            pages.take(entry)
        pages.write(connection, lease_rows(bindings))


class _Pages:
    """The addresses that a batch speaks of: their leases before and after it."""

    def __init__(self, found: Iterable[Sequence[Any]]) -> None:
        self._rows: dict[int, list[Any]] = {row[0]: list(row) for row in found}
        self._changed: set[int] = set()
        self._extended: dict[int, tuple[int, int, int]] = {}
        self._history: list[tuple[Any, ...]] = []
        self._sales: list[tuple[Any, ...]] = []
        self._quarantine: list[Reusable | tuple[Any, ...]] = []

    def take(self, entry: Entry) -> None:
        """Take what an entry says."""
        match entry:
            case Bound():
                self._end(entry.address, entry.at, Reason.REPLACED)
                self._rows[entry.address] = list(lease_row(entry))
                self._changed.add(entry.address)
            case Extended(at, expires, address):
                row = self._rows.get(address)
                if row is None:
                    self._extended[address] = (address, at, expires)
                elif row[ENDED] is None:
                    row[EXTENDED], row[EXPIRES] = at, expires
                    self._changed.add(address)
            case Ended(at, address, reason):
                self._end(address, at, reason)
            case Declined(at, until, address, line):
                self._end(address, at, Reason.DECLINED)
                row = self._rows.get(address)
                tenant = row[-1] if row is not None else "network"
                self._quarantine.append((address, line, at, until, tenant))
            case Reusable():
                self._quarantine.append(entry)
            case Excess():
                self._sales.append(sale_row(entry))

    def _end(self, address: int, at: int, reason: Reason) -> None:
        """End an address's binding, if one is open: at its time if that is over."""
        row = self._rows.get(address)
        if row is None or row[ENDED] is not None:
            return
        expired = row[EXPIRES] <= at
        # By a clock that was set back, no earlier than it was last known to be.
        row[ENDED] = row[EXPIRES] if expired else max(at, row[EXTENDED])
        row[REASON] = (Reason.EXPIRED if expired else reason).value
        self._history.append(history_row(row))
        self._changed.add(address)

    def write(self, connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        """Write what has changed, and rows of addresses that it has not met."""
        rows += [tuple(self._rows[address]) for address in self._changed]
        leases.replace_leases(connection, rows)
        leases.extend_leases(connection, list(self._extended.values()))
        leases.add_history(connection, self._history)
        leases.add_sales(connection, self._sales)
        declined: list[tuple[Any, ...]] = []
        for step in self._quarantine:
            if isinstance(step, Reusable):  # of what was declined before it
                leases.quarantine(connection, declined)
                declined = []
                leases.release_quarantine(connection, step.address, step.at)
            else:
                declined.append(step)
        leases.quarantine(connection, declined)
