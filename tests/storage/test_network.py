"""The applied network and the feed of its changes, the same on both databases."""

from __future__ import annotations

import threading

from storage.database import Database
from storage.network import (
    Change,
    NumberedChange,
    apply,
    changes_since,
    latest_change,
    read_network,
)

_BNG = Change("add", "nas", "bng1", {"address": "192.0.2.1/32", "secrets": ["a", "b"]})
_AREA = Change("add", "area", "harbour", {})


def test_what_was_applied_is_read_back(database: Database) -> None:
    """Objects come back by kind and name, with lists and empty bodies intact."""
    with database.write.begin() as connection:
        number = apply(connection, [_AREA, _BNG], 1_790_000_000)
    with database.read.connect() as connection:
        assert number == latest_change(connection) == 2
        assert read_network(connection) == {
            ("area", "harbour"): {},
            ("nas", "bng1"): _BNG.body,
        }


def test_the_network_is_empty_at_first(database: Database) -> None:
    """A follower that starts before the first apply has number 0 and no object."""
    with database.read.connect() as connection:
        assert latest_change(connection) == 0
        assert read_network(connection) == {}
        assert changes_since(connection, 0, 10) == []


def test_the_feed_tells_every_change_in_order(database: Database) -> None:
    """A change and a removal follow the addition, with time and body."""
    changed = Change("change", "nas", "bng1", {"address": "192.0.2.2/32"})
    removed = Change("remove", "nas", "bng1", None)
    for now, made in ((10, _BNG), (20, changed), (30, removed)):
        with database.write.begin() as connection:
            apply(connection, [made], now)
    with database.read.connect() as connection:
        feed = changes_since(connection, 0, 10)
        network = read_network(connection)

    assert network == {}
    assert feed == [
        NumberedChange(1, 10, _BNG),
        NumberedChange(2, 20, changed),
        NumberedChange(3, 30, removed),
    ]


def test_the_feed_is_read_in_pieces(database: Database) -> None:
    """A follower goes on from the number that it has, so many at a time."""
    made = [Change("add", "area", f"area-{number}", {}) for number in range(5)]
    with database.write.begin() as connection:
        apply(connection, made, 10)
    with database.read.connect() as connection:
        pieces = [
            [change.number for change in changes_since(connection, number, 2)]
            for number in (0, 2, 4, 5)
        ]

    assert pieces == [[1, 2], [3, 4], [5], []]


def test_a_failed_apply_leaves_neither_object_nor_change(database: Database) -> None:
    """Objects and feed are one transaction."""
    with database.write.connect() as connection:
        apply(connection, [_BNG], 10)
        connection.rollback()
    with database.read.connect() as connection:
        assert read_network(connection) == {}
        assert changes_since(connection, 0, 10) == []


def test_a_number_is_never_seen_before_a_lower_one(database: Database) -> None:
    """Of two that apply at once, the second gets its numbers after the first is in."""
    second: list[int] = []

    def apply_second() -> None:
        with database.write.begin() as connection:
            second.append(apply(connection, [_AREA], 20))

    with database.write.begin() as connection:
        first = apply(connection, [_BNG], 10)
        waiting = threading.Thread(target=apply_second)
        waiting.start()
        waiting.join(0.2)
        assert second == []
    waiting.join()

    assert [first] < second
