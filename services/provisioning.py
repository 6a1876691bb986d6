"""One transaction of provisioning: the network's lock, and the network as it is then.

Qualification, orders and the manager decide on an ``Inventory`` in memory, which is
brought up to the change feed when a transaction begins. The lock makes these
transactions one after the other on both databases, so nothing that was decided can be
overtaken; when one is rolled back, the memory goes back with it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

from sqlalchemy import Connection, Engine

from config.row import Row, redacted
from provisioning.inventory import Inventory
from services.actor import Actor
from storage import at_once, holds, network
from storage.database import Database
from storage.provisioning_tables import object_change
from storage.write_ahead import WriteAhead

_CHANGES_AT_ONCE: Final = 10_000


class ObjectChange(NamedTuple):
    """One change for the log: bodies with their secrets, which the log blots out."""

    kind: str
    name: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None

    @property
    def action(self) -> network.Action:
        """What it does: add, modify or delete."""
        if self.before is None:
            return "add"
        return "delete" if self.after is None else "modify"


class Gathered(Protocol):
    """What is read ahead and written together; see ``storage.looked_up``."""

    def __init__(self, connection: Connection) -> None:
        """Begin with nothing known."""

    def flush(self) -> None:
        """Write what waits to be written."""


_Gathered = TypeVar("_Gathered", bound=Gathered)


class Transaction:
    """What a service works with; ``now`` is in epoch seconds."""

    def __init__(self, connection: Connection, inventory: Inventory, now: int) -> None:
        self.connection = connection
        self.inventory = inventory
        self.now = now
        self._before: list[tuple[str, str, Row | None]] = []
        self._unwritten: list[ObjectChange] = []
        self._log: list[dict[str, Any]] = []
        self._released: list[str] = []
        self._gathered: dict[type[Gathered], Gathered] = {}
        self._number = inventory.number

    def change(
        self,
        actor: Actor,
        changes: Iterable[ObjectChange],
        reason: str = "",
        tenant: str | None = None,
    ) -> None:
        """Change the network and write who did; ``tenant`` when not the actor's."""
        made = list(changes)
        if not made:
            return
        for one in made:
            self._before.append((one.kind, one.name, self.inventory.get(*one[:2])))
            self.inventory.put(one.kind, one.name, one.after)
        self._unwritten += made
        self._log += log_rows(actor, made, self.now, reason, tenant)

    def together(self, kind: type[_Gathered]) -> _Gathered:
        """Give the transaction's one of a kind of look-up, for as long as it holds."""
        if kind not in self._gathered:
            self._gathered[kind] = kind(self.connection)
        return cast(_Gathered, self._gathered[kind])

    def look_again(self) -> None:
        """Write what waits, and take nothing that was looked up for so any more."""
        self.flush()
        self._gathered.clear()

    def release(self, owner: str) -> None:
        """Let an owner's holds go when the transaction ends: it has what it needs."""
        self._released.append(owner)

    def flush(self) -> None:
        """Write what was changed since the last time, many in one statement.

        A transaction and a savepoint end with it; who reads the network's objects by
        SQL in between calls it first.
        """
        if self._unwritten:
            made, self._unwritten = self._unwritten, []
            applied = [network.Change(c.action, c.kind, c.name, c.after) for c in made]
            self.inventory.number = network.apply(self.connection, applied, self.now)
            rows, self._log = self._log, []
            at_once.insert(self.connection, object_change, rows)
        if self._released:
            owners, self._released = self._released, []
            gone = holds.holds_of(self.connection, owners)
            holds.change(self.connection, gone=gone)
        for gathered in self._gathered.values():
            gathered.flush()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Do a part that may fail alone: then it is undone, and the rest goes on."""
        self.flush()
        kept, number = len(self._before), self.inventory.number
        try:
            with self.connection.begin_nested():
                yield
                self.flush()
        except BaseException:
            self._forget(kept, number)
            raise

    def forget(self) -> None:
        """Take the memory back to where the transaction began."""
        self._forget(0, self._number)

    def _forget(self, kept: int, number: int) -> None:
        while len(self._before) > kept:
            self.inventory.restore(*self._before.pop())
        self.inventory.number = number
        self._unwritten, self._log, self._released = [], [], []
        self._gathered.clear()


class Provisioning:
    """Gives transactions, one at a time; may be used from any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._inventory = Inventory()
        self._lock = threading.Lock()
        # Who waits for the lock holds this one, so who just had it comes after him.
        self._next = threading.Lock()

    @contextmanager
    def transaction(self, now: int, *, later: bool = False) -> Iterator[Transaction]:
        """Begin a transaction on the network as it is; raises StorageError.

        What is done ``later`` is told of after ``confirm``, beside the next ones.
        """
        with self._next:
            self._lock.acquire()
        try:
            log = self.database.log if later else None
            with self._begun(now, log or self.database.write) as transaction:
                yield transaction
        finally:
            self._lock.release()

    def is_current(self, connection: Connection) -> bool:
        """Say whether memory has the network as the database has it."""
        return self._inventory.number == network.latest_change(connection)

    def confirm(self) -> None:
        """Make durable what is committed; raises StorageError when it cannot be."""
        if self.database.log is not None:
            self.database.log.sync()

    @contextmanager
    def _begun(self, now: int, door: Engine | WriteAhead) -> Iterator[Transaction]:
        transaction = None
        try:
            with door.begin() as connection:
                network.lock_network(connection)
                follow(connection, self._inventory)
                transaction = Transaction(connection, self._inventory, now)
                yield transaction
                transaction.flush()
        except BaseException:
            if transaction is not None:
                transaction.forget()
            raise


def follow(connection: Connection, inventory: Inventory) -> None:
    """Bring an inventory up to the change feed as this transaction sees it."""
    latest = network.latest_change(connection)
    if inventory.number < 0:
        for (kind, name), body in network.read_network(connection).items():
            inventory.put(kind, name, body)
        inventory.number = latest
    while inventory.number < latest:
        missing = network.changes_since(connection, inventory.number, _CHANGES_AT_ONCE)
        for numbered in missing:
            inventory.put(*numbered.change[1:])
            inventory.number = numbered.number


def log_changes(
    connection: Connection,
    actor: Actor,
    changes: Iterable[ObjectChange],
    now: int,
    reason: str = "",
    tenant: str | None = None,
) -> None:
    """Write the change log: who, when, what it was and what it is; never a secret."""
    rows = log_rows(actor, changes, now, reason, tenant)
    at_once.insert(connection, object_change, rows)


def log_rows(
    actor: Actor,
    changes: Iterable[ObjectChange],
    now: int,
    reason: str,
    tenant: str | None,
) -> list[dict[str, Any]]:
    """Make the rows of the change log, secrets blotted out."""
    return [
        {
            "at": now,
            "actor": actor.name,
            "channel": actor.channel,
            "reason": reason,
            "kind": one.kind,
            "name": one.name,
            "action": one.action,
            "before": _shown(one.before),
            "after": _shown(one.after),
            "tenant": tenant or actor.isp or actor.tenant,
        }
        for one in changes
    ]


def _shown(body: Mapping[str, Any] | None) -> Any:
    return None if body is None else redacted(body)
