"""Two who change the same rows: the second begins before the first has committed."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection

from storage.bulk import is_postgresql
from storage.database import Database

T = TypeVar("T")


def second_of(
    database: Database, first: Callable[[Connection], None], second: Callable[[], T]
) -> T:
    """Do the first in a transaction, which commits once the second waits for it; give
    what the second comes to. On SQLite it waits from its beginning."""
    with ThreadPoolExecutor(1) as pool, database.write.begin() as connection:
        first(connection)
        found = pool.submit(second)
        while is_postgresql(connection) and not found.done() and not _waits(database):
            time.sleep(0.01)
    return found.result()


def _waits(database: Database) -> bool:
    with database.read.connect() as connection:
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        return bool(connection.exec_driver_sql(query).scalar())
