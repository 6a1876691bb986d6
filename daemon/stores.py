"""The database as the supervisor and the command line need it: migrated, and with the
network file applied."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from sqlalchemy import Connection

from config.network import Change, Network, bodies, diff
from config.row import Body
from config.tariff_checks import frozen
from daemon import clock
from daemon.preparation import Plan
from services.actor import NETWORK, Actor
from services.inventory import managed
from services.provisioning import ObjectChange, log_changes
from storage import network as stored
from storage.database import (
    SQLITE_FILE,
    Database,
    DatabaseUrlError,
    DatabaseVersionError,
    StorageError,
    migrate,
    open_database,
)

_NETWORK_FILE = Actor("network file", NETWORK, "network_file")


Objects = dict[tuple[str, str], Body]
"""Bodies by kind and name."""


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
        typed = getattr(error, "orig", None)
        if isinstance(typed, UnicodeEncodeError):
            raise typed from error  # it is not the database's fault
        raise StoreAwayError(_why(error, plan)) from error
    finally:
        database.close()


def _why(error: StorageError, plan: Plan) -> str:
    """Say what failed, by name, and what to do when the database was never made."""
    said = str(error).splitlines()[0]
    if plan.settings.database == "sqlite":
        file = plan.data_dir / SQLITE_FILE
        if not file.exists():
            return f"database: {file} is not there; `fairlane run` makes it"
        said = f"{file}: {said}"
    if "no such table" in said or "UndefinedTable" in said:
        said += "; `fairlane migrate` brings the database to this version"
    return f"database: {said}"


def prepare_database(plan: Plan) -> None:
    """Migrate the database; raises StoreError."""
    with opened(plan) as database:
        migrate(database)


def plan_network(plan: Plan) -> list[Change]:
    """List what ``apply_network`` would change; raises StoreError.

    Nothing is made or migrated for it: a database that is not there yet has no network.
    """
    if plan.network is None:
        return []
    on_disk = plan.settings.database == "sqlite"
    if on_disk and not (plan.data_dir / SQLITE_FILE).exists():
        return _allowed({}, _wanted(plan.network))
    with opened(plan) as database, database.read.connect() as connection:
        if not stored.exists(connection):
            return _allowed({}, _wanted(plan.network))
        return _difference(connection, plan.network)


def apply_network(plan: Plan) -> list[Change]:
    """Make the stored network what the plan's file says; raises StoreError.

    Difference and change are one transaction. Without a network in the plan nothing
    changes.
    """
    if plan.network is None:
        return []
    with opened(plan) as database, database.write.begin() as connection:
        stored.lock_network(connection)
        changes = _difference(connection, plan.network)
        rows = [stored.Change(c.action, c.kind, c.name, c.after) for c in changes]
        if rows:
            now = int(clock.now())
            stored.apply(connection, rows, now=now)
            logged = [ObjectChange(c.kind, c.name, c.before, c.after) for c in changes]
            log_changes(connection, _NETWORK_FILE, logged, now)
    return changes


def _wanted(network: Network) -> Objects:
    # What is stored went through JSON, so what is wanted must too: tuples become lists.
    return {
        key: msgspec.json.decode(msgspec.json.encode(body))
        for key, body in bodies(network).items()
    }


def _difference(connection: Connection, network: Network) -> list[Change]:
    """Compare with what is stored; StoreError when a tariff in force would change."""
    # What orders, imports and consoles changed is theirs: a file that is applied again
    # at each start must not bring back a service that was given up since.
    theirs = managed(connection)
    before, wanted = (
        {key: body for key, body in objects.items() if key not in theirs}
        for objects in (stored.read_network(connection), _wanted(network))
    )
    return _allowed(before, wanted)


def _allowed(before: Objects, wanted: Objects) -> list[Change]:
    refused = frozen(before, wanted, int(clock.now()))
    if refused:
        raise StoreError("\n".join(refused))
    return diff(before, wanted)
