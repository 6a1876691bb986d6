"""The network as a packet role follows it: the change feed, and a copy for bad days.

The database's numbered changes are the truth; a role looks every half second for a
number higher than its own, so that a new NAS is served within one second. What it read
last is kept beside the journals: a role that starts while the database is down serves
the network of the last time it was up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from config.network import KINDS, Network
from config.row import Body
from storage.database import Database, StorageError
from storage.network import latest_change, read_network

POLL_SECONDS = 0.5

Objects = dict[tuple[str, str], dict[str, Any]]
"""The network's objects by kind and name."""


def network_of(objects: Objects) -> Network:
    """Make the network of its objects."""
    tables: dict[str, list[Body]] = {kind: [] for kind in KINDS}
    for (kind, _), body in objects.items():
        tables[kind].append(body)
    return msgspec.convert(tables, Network)


class _Copy(msgspec.Struct):
    change: int
    objects: list[tuple[str, str, dict[str, Any]]]


class NetworkFeed:
    """Follows the network; its methods block, and belong in a thread.

    ``copy`` is the file of the last network read.
    """

    def __init__(self, database: Database, copy: Path) -> None:
        self._database = database
        self._copy = copy
        self._change = -1
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
                    return None
                objects = read_network(connection)
        except StorageError as error:
            self.failure = str(error).splitlines()[0]
            return self._read_copy() if self._change < 0 else None
        self.failure = None
        self._change = change
        self._write_copy(_Copy(change, [(*key, body) for key, body in objects.items()]))
        return objects

    def _read_copy(self) -> Objects | None:
        try:
            copy = msgspec.json.decode(self._copy.read_bytes(), type=_Copy)
        except (FileNotFoundError, msgspec.DecodeError):
            return None
        self._change = copy.change
        return {(kind, name): body for kind, name, body in copy.objects}

    def _write_copy(self, copy: _Copy) -> None:
        """Replace the copy as a whole; a full disk leaves the one there was."""
        temporary = self._copy.with_suffix(".new")
        try:
            temporary.touch(mode=0o600)
            temporary.write_bytes(msgspec.json.encode(copy))
            temporary.replace(self._copy)
        except OSError as error:
            self.failure = f"{self._copy.name}: {error.strerror}"
