"""Rows for the storage tests."""

from __future__ import annotations

from typing import Any

import pytest

from storage.database import Database
from storage.sessions import insert_sessions, insert_usage
from storage.tables import SESSION_COLUMNS, USAGE_COLUMNS


class Rows:
    """Makes rows of which a test names only what matters to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def session(**values: Any) -> tuple[Any, ...]:
        """One session in the order of SESSION_COLUMNS."""
        number = values["id"]
        row: dict[str, Any] = dict.fromkeys(SESSION_COLUMNS)
        row |= dict.fromkeys(
            ("seconds", "input_octets", "output_octets", "input_packets"), 0
        )
        row |= {
            "nas": "bng1",
            "nas_identity": "192.0.2.1",
            "acct_session_id": f"S-{number}",
            "state": "open",
            "started_at": 1_790_000_000,
            "started_derived": "reported",
            "last_seen_at": 1_790_000_000,
            "last_arrival_at": 1_790_000_000,
            "output_packets": 0,
            "points": b"",
            "tenant": "network",
        }
        return tuple((row | values).values())

    @staticmethod
    def usage(**values: Any) -> tuple[Any, ...]:
        """One usage record in the order of USAGE_COLUMNS."""
        row: dict[str, Any] = dict.fromkeys(USAGE_COLUMNS, 0)
        row |= {"derived": "reported", "records": 1, "tenant": "network"}
        row |= {"started_at": 1_790_000_000, "ended_at": 1_790_000_600}
        return tuple((row | values).values())

    def add_sessions(self, *rows: dict[str, Any]) -> None:
        """Insert sessions, each with at least an id."""
        with self._database.write.begin() as connection:
            insert_sessions(connection, [self.session(**row) for row in rows])

    def add_usage(self, *rows: dict[str, Any]) -> None:
        """Insert usage records, each with at least an id and a session_id."""
        with self._database.write.begin() as connection:
            insert_usage(connection, [self.usage(**row) for row in rows])


@pytest.fixture
def rows(database: Database) -> Rows:
    """Makes and inserts rows."""
    return Rows(database)
