"""Batches of sessions and usage, the same on both databases."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from sqlalchemy import select

from storage import sessions
from storage.database import Database, StorageError
from storage.tables import PROGRESS_COLUMNS, SESSION_COLUMNS, USAGE_COLUMNS, usage


class _State(StrEnum):
    SUSPECT = "suspect"


_WHOLE: dict[str, Any] = {
    "id": 1,
    "nas": "bng1",
    "nas_identity": "192.0.2.1",
    "acct_session_id": "S-1",
    "acct_multi_session_id": "M-1",
    "user_name": "zo\u00eb\t\\N\n@aurora.example",
    "class_": bytes(range(256)),
    "framed_ip_address": "100.64.0.1",
    "framed_ipv6_prefixes": "2001:db8:1::/64 2001:db8:2::/64",
    "delegated_ipv6_prefixes": "2001:db8:100::/56",
    "framed_ipv6_addresses": "2001:db8::1",
    "framed_interface_id": "0:0:0:1",
    "calling_station_id": "02-00-00-00-00-01",
    "called_station_id": "bng1",
    "nas_port_id": "ge-0/0/1:101",
    "agent_circuit_id": "ge-0/0/1:101",
    "agent_remote_id": "",
    "link_count": 4_294_967_295,
    "state": "open",
    "started_at": 1_790_000_000,
    "started_derived": "reported",
    "last_seen_at": 1_790_000_600,
    "last_arrival_at": 1_790_000_601,
    "stopped_at": None,
    "terminate_cause": None,
    "close_derived": None,
    "seconds": 600,
    "input_octets": 2**63 - 1,
    "output_octets": 2**32,
    "input_packets": 1,
    "output_packets": 2,
    "points": b"\x00\xff",
    "service": "aurora-101",
    "guided_by": "class",
    "tenant": "aurora",
}


def test_a_session_comes_back_as_it_was_written(database: Database) -> None:
    """Every column survives: all octets, any text, 63-bit counters, absent values."""
    row = tuple(_WHOLE.values())
    bare = tuple((_WHOLE | {"id": 2, "user_name": None, "class_": None}).values())
    with database.write.begin() as connection:
        sessions.insert_sessions(connection, [row, bare])
    with database.read.connect() as connection:
        loaded = sessions.load_sessions(connection, ["S-1", "unknown"])

    assert tuple(_WHOLE) == SESSION_COLUMNS
    assert [row, bare] == [tuple(found) for found in loaded]


def test_an_empty_batch_is_no_statement(database: Database) -> None:
    """The ledger need not ask whether it has rows."""
    with database.write.begin() as connection:
        for write in (
            sessions.insert_sessions,
            sessions.insert_usage,
            sessions.update_sessions,
            sessions.update_progress,
        ):
            write(connection, [])

        assert list(sessions.load_sessions(connection, [])) == []


def test_thousands_of_sessions_load_in_one_call(database: Database, rows: Any) -> None:
    """A batch of 5,000 different Acct-Session-Ids is one look-up."""
    rows.add_sessions(*({"id": number} for number in range(1, 5001)))
    wanted = [f"S-{number}" for number in range(5000, 0, -1)]
    with database.read.connect() as connection:
        loaded = sessions.load_sessions(connection, wanted)

    assert list(range(1, 5001)) == [row.id for row in loaded]


def test_an_update_replaces_all_but_the_identity(database: Database, rows: Any) -> None:
    """Two updates in one transaction: each changes its rows, and no others."""
    rows.add_sessions({"id": 1}, {"id": 2}, {"id": 3})
    closed = {
        "state": "closed",
        "stopped_at": 7,
        "terminate_cause": 1,
        "user_name": "u",
    }
    late = rows.session(id=2, seconds=9, points=b"late")
    with database.write.begin() as connection:
        sessions.update_sessions(connection, [rows.session(id=3, **closed), late])
        late = rows.session(id=2, seconds=10, points=b"later")
        sessions.update_sessions(connection, [late])
        sessions.update_sessions(connection, [rows.session(id=99)])
    with database.read.connect() as connection:
        loaded = sessions.load_sessions(connection, ["S-1", "S-2", "S-3", "S-99"])

    expected = [rows.session(id=1), late, rows.session(id=3, **closed)]
    assert expected == [tuple(row) for row in loaded]


def test_progress_changes_counters_and_nothing_else(
    database: Database, rows: Any
) -> None:
    """The short update leaves names, state and addresses alone."""
    rows.add_sessions({"id": 1, "user_name": "u"}, {"id": 2})
    progress = {
        "last_seen_at": 1_790_000_600,
        "last_arrival_at": 1_790_000_601,
        "seconds": 600,
        "input_octets": 5,
        "output_octets": 2**40,
        "input_packets": 1,
        "output_packets": 3,
        "points": b"p",
    }
    with database.write.begin() as connection:
        sessions.update_progress(connection, [(1, *progress.values())])
    with database.read.connect() as connection:
        loaded = sessions.load_sessions(connection, ["S-1", "S-2"])

    assert ("id", *progress) == PROGRESS_COLUMNS
    expected = [rows.session(id=1, user_name="u", **progress), rows.session(id=2)]
    assert expected == [tuple(row) for row in loaded]


def test_a_word_of_an_enumeration_is_stored_as_its_text(
    database: Database, rows: Any
) -> None:
    """What the session logic calls a state is text in every row and every client."""
    rows.add_sessions({"id": 1, "state": _State.SUSPECT}, {"id": 2})
    with database.write.begin() as connection:
        changed = rows.session(id=2, state=_State.SUSPECT)
        sessions.update_sessions(connection, [changed])
    with database.read.connect() as connection:
        counts = sessions.sessions_by_state(connection)

    assert counts == {"suspect": 2}


def test_usage_comes_back_as_it_was_written(database: Database, rows: Any) -> None:
    """Usage keeps its figures to the last octet."""
    row = rows.usage(id=1, session_id=1, input_octets=2**62, derived="wrapped")
    with database.write.begin() as connection:
        sessions.insert_usage(connection, [row])
    with database.read.connect() as connection:
        found = connection.execute(select(*(usage.c[c] for c in USAGE_COLUMNS))).one()

    assert row == tuple(found)


def test_the_live_sessions_of_a_nas_are_found(database: Database, rows: Any) -> None:
    """Accounting-On closes what is open or suspect there (RFC 2866 s5.1), no more."""
    rows.add_sessions(
        {"id": 1},
        {"id": 2, "state": "closed"},
        {"id": 3, "nas": "bng2"},
        {"id": 4, "state": "suspect"},
    )
    with database.read.connect() as connection:
        found = sessions.open_sessions_of_nas(connection, "bng1")

    assert [row.id for row in found] == [1, 4]


def test_stale_sessions_are_swept_in_slices(database: Database, rows: Any) -> None:
    """Slices by id give every live session not heard of, once."""
    rows.add_sessions(
        *(
            {
                "id": number,
                "last_arrival_at": 100 if number % 2 else 200,
                "state": ("open", "closed", "suspect")[number % 3],
            }
            for number in range(1, 31)
        )
    )
    found: list[int] = []
    with database.read.connect() as connection:
        while True:
            last = found[-1] if found else 0
            slice_ = sessions.stale_candidates(connection, 200, last, 3)
            found += [row.id for row in slice_]
            if len(slice_) < 3:
                break

    assert [n for n in range(1, 31) if n % 2 and n % 3 != 1] == found


def test_the_position_is_committed_with_the_batch(database: Database) -> None:
    """A batch rolled back leaves the journal's position where it was."""
    with database.write.begin() as connection:
        sessions.write_position(connection, "radius-0", 10)
        sessions.write_position(connection, "radius-1", 5)
        sessions.write_position(connection, "radius-0", 12)
    with database.write.connect() as connection:
        sessions.write_position(connection, "radius-0", 99)
        connection.rollback()
    with database.read.connect() as connection:
        positions = sessions.read_positions(connection)

    assert positions == {"radius-0": 12, "radius-1": 5}


def test_ids_go_on_where_they_ended(database: Database, rows: Any) -> None:
    """A restarted ledger counts on; an empty database starts at 1."""
    with database.read.connect() as connection:
        before = sessions.next_ids(connection)
    rows.add_sessions({"id": 41})
    rows.add_usage({"id": 7, "session_id": 41})
    with database.read.connect() as connection:
        after = sessions.next_ids(connection)

    assert (before, after) == ((1, 1), (42, 8))


def test_sessions_are_counted_by_state(database: Database, rows: Any) -> None:
    """States that nobody is in are left out."""
    rows.add_sessions({"id": 1}, {"id": 2}, {"id": 3, "state": "closed"})
    with database.read.connect() as connection:
        counts = sessions.sessions_by_state(connection)

    assert counts == {"open": 2, "closed": 1}


def test_a_refused_batch_raises_a_storage_error_and_changes_nothing(
    database: Database, rows: Any
) -> None:
    """An id given twice is refused as a whole, whichever way rows go in."""
    rows.add_usage({"id": 1, "session_id": 1})
    again = [rows.usage(id=2, session_id=1), rows.usage(id=1, session_id=1)]
    with pytest.raises(StorageError), database.write.begin() as connection:
        sessions.insert_usage(connection, again)
    with database.read.connect() as connection:
        assert sessions.next_ids(connection)[1] == 2


def test_live_sessions_are_found_by_their_indexes(database: Database) -> None:
    """SQLite walks neither years of closed sessions nor their table for these."""
    if database.is_postgresql:
        pytest.skip("PostgreSQL plans by its statistics")
    plans = {}
    with database.read.connect() as connection:
        for name, where in (
            ("session_live_by_id", "id > 5 AND state <> 'closed' ORDER BY id"),
            ("session_live_by_nas", "nas = 'x' AND state <> 'closed' ORDER BY id"),
            (
                "session_live_unnamed",
                "service = 'x' AND state <> 'closed' AND user_name IS NULL",
            ),
        ):
            sql = f"SELECT * FROM session INDEXED BY {name} WHERE {where}"
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}").all()
            plans[name] = [row[3] for row in plan]

    assert plans == {
        "session_live_by_id": ["SEARCH session USING INDEX session_live_by_id (id>?)"],
        "session_live_by_nas": [
            "SEARCH session USING INDEX session_live_by_nas (nas=?)"
        ],
        "session_live_unnamed": [
            "SEARCH session USING INDEX session_live_unnamed (service=?)"
        ],
    }
