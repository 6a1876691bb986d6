"""What questions are searched in, read before the first one is asked.

Sites are asked for at random, so that each question of a process that has just begun
waits for pages of the disk. Here they are read in their order, into the memory of the
connection that answers: a million sites are some 300 MiB, and take a second or two.
"""

# ruff: noqa: S608  what is put into statements is our own tables' and columns' names
from __future__ import annotations

from typing import Any, Final

import sqlalchemy
from pysqlite3 import dbapi2 as sqlite

from storage.database import Database

_ROWS: Final = 2_000_000
"""So many of each are read; what there is beyond comes when it is asked for."""

_CACHE_KIB: Final = 524_288
"""Memory for pages: what is read here, and what is asked for and written besides."""

_READ: Final = (
    ("service_site", "NOT INDEXED", "name || address || normal", "true"),
    *(
        ("service_site", f"INDEXED BY {index}", column, f"{column} >= ''")
        for index, column in (
            ("sqlite_autoindex_service_site_1", "name"),
            ("service_site_by_normal", "normal"),
            ("service_site_by_postcode_key", "postcode_key"),
            ("service_site_by_street_key", "street_key"),
        )
    ),
    (
        "qualification",
        "INDEXED BY qualification_open_by_place",
        "place",
        "state = 'open'",
    ),
    ("hold", "NOT INDEXED", "owner || resource", "true"),
    ("hold", "INDEXED BY sqlite_autoindex_hold_1", "owner", "owner >= ''"),
    (
        "qualification",
        "INDEXED BY sqlite_autoindex_qualification_1",
        "id",
        "id >= '' ORDER BY id DESC",  # the last of them may be open
    ),
)


def warm(database: Database) -> None:
    """Read it; PostgreSQL keeps memory of its own. Raises StorageError."""
    if database.is_postgresql:
        return
    with database.write.connect() as connection:
        # Without a transaction, and so without SQLAlchemy: others may write meanwhile.
        driver: Any = connection.connection.driver_connection
        try:
            driver.execute(f"PRAGMA cache_size=-{_CACHE_KIB}").close()
            for table, how, column, which in _READ:
                rows = (
                    f"SELECT {column} AS one FROM {table} {how} WHERE {which} LIMIT ?"
                )
                driver.execute(f"SELECT count(one) FROM ({rows})", (_ROWS,)).fetchone()
        except sqlite.Error as error:
            raise sqlalchemy.exc.DBAPIError.instance(
                "warm", None, error, sqlite.Error
            ) from error
