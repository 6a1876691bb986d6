"""A network changed as the change feed tells it, without anything that runs."""

from __future__ import annotations

from config.network import Network, bodies, diff, network_of
from storage import network as feed
from storage.database import Database


def change_network(database: Database, network: Network, at: int) -> None:
    """Make this the network at a time, in epoch seconds."""
    with database.write.begin() as connection:
        before = bodies(network_of(feed.read_network(connection)))
        changes = [
            feed.Change(c.action, c.kind, c.name, c.after)
            for c in diff(before, network)
        ]
        feed.apply(connection, changes, at)
