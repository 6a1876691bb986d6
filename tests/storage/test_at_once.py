"""Rows that are read and written in one step, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from storage.among import among
from storage.at_once import Rows, add_up, insert, read_all, update
from storage.database import Database, StorageError
from storage.provisioning_tables import held, hold, order_task, outbox_event

HOLDS = Rows(select(hold).where(among(hold.c.owner)).order_by(hold.c.resource))


def event(number: int, body: dict[str, Any]) -> dict[str, Any]:
    """A row of the outbox, which numbers it."""
    return {
        "at": number,
        "type": "Event",
        "subject": f'"{number}"',
        "line": None,
        "body": body,
        "tenant": "aurora",
    }


def task(before: dict[str, Any] | None) -> dict[str, Any]:
    """A row of a task."""
    return {
        "order_id": str(before),
        "number": 1,
        "item": 1,
        "kind": "binding",
        "state": "pending",
        "after": [1, 2],
        "attempts": 0,
        "due_at": 2**40,
        "deadline_at": 0,
        "about": {"süß": ["a", 1.5, None, True]},
        "before": before,
    }


def test_what_is_written_is_read_back(database: Database) -> None:
    """Texts and numbers, whatever is written in them."""
    rows = [
        {"owner": "o'1", "resource": f'{n} "\\ä', "quantity": n, "tenant": "t"}
        for n in range(3)
    ]
    with database.write.begin() as connection:
        insert(connection, hold, rows)
        insert(connection, hold, [])
        found = HOLDS.read(connection, {"keys": ["o'1", "absent"]})
        none = HOLDS.read(connection, {"keys": []})

    assert [list(row.values()) for row in rows] == [list(row) for row in found]
    assert [] == list(none)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 200])
def test_any_number_of_rows_is_written(database: Database, count: int) -> None:
    """Also where they are more than one statement takes."""
    rows = [
        {"owner": "o", "resource": f"{n:04}", "quantity": n, "tenant": "t"}
        for n in range(count)
    ]
    with database.write.begin() as connection:
        insert(connection, hold, rows)
        found = HOLDS.read(connection, {"keys": ["o"]})

    assert [list(row.values()) for row in rows] == [list(row) for row in found]


def test_several_queries_are_answered_together(database: Database) -> None:
    """Each with its own values, in the order in which they are asked."""
    rows = [
        {"owner": owner, "resource": "r", "quantity": 1, "tenant": "t"}
        for owner in ("a", "b")
    ]
    with database.write.begin() as connection:
        insert(connection, hold, rows)
        asked = [(HOLDS, {"keys": keys}) for keys in (["b"], [], ["a", "b"])]
        found = read_all(connection, *asked)

    assert [["b"], [], ["a", "b"]] == [sorted(r[0] for r in some) for some in found]


def test_rows_are_numbered_in_their_order_and_json_is_what_it_was(
    database: Database,
) -> None:
    """Columns that are not given have their default, and None is null."""
    bodies: list[dict[str, Any]] = [{"n": n, "text": 'a "b" \\ ü'} for n in range(20)]
    with database.write.begin() as connection:
        insert(connection, outbox_event, [event(b["n"], b) for b in bodies])
        insert(connection, order_task, [task(None), task({"a": [None]})])
        events = connection.execute(select(outbox_event)).all()
        tasks = connection.execute(select(order_task)).all()
        nothing = select(order_task.c.order_id).where(order_task.c.before.is_(None))
        without = connection.scalars(nothing).all()

    assert bodies == [row.body for row in sorted(events, key=lambda row: row.number)]
    assert {str(None): None, "{'a': [None]}": {"a": [None]}} == {
        row.order_id: row.before for row in tasks
    }
    assert [([1, 2], task(None)["about"], "", 2**40)] * 2 == [
        (row.after, row.about, row.reason, row.due_at) for row in tasks
    ]
    assert [str(None)] == list(without)


def test_rows_are_changed_by_their_key(database: Database) -> None:
    """What a change says nothing of stays, and so do the rows of other keys."""
    first, second = task({"a": 1}), task(None)
    change = {"order_id": "None", "number": 1, "state": "done", "before": {"b": [2]}}
    with database.write.begin() as connection:
        insert(connection, order_task, [first, second])
        update(connection, order_task, [change])
        update(connection, order_task, [])
        columns = order_task.c
        query = select(columns.state, columns.before, columns.about)
        rows = connection.execute(query.order_by(columns.state)).all()

    about = first["about"]
    assert [("done", {"b": [2]}, about), ("pending", {"a": 1}, about)] == [
        tuple(row) for row in rows
    ]


def test_quantities_are_added_up(database: Database) -> None:
    """What is not there begins, what is there grows and shrinks."""
    with database.write.begin() as connection:
        add_up(connection, held, {"a": 5, "b": 1, "c": 0})
        add_up(connection, held, {"a": -2, "d": 4})
        rows = connection.execute(select(held).order_by(held.c.resource)).all()

    assert [("a", 3), ("b", 1), ("d", 4)] == [tuple(row) for row in rows]


def test_what_the_database_refuses_is_a_storage_error(database: Database) -> None:
    """As it is from every other statement, and nothing of it stays."""
    row = {"owner": "o", "resource": "r", "quantity": 1, "tenant": "t"}
    with pytest.raises(StorageError), database.write.begin() as connection:
        insert(connection, hold, [row, row])
    with database.read.connect() as connection:
        assert [] == list(HOLDS.read(connection, {"keys": ["o"]}))
