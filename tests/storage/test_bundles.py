"""A multilink bundle is complete when each of its links has stopped."""

from __future__ import annotations

from typing import Any

import pytest

from storage.database import Database
from storage.usage_queries import Filter, list_sessions

_LINK = {"acct_multi_session_id": "M", "link_count": 2}
_STOPPED = {"state": "closed", "close_derived": "stop"}


@pytest.mark.parametrize(
    ("links", "complete"),
    [
        ([{}, {}], [None, None]),
        ([_LINK, _LINK], [False, False]),
        ([_LINK | _STOPPED, _LINK], [False, False]),
        ([_LINK | _STOPPED, _LINK | _STOPPED], [True, True]),
        ([_LINK | _STOPPED, _LINK | _STOPPED | {"nas": "bng2"}], [False, False]),
    ],
)
def test_a_bundle_is_complete_by_its_stops_rfc_2866_section_5_12(
    database: Database,
    rows: Any,
    links: list[dict[str, Any]],
    complete: list[bool | None],
) -> None:
    """As many Stops as the largest Acct-Link-Count, of one NAS; null without bundle."""
    rows.add_sessions(*[{"id": i, **link} for i, link in enumerate(links, 1)])

    with database.read.connect() as connection:
        found = [s["bundle_complete"] for s in list_sessions(connection, Filter())]

    assert complete == found


def test_a_station_is_listed_raw_and_as_the_address_it_is(
    database: Database, rows: Any
) -> None:
    """What the NAS sent goes back to it; the other form is for finding."""
    rows.add_sessions({"id": 1, "calling_station_id": "00-1A-2B-3C-4D-5E"})

    with database.read.connect() as connection:
        (listed,) = list_sessions(connection, Filter())

    assert "00-1A-2B-3C-4D-5E" == listed["calling_station_id"]
    assert "00:1a:2b:3c:4d:5e" == listed["calling_station_mac"]
