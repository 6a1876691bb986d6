"""Runs the migrations that are packed in `storage/migrations`, without an alembic.ini
to find, to ship or to get wrong.

All pending revisions run in one transaction that holds a lock, so several processes
may start at once and a crash leaves either the old shape or the new one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from storage import (
    access_tables,
    columns,
    control_plane_tables,
    lease_tables,
    overallocation_tables,
    provisioning_tables,
    rating_tables,
    settlement_tables,
    tables,
)
from storage.database import Database, DatabaseVersionError

DECLARED: Final = (
    tables,
    lease_tables,
    overallocation_tables,
    rating_tables,
    settlement_tables,
    access_tables,
    provisioning_tables,
    control_plane_tables,
)
"""Every module of tables: what is imported here is in ``columns.metadata``."""

# Any number will do, as long as no other program locks the same one there.
_ADVISORY_LOCK: Final = 0x4661_6972_6C61_6E65


def upgrade(database: Database, until: str = "head") -> None:
    """Run the revisions that the database lacks; see `storage.database.migrate`."""
    with database.write.begin() as connection:
        if database.is_postgresql:
            connection.exec_driver_sql(
                f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})"
            )
        known = {r.revision for r in _scripts().walk_revisions()}
        current = _context(connection).get_current_revision()
        if current is not None and current not in known:
            raise DatabaseVersionError(
                f"the database is at revision {current}, which this version does not "
                "know: it was migrated by a newer Fairlane"
            )
        try:
            command.upgrade(_config(connection), until)
        except CommandError as error:
            raise DatabaseVersionError(str(error)) from error


def is_current(database: Database) -> bool:
    """Whether every revision of this version has run."""
    with database.read.connect() as connection:
        current = _context(connection).get_current_revision()
    return current == _scripts().get_current_head()


def revision(connection: Connection) -> str | None:
    """The revision that a database is at, or None where it has no tables."""
    return _context(connection).get_current_revision()


def knows(revision: str) -> bool:
    """Whether this version has a revision, and so can go on from it."""
    return revision in {r.revision for r in _scripts().walk_revisions()}


def differences(connection: Connection) -> list[Any]:
    """What the migrated database lacks or has beyond the declared tables: nothing."""
    return list(compare_metadata(_context(connection), columns.metadata))


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _context(connection: Connection) -> MigrationContext:
    return MigrationContext.configure(
        connection,
        opts={"compare_type": True, "target_metadata": columns.metadata},
    )
