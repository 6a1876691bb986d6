"""Leases in SQL, the same on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from netaddr import IPAddress

from config.schema import Settings
from daemon.lease_ledger import LeaseLedger
from ipserver import records
from ipserver.reasons import Reason
from ipserver.records import (
    Bound,
    BoundColumns,
    Declined,
    Ended,
    Entry,
    Excess,
    Extended,
    Reusable,
)
from storage import leases
from storage.database import Database
from storage.journal import Block
from storage.lease_queries import LeaseFilter, list_leases, who_had
from storage.lease_rows import columns_of

_T = 1_790_000_000
_ADDRESS = int(IPAddress("100.64.0.7"))


def bound(at: int, mac: int = 1, address: int = _ADDRESS, **fields: Any) -> Bound:
    """A binding for an hour from ``at`` seconds after the start."""
    made: dict[str, Any] = {
        "at": _T + at,
        "expires": _T + at + 3600,
        "address": address,
        "generation": 0,
        "kind": 0,
        "pool": "aurora-harbour",
        "isp": "aurora",
        "owner": "aurora",
        "borrower": "",
        "line": "line-1",
        "service": "service-1",
        "hardware": b"\1" + mac.to_bytes(6),
        "client_id": b"",
        "agent": b"\1\1x",
    }
    return Bound(**(made | fields))


def written(entry: Entry) -> bytes:
    """An entry as the journal has it."""
    match entry:
        case Bound():
            place = records.place(entry.pool, entry.isp, entry.owner, entry.borrower)
            return records.bound(*entry[:5], place, *entry[9:])
        case Extended():
            return records.extended(*entry)
        case Ended():
            return records.ended(*entry)
        case Declined():
            return records.declined(*entry)
        case Reusable():
            return records.reusable(*entry)
        case Excess():
            return records.excess(entry)


def apply(database: Database, *batches: list[Entry]) -> None:
    """Let the ledger take batches, one block each."""
    ledger = LeaseLedger(database, Settings())
    for batch in batches:
        first = ledger.positions.get("ipserver", 1)
        octets = b"".join(written(entry) for entry in batch)
        ledger.apply("ipserver", [Block(first, len(batch), 0, octets)])


def had(database: Database, at: int, address: int = _ADDRESS) -> Any:
    """The last octet of the hardware address that had it, and how it ended."""
    with database.read.connect() as connection:
        found = who_had(connection, address, _T + at)
    return None if found is None else (found["hardware"][-2:], found["end_reason"])


def test_entries_are_read_as_they_were_written() -> None:
    """Every kind, whatever texts and octets it has; other kinds are passed over."""
    told: list[Entry] = [
        bound(0, borrower="borealis", client_id=b"\0\xff", line="Straße 1"),
        Extended(_T, _T + 5, _ADDRESS),
        Ended(_T, _ADDRESS, Reason.MOVED),
        Declined(_T, _T + 9, _ADDRESS, "10.0.0.1/circuit:a%2Fb"),
        Reusable(_T, _ADDRESS),
        Excess(_T, _ADDRESS, 24310, 1, 5, 5, 0, "line-1", "service-1", "aurora"),
    ]
    octets = b"".join([written(told[0]), records.frame(40, b"?"), *map(written, told)])
    assert list(records.entries(octets)) == [told[0], *told]


def test_who_had_an_address_is_answered_for_every_second(database: Database) -> None:
    """Between two bindings nobody, at the second of a change the one who came."""
    apply(
        database,
        [bound(0, 1), Extended(_T + 1800, _T + 5400, _ADDRESS)],
        [bound(2000, 2)],
        [Ended(_T + 3000, _ADDRESS, Reason.RELEASED)],
        [bound(4000, 3)],
        [bound(9000, 4)],
    )
    assert [had(database, at) for at in (-1, 0, 1999, 2000, 2999, 3000)] == [
        None,
        ("01", "replaced"),
        ("01", "replaced"),
        ("02", "released"),
        ("02", "released"),
        None,
    ]
    assert [had(database, at) for at in (4000, 7599, 7600, 9000, 12_600)] == [
        ("03", "expired"),
        ("03", "expired"),
        None,
        ("04", None),
        None,
    ]


def test_batches_make_no_difference(database: Database) -> None:
    """The same entries one by one, or at once, leave the same rows."""
    story: list[Entry] = []
    for number in range(40):
        address = _ADDRESS + number % 7
        story.append(bound(number * 100, number, address))
        if number % 3 == 0:
            at = _T + number * 100 + 50
            story.append(Ended(at, address, Reason.RELEASED))
        elif number % 3 == 1:
            at = _T + number * 100 + 60
            story.append(Extended(at, at + 3600, address))
    apply(database, *([entry] for entry in story))
    with database.read.connect() as connection:
        one_by_one = list(list_leases(connection, LeaseFilter(now=_T)))
    moved = [entry._replace(address=entry.address + 100) for entry in story]
    apply(database, moved)
    with database.read.connect() as connection:
        all_leases = list(list_leases(connection, LeaseFilter(now=_T)))
    at_once = [
        {**row, "address": str(IPAddress(int(IPAddress(row["address"])) - 100))}
        for row in all_leases[len(one_by_one) :]
    ]
    assert one_by_one == at_once
    for number in range(7):
        for at in range(0, 4000, 50):
            one = had(database, at, _ADDRESS + number)
            assert one == had(database, at, _ADDRESS + number + 100)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, 4),
        ({"line": "line-2"}, 1),
        ({"isp": "borealis"}, 1),
        ({"pool": "elsewhere"}, 0),
        ({"state": "live"}, 2),
        ({"state": "expired"}, 1),
        ({"state": "ended"}, 1),
        ({"address": _ADDRESS}, 1),
        ({"limit": 2}, 2),
    ],
)
def test_leases_are_listed_by_filters(
    database: Database, wanted: dict[str, Any], found: int
) -> None:
    """Each filter by itself; states by the time that is given."""
    apply(
        database,
        [
            bound(0),
            bound(0, address=_ADDRESS + 1, line="line-2"),
            bound(-4000, address=_ADDRESS + 2, isp="borealis"),
            bound(0, address=_ADDRESS + 3),
            Ended(_T + 5, _ADDRESS + 3, Reason.RELEASED),
        ],
    )
    with database.read.connect() as connection:
        listed = list(list_leases(connection, LeaseFilter(now=_T + 10, **wanted)))
    assert found == len(listed)


def test_a_start_reads_every_lease_as_it_was(database: Database) -> None:
    """Live or ended, in batches, as bindings from when they were last extended."""
    ended = bound(0, 2, _ADDRESS + 1, client_id=b"\0\xff", borrower="borealis")
    apply(
        database,
        [
            bound(0),
            ended,
            Extended(_T + 9, _T + 99, _ADDRESS),
            Ended(_T + 7, _ADDRESS + 1, Reason.RELEASED),
        ],
    )
    with database.read.connect() as connection:
        (rows,) = leases.leases_to_restore(connection)
    first = bound(0)
    assert columns_of(rows) == (
        BoundColumns(
            at=(_T + 9, ended.at),
            expires=(_T + 99, _T + 7),
            addresses=(first.address, ended.address),
            kinds=(first.kind, ended.kind),
            lines=(first.line, ended.line),
            hardware=(first.hardware, ended.hardware),
            client_ids=(first.client_id, ended.client_id),
            agents=(first.agent, ended.agent),
        ),
        [Ended(_T + 7, ended.address, Reason.RELEASED)],
    )


def test_a_quarantine_stands_until_it_is_lifted(database: Database) -> None:
    """A start finds what is standing, and not what was lifted or is over."""
    other = _ADDRESS + 1
    apply(
        database,
        [
            bound(0),
            Declined(_T + 1, _T + 100, _ADDRESS, "line-1"),
            Declined(_T + 1, _T + 100, other, "line-1"),
        ],
        [Reusable(_T + 50, other)],
    )
    with database.read.connect() as connection:
        assert [(_T + 1, _T + 100, _ADDRESS, "line-1")] == [
            tuple(row) for row in leases.quarantined(connection, _T + 60)
        ]
        assert list(leases.quarantined(connection, _T + 100)) == []
    assert had(database, 0) == ("01", "declined")
