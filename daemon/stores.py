"""The database as the supervisor and the command line need it: migrated, and with the
network file applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from config.network import Change
from daemon import clock
from daemon.preparation import Plan
from storage.database import (
    Database,
    DatabaseUrlError,
    DatabaseVersionError,
    StorageError,
    migrate,
    open_database,
)


class StoreError(Exception):
    """The database cannot be used; the message says why and repeats no password."""


class StoreAwayError(StoreError):
    """The database does not answer now, and may later."""


@contextmanager
def opened(plan: Plan) -> Iterator[Database]:
    """Open the plan's database for a moment; its errors become StoreError."""
    try:
        database = open_database(plan.settings.database, plan.data_dir)
    except DatabaseUrlError as error:
        raise StoreError(str(error)) from error
    try:
        yield database
    except DatabaseVersionError as error:
        raise StoreError(str(error)) from error
    except StorageError as error:
        raise StoreAwayError(f"database: {str(error).splitlines()[0]}") from error
    finally:
        database.close()


def prepare_database(plan: Plan) -> None:
    """Migrate the database; raises StoreError."""
    with opened(plan) as database:
        migrate(database)


def apply_network(plan: Plan) -> list[Change]:
    """Make the stored network what the plan's file says; raises StoreError.

    Without a network in the plan nothing changes.
    """
    if plan.network is None:
        return []
    from storage import network as stored

    with opened(plan) as database:
        return stored.apply_network(database, plan.network, now=int(clock.now()))
