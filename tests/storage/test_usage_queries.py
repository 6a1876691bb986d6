"""Listing sessions and usage, the same on both databases."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from config import radius_dictionary
from storage.database import Database
from storage.tables import USAGE_RUN
from storage.usage_queries import (
    TERMINATE_CAUSES,
    Filter,
    _first_since,
    list_sessions,
    list_usage,
)

_T = 1_790_000_000


@pytest.fixture
def listed(rows: Any) -> None:
    """Four sessions on two NAS, and usage of two of them."""
    rows.add_sessions(
        {"id": 1, "user_name": "a", "state": "closed", "started_at": _T}
        | {"stopped_at": _T + 100, "last_seen_at": _T + 100},
        {"id": 2, "user_name": "b", "started_at": _T + 50, "last_seen_at": _T + 60},
        {"id": 3, "user_name": "a", "nas": "bng2", "started_at": _T + 100},
        {"id": 4, "user_name": "c", "started_at": _T + 300, "state": "suspect"},
    )
    rows.add_usage(
        {"id": 1, "session_id": 1, "started_at": _T, "ended_at": _T + 60},
        {"id": 2, "session_id": 2, "started_at": _T + 50, "ended_at": _T + 60},
        {"id": 3, "session_id": 1, "started_at": _T + 60, "ended_at": _T + 100},
        {"id": 4, "session_id": 1, "started_at": _T + 100, "ended_at": _T + 100},
    )


def _sessions(database: Database, **wanted: Any) -> list[int]:
    with database.read.connect() as connection:
        return [s["id"] for s in list_sessions(connection, Filter(**wanted))]


def _usage(database: Database, **wanted: Any) -> list[int]:
    with database.read.connect() as connection:
        return [u["id"] for u in list_usage(connection, Filter(**wanted))]


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [1, 2, 3, 4]),
        ({"nas": "bng2"}, [3]),
        ({"user": "a"}, [1, 3]),
        ({"user": "a", "nas": "bng1"}, [1]),
        ({"session": "S-2"}, [2]),
        ({"state": "open"}, [2, 3]),
        ({"user": "nobody"}, []),
        ({"since": _T + 99}, [1, 2, 3, 4]),
        ({"since": _T + 100}, [2, 3, 4]),
        ({"until": _T + 100}, [1, 2]),
        ({"since": _T + 100, "until": _T + 101}, [2, 3]),
        ({"limit": 2}, [3, 4]),
        ({"limit": 1, "user": "a"}, [3]),
    ],
)
def test_sessions_are_filtered(
    database: Database, wanted: dict[str, Any], found: list[int]
) -> None:
    """Each filter narrows, together they narrow further; the newest come last."""
    assert _sessions(database, **wanted) == found


@pytest.mark.usefixtures("listed")
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [1, 2, 3, 4]),
        ({"user": "b"}, [2]),
        ({"session": "S-1"}, [1, 3, 4]),
        ({"nas": "bng2"}, []),
        ({"state": "closed"}, [1, 3, 4]),
        ({"since": _T + 60}, [3, 4]),
        ({"until": _T + 60}, [1, 2]),
        ({"since": _T + 100}, [4]),
        ({"until": _T + 100}, [1, 2, 3]),
        ({"limit": 2}, [3, 4]),
        ({"limit": 1, "user": "b"}, [2]),
    ],
)
def test_usage_is_filtered(
    database: Database, wanted: dict[str, Any], found: list[int]
) -> None:
    """Periods that meet share no record, and lose none."""
    assert _usage(database, **wanted) == found


def test_a_session_is_listed_with_the_promised_names(
    database: Database, rows: Any
) -> None:
    """Times are RFC 3339 in UTC, causes have their name (RFC 2866 section 5.10)."""
    rows.add_sessions(
        {
            "id": 1,
            "user_name": "sub101@aurora.example",
            "framed_ip_address": "100.64.0.1",
            "calling_station_id": "02-00",
            "class_": b"\x00\xff",
            "framed_ipv6_prefixes": "2001:db8:1::/64 2001:db8:2::/64",
            "state": "closed",
            "stopped_at": _T + 600,
            "terminate_cause": 2,
            "seconds": 600,
            "input_octets": 2**40,
            "output_octets": 1,
        }
    )
    with database.read.connect() as connection:
        (found,) = list_sessions(connection, Filter())

    assert json.loads(json.dumps(found)) == found
    expected = {
        "nas": "bng1",
        "acct_session_id": "S-1",
        "user_name": "sub101@aurora.example",
        "framed_ip_address": "100.64.0.1",
        "framed_ipv6_prefixes": ["2001:db8:1::/64", "2001:db8:2::/64"],
        "delegated_ipv6_prefixes": [],
        "calling_station_id": "02-00",
        "class": "00ff",
        "state": "closed",
        "started_at": "2026-09-21T14:13:20Z",
        "last_seen_at": "2026-09-21T14:13:20Z",
        "stopped_at": "2026-09-21T14:23:20Z",
        "terminate_cause": "Lost-Carrier",
        "seconds": 600,
        "input_octets": 2**40,
        "output_octets": 1,
    }
    assert {name: found[name] for name in expected} == expected


def test_a_usage_record_is_listed_with_its_session(
    database: Database, rows: Any
) -> None:
    """Whose it is, from when to when, how much, and how that is known."""
    rows.add_sessions({"id": 9, "user_name": "u"})
    rows.add_usage({"id": 5, "session_id": 9, "derived": "wrapped", "records": 2})
    with database.read.connect() as connection:
        (found,) = list_usage(connection, Filter())

    assert found == {
        "id": 5,
        "session_id": 9,
        "nas": "bng1",
        "acct_session_id": "S-9",
        "user_name": "u",
        "framed_ip_address": None,
        "calling_station_id": None,
        "session_started_at": "2026-09-21T14:13:20Z",
        "started_at": "2026-09-21T14:13:20Z",
        "ended_at": "2026-09-21T14:23:20Z",
        "seconds": 0,
        "input_octets": 0,
        "output_octets": 0,
        "input_packets": 0,
        "output_packets": 0,
        "derived": "wrapped",
        "records": 2,
        "rolled_up": False,
    }


def test_an_unknown_terminate_cause_is_its_number(
    database: Database, rows: Any
) -> None:
    """What has no name is shown as it came, and absence as null."""
    closed = {"state": "closed", "stopped_at": _T}
    rows.add_sessions(
        {"id": 1, "terminate_cause": 4242, **closed},
        {"id": 2, "terminate_cause": 0, **closed},
        {"id": 3},
    )
    with database.read.connect() as connection:
        causes = [s["terminate_cause"] for s in list_sessions(connection, Filter())]

    assert causes == ["4242", "0", None]


def test_terminate_causes_are_called_as_in_the_dictionary() -> None:
    """A listing and a decoded packet use one name (RFC 2866 section 5.10)."""
    attribute = radius_dictionary.tables().find(0, 49)

    assert attribute is not None
    assert attribute.values.items() <= TERMINATE_CAUSES.items()
    assert set(attribute.values) >= set(range(1, 19))


def test_a_long_listing_is_a_stream(database: Database, rows: Any) -> None:
    """The first rows come before the last are read, and all come."""
    rows.add_sessions(*({"id": number} for number in range(1, 3501)))
    with database.read.connect() as connection:
        listing = list_sessions(connection, Filter())
        first = next(listing)["id"]
        rest = [s["id"] for s in listing]

    assert [first, *rest] == list(range(1, 3501))


def test_since_alone_reads_no_older_usage_and_no_closed_session(
    database: Database, rows: Any
) -> None:
    """Years of usage and sessions cost a question about today nothing."""
    day = 86_400
    for number in range(20):
        at = _T + number * day
        rows.add_sessions(
            {"id": number + 1, "state": "closed", "started_at": at}
            | {"stopped_at": at + 60, "last_seen_at": at + 60}
        )
        first = number * USAGE_RUN
        rows.add_usage(
            {"id": first, "session_id": number + 1, "ended_at": at},
            {"id": first + USAGE_RUN - 1, "session_id": number + 1, "ended_at": at},
        )

    assert [20 * USAGE_RUN - 1] == _usage(database, since=_T + 19 * day - 1, limit=1)
    with database.read.connect() as connection:
        assert (
            18 * USAGE_RUN
            == connection.execute(select(_first_since(_T + 19 * day - 1))).scalar_one()
        )
        if not database.is_postgresql:  # PostgreSQL reads small tables whole, rightly
            plan = connection.exec_driver_sql(
                "EXPLAIN QUERY PLAN SELECT id FROM session WHERE stopped_at IS NOT NULL"
                " AND stopped_at >= 1"
            ).all()
            assert "session_by_stopped_at" in plan[0][3]
