"""Following the network: a change costs what it changes."""

from __future__ import annotations

from pathlib import Path

from daemon.network_feed import NetworkFeed
from storage.database import Database, migrate, open_database
from storage.network import Change, apply


def put(database: Database, *changes: Change) -> None:
    """Change the network."""
    with database.write.begin() as connection:
        apply(connection, changes, 1)


def test_changes_are_followed_one_by_one(tmp_path: Path) -> None:
    """The first poll reads all; later ones only what came, in its order."""
    database = open_database("sqlite", tmp_path)
    migrate(database)
    put(database, Change("add", "isp", "a", {"name": "a"}))
    feed = NetworkFeed(database, tmp_path / "copy")
    assert {("isp", "a"): {"name": "a"}} == feed.poll()
    assert feed.changed is None

    put(
        database,
        Change("add", "isp", "b", {"name": "b"}),
        Change("delete", "isp", "a", None),
    )
    assert {("isp", "b"): {"name": "b"}} == feed.poll()
    assert [("isp", "b", {"name": "b"}), ("isp", "a", None)] == feed.changed
    assert feed.poll() is None
    database.close()


def test_a_feed_that_was_pruned_is_read_as_a_whole(tmp_path: Path) -> None:
    """A gap in the numbers is no order of changes to follow."""
    database = open_database("sqlite", tmp_path)
    migrate(database)
    put(database, Change("add", "isp", "a", {"name": "a"}))
    feed = NetworkFeed(database, tmp_path / "copy")
    feed.poll()
    put(database, Change("add", "isp", "b", {"name": "b"}))
    put(database, Change("add", "isp", "c", {"name": "c"}))
    with database.write.begin() as connection:
        connection.exec_driver_sql("DELETE FROM change WHERE name = 'b'")

    assert {"a", "b", "c"} == {name for _, name in feed.poll() or {}}
    assert feed.changed is None
    database.close()
