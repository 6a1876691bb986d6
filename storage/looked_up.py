"""What a transaction looks up for many at once and finds one by one.

A statement costs ten times what it does, so who knows what a batch will ask reads it
ahead; what was not foreseen is read when it is asked for. What is written may wait too,
to be written together when the transaction, or a part of it, ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from typing import Final, Generic, TypeVar

from sqlalchemy import Connection

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

AT_ONCE: Final = 500
"""Values in one IN list: SQLite and PostgreSQL plan so many at once without trouble."""


class LookedUp(ABC, Generic[Key, Value]):
    """Answers by key, as the database has them and as this transaction leaves them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.known: dict[Key, Value | None] = {}

    def look_ahead(self, keys: Iterable[Key]) -> None:
        """Read what is not known yet, all at once."""
        missing = sorted({key for key in keys if key not in self.known})  # type: ignore[type-var]
        for start in range(0, len(missing), AT_ONCE):
            part = missing[start : start + AT_ONCE]
            found = self.read(part)
            self.known.update({key: found.get(key) for key in part})

    def find(self, key: Key) -> Value | None:
        """Give the answer for one key; None where there is nothing."""
        if key not in self.known:
            self.look_ahead([key])
        return self.known[key]

    @abstractmethod
    def read(self, keys: list[Key]) -> Mapping[Key, Value]:
        """Read from the database; at most ``AT_ONCE`` keys."""

    def flush(self) -> None:
        """Write what waits to be written."""
