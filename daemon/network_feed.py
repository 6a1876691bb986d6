"""The network as a packet role follows it: the change feed, and a copy for bad days.

The database's numbered changes are the truth; a role looks every quarter second for a
number higher than its own, so that a new NAS is served within one second. What it read
last is kept beside the journals: a role that starts while the database is down serves
the network of the last time it was up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection

from daemon import clock
from storage.database import Database, StorageError
from storage.network import changes_since, latest_change, read_network

POLL_SECONDS = 0.25
"""What the address server then makes of a change takes a part of its second too."""
_COPY_SECONDS = 5.0
"""Between two copies: a large network takes a moment to write."""
_CHANGES = 5000
"""Changes followed one by one; after more the network is read as a whole."""

Objects = dict[tuple[str, str], dict[str, Any]]
"""The network's objects by kind and name."""


Changed = tuple[str, str, Mapping[str, Any] | None]
"""A changed object: kind, name and body, None when it is gone."""


class _Copy(msgspec.Struct):
    change: int
    objects: list[tuple[str, str, dict[str, Any]]]


class NetworkFeed:
    """Follows the network; its methods block, and belong in a thread.

    ``copy`` is the file of the last network read, or None. After a ``poll`` that gave
    something, ``changed`` is what was changed in it: kind, name and body, None for what
    is gone; or it is None when the whole network is new. ``objects`` is the network.
    """

    def __init__(self, database: Database, copy: Path | None) -> None:
        self._database = database
        self._copy = copy
        self._change = -1
        self.objects: Objects = {}
        self._copied_at = -_COPY_SECONDS
        self._copied_change = -1
        self.changed: list[Changed] | None = None
        self.failure: str | None = None

    def poll(self) -> Objects | None:
        """Give the network if it changed since the last call, else None.

        A database that does not answer is not an error here: ``failure`` says so, and
        the first call gives the copy instead.
        """
        try:
            with self._database.read.connect() as connection:
                change = latest_change(connection)
                if change == self._change:
                    self.failure = None
                    self._write_copy()
                    return None
                self.changed = self._changes(connection, change)
                if self.changed is None:
                    self.objects = read_network(connection)
        except StorageError as error:
            self.failure = str(error).splitlines()[0]
            return self._read_copy() if self._change < 0 else None
        self.failure = None
        self._change = change
        self._write_copy()
        return self.objects

    def _changes(self, connection: Connection, latest: int) -> list[Changed] | None:
        """Apply what came since the last poll; None when all has to be read anew.

        A network of a hundred thousand services is read once, not for each order.
        """
        if not 0 <= latest - self._change <= _CHANGES or self._change < 0:
            return None
        found = changes_since(connection, self._change, _CHANGES)
        if not found or found[0].number != self._change + 1:
            return None
        changed: list[Changed] = []
        for _, _, (_, kind, name, body) in found:
            if body is None:
                self.objects.pop((kind, name), None)
            else:
                self.objects[kind, name] = dict(body)
            changed.append((kind, name, body))
        return changed

    def _read_copy(self) -> Objects | None:
        if self._copy is None:
            return None
        try:
            copy = msgspec.json.decode(self._copy.read_bytes(), type=_Copy)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        self._change = self._copied_change = copy.change
        self.objects = {(kind, name): body for kind, name, body in copy.objects}
        return self.objects

    def _write_copy(self) -> None:
        """Replace the copy as a whole; a full disk leaves the one there was."""
        now = clock.monotonic()
        if self._copy is None:
            return
        if self._copied_change == self._change or now - self._copied_at < _COPY_SECONDS:
            return
        self._copied_at, self._copied_change = now, self._change
        objects = [(*key, body) for key, body in self.objects.items()]
        copy = _Copy(self._change, objects)
        temporary = self._copy.with_suffix(".new")
        try:
            temporary.touch(mode=0o600)
            temporary.write_bytes(msgspec.json.encode(copy))
            temporary.replace(self._copy)
        except OSError as error:
            self.failure = f"{self._copy.name}: {error.strerror}"
