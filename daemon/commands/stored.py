"""What commands on the ledger share: the open database, the network stored in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlalchemy import Connection

from config.network import Network, network_of
from daemon.commands.options import fail, load_or_exit
from daemon.stores import StoreError, opened
from storage.database import Database
from storage.network import has_object, read_network


@contextmanager
def database_of(configuration: Path | None) -> Iterator[Database]:
    """Open the configured database; when it fails say why and exit with 1."""
    plan = load_or_exit(configuration)
    try:
        with opened(plan) as database:
            yield database
    except StoreError as error:
        fail(str(error))


def network_in(connection: Connection) -> Network:
    """The network as it was last applied."""
    return network_of(read_network(connection))


def note_unknown(connection: Connection, **names: str | None) -> None:
    """Say which names the network does not have, where nothing was found by them.

    It is no failure: history has names that are gone from the network.
    """
    for kind, name in names.items():
        if name is not None and not has_object(connection, kind, name):
            click.echo(f"the network has no {kind} called {name!r}", err=True)
