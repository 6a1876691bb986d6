"""What commands on the ledger share: the open database, the network stored in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from config.network import Network, network_of
from daemon.commands.options import fail, load_or_exit
from daemon.stores import StoreError, opened
from storage.database import Database
from storage.network import read_network


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
