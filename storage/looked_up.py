"""What a transaction looks up for many at once and finds one by one.

A statement costs ten times what it does, so who knows what a batch will ask reads it
ahead; what was not foreseen is read when it is asked for. What is written may wait too,
to be written together when the transaction, or a part of it, ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from typing import Generic, TypeVar

from sqlalchemy import Connection

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class LookedUp(ABC, Generic[Key, Value]):
    """Answers by key, as the database has them and as this transaction leaves them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.known: dict[Key, Value | None] = {}

    def look_ahead(self, keys: Iterable[Key]) -> None:
        """Read what is not known yet, all at once."""
        missing = sorted({key for key in keys if key not in self.known})  # type: ignore[type-var]
        if missing:
            found = self.read(missing)
            self.known.update({key: found.get(key) for key in missing})

    def find(self, key: Key) -> Value | None:
        """Give the answer for one key; None where there is nothing."""
        if key not in self.known:
            self.look_ahead([key])
        return self.known[key]

    @abstractmethod
    def read(self, keys: list[Key]) -> Mapping[Key, Value]:
        """Read from the database."""

    def flush(self) -> None:
        """Write what waits to be written."""
