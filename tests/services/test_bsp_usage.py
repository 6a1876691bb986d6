"""Metered use of a BSP: once, guided, rated together, and nothing dropped."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from settlement_network import NOVEMBER, network
from sqlalchemy import Connection
from taking_turns import second_of

from config.network import Network
from config.offers import Component
from config.settlement import Meter, Tax
from config.tariffs import Rate, Tariff, Version
from rating.bsp_usage import Rejected, UsageEvent, read_event
from services.bsp_usage import Outcome, rate_guided, receive, recycle
from services.catalogue import Catalogue
from storage.bsp_usage import ages_of_rejected, find_records, mark_rated
from storage.database import Database
from storage.entries import close_month, lock_head
from storage.entry_queries import EntryFilter, list_entries
from storage.ledger_proof import prove


def metered(*meters: str) -> Network:
    """The network with filmhouse's meters of minutes, at 0.05 each."""
    rate = Rate(name="watched", measure="seconds", price="0.05", per="1 min")
    films = Tariff(
        name="films",
        currency="EUR",
        zone="UTC",
        version=(Version(valid_from="2026-01-01", rate=(rate,)),),
    )
    return network(
        tariff=(films,),
        meter=tuple(
            Meter(name=m, bsp="filmhouse", tariff="films", unit="1 min") for m in meters
        ),
    )


def event(number: int, **values: Any) -> dict[str, Any]:
    """Ten minutes of aurora's subscriber."""
    return {
        "event_id": f"E-{number}",
        "user": "sub101@aurora.example",
        "meter": "minutes",
        "quantity": 10,
        "start": NOVEMBER + 600 * number,
        "end": NOVEMBER + 600 * number + 600,
    } | values


def send(
    database: Database, *records: object, meters: tuple[str, ...] = ("minutes",)
) -> list[tuple[str, str | None]]:
    """Send records; what became of each and why."""
    catalogue = Catalogue(metered(*meters))
    receipts = receive(database, catalogue, "filmhouse", records, NOVEMBER + 10**5)
    return [(receipt.outcome, receipt.reason) for receipt in receipts]


def amounts(database: Database) -> list[tuple[int, ...]]:
    """The legs of every entry."""
    with database.read.connect() as connection:
        assert [] == prove(connection).problems
        return [e.posting[1:6] for e, _ in list_entries(connection, EntryFilter())]


def test_records_of_a_subscriber_are_rated_together(database: Database) -> None:
    """Three times ten minutes at 0.05 are one entry of 1.50 that knows them."""
    assert [(Outcome.ACCEPTED, None)] * 3 == send(database, *map(event, (1, 2, 3)))
    assert 3 == rate_guided(database, metered("minutes"), NOVEMBER)
    assert 0 == rate_guided(database, metered("minutes"), NOVEMBER)
    assert [(-1_500_000, 0, 1_500_000, 0, 0)] == amounts(database)
    with database.read.connect() as connection:
        ((entry, _),) = list_entries(connection, EntryFilter())
        number = entry.posting.source_id
        assert number is not None
        records = find_records(connection, number)
    assert ["E-1", "E-2", "E-3"] == [record.event_id for record in records]


def test_the_same_record_counts_once_and_another_body_is_a_conflict(
    database: Database,
) -> None:
    """In one stream, in another, and after it was rated."""
    assert [Outcome.ACCEPTED, Outcome.DUPLICATE, Outcome.CONFLICT] == [
        outcome
        for outcome, _ in send(database, event(1), event(1), event(1, quantity=9))
    ]
    rate_guided(database, metered("minutes"), NOVEMBER)
    assert [(Outcome.DUPLICATE, None)] == send(database, event(1))
    assert [(-500_000, 0, 500_000, 0, 0)] == amounts(database)


def test_a_record_in_json_and_in_csv_is_the_same(database: Database) -> None:
    """What its fields say decides, and not how they are written."""
    written = event(1, quantity=60, note=7)
    rows = written | {
        "quantity": "060",
        "start": "2026-11-10T13:00:00+01:00",
        "end": "2026-11-10T12:00:00Z",
        "note": "7",
        "place": "",
    }
    other = [rows | {"quantity": "61"}, rows | {"note": "8"}, rows | {"user": 1}]
    written |= {"start": NOVEMBER, "end": None}
    assert [Outcome.ACCEPTED, Outcome.DUPLICATE, *[Outcome.CONFLICT] * 3] == [
        outcome for outcome, _ in send(database, written, rows, *other)
    ]
    assert [
        (Outcome.REJECTED, Rejected.QUANTITY),
        (Outcome.DUPLICATE, Rejected.QUANTITY),
    ] == send(database, event(2, quantity=0, end=None), event(2, quantity="0", end=""))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ("no record", Rejected.NOT_A_RECORD),
        ({"event_id": ""}, Rejected.EVENT_ID),
        (event(1, user=5), Rejected.USER),
        (event(1, quantity=0), Rejected.QUANTITY),
        (event(1, quantity="-1"), Rejected.QUANTITY),
        (event(1, quantity=1.5), Rejected.QUANTITY),
        (event(1, quantity="9" * 5000), Rejected.QUANTITY),
        (event(1, start="2026-11-10T12:00:00"), Rejected.TIMES),
        (event(1, end=NOVEMBER), Rejected.TIMES),
        (event(1, start="0001-01-01T00:00:00+12:00", end=None), Rejected.TIMES),
        (event(1, start=NOVEMBER + 10**6, end=None), Rejected.IN_THE_FUTURE),
        (event(1, meter="plays"), Rejected.UNKNOWN_METER),
        (event(1, user="nobody"), Rejected.UNKNOWN_USER),
    ],
)
def test_what_cannot_be_taken_is_kept_with_its_reason(
    database: Database, record: object, reason: Rejected
) -> None:
    """Once, however often it comes, and an ageing report counts it."""
    assert [(Outcome.REJECTED, reason)] == send(database, record)
    assert [(Outcome.DUPLICATE, reason)] == send(database, record)
    with database.read.connect() as connection:
        (row,) = ages_of_rejected(connection)
    assert ("filmhouse", reason, 1) == (row.bsp, row.reason, row.records)


def test_use_of_who_is_not_subscribed_is_rejected(database: Database) -> None:
    """Where a BSP sells to its subscribers only, until the offering has it in it."""
    replace = msgspec.structs.replace
    plain = metered("minutes")
    (filmhouse,), (home, polar) = plain.bsp, plain.offering
    strict = replace(plain, bsp=(replace(filmhouse, sells_to="subscribed"),))
    now = NOVEMBER + 10**5
    (receipt,) = receive(database, Catalogue(strict), "filmhouse", [event(1)], now)
    assert (Outcome.REJECTED, Rejected.NOT_SUBSCRIBED) == (
        receipt.outcome,
        receipt.reason,
    )
    home = replace(home, components=(Component(bsp="filmhouse", product="films"),))
    subscribed = Catalogue(replace(strict, offering=(home, polar)))
    assert 1 == recycle(database, subscribed, now)


def test_use_over_the_midnight_of_a_new_tax_is_an_entry_of_each_day(
    database: Database,
) -> None:
    """Four of ten minutes were before it: 0.20 and 0.30, each at its own time."""
    midnight = NOVEMBER - NOVEMBER % 86_400 + 86_400
    tax = Tax(name="less", percent="10", first_day="2026-11-11")
    taxed = msgspec.structs.replace(metered("minutes"), tax=(tax,))
    record = event(1, start=midnight - 240, end=midnight + 360)
    assert [(Outcome.ACCEPTED, None)] == send(database, record)
    assert 1 == rate_guided(database, taxed, NOVEMBER)
    with database.read.connect() as connection:
        assert [(midnight - 240, 200_000), (midnight, 300_000)] == [
            (entry.posting.at, entry.posting.party_amount)
            for entry, _ in list_entries(connection, EntryFilter())
        ]


def test_a_record_of_more_money_than_there_is_stops_no_other(
    database: Database,
) -> None:
    """Of five records one has a BSP's typing error in it: the others are rated, it is
    rejected; and ids that are alike in their first 253 letters are two."""
    records = [event(n) for n in range(1, 5)]
    records.insert(2, event(9, quantity=10**12))
    long = "x" * 300
    records += [event(7, event_id=f"{long}{n}", user=n) for n in (1, 2)]
    outcomes = [outcome for outcome, _ in send(database, *records)]
    assert [Outcome.ACCEPTED] * 5 + [Outcome.REJECTED] * 2 == outcomes
    assert 4 == rate_guided(database, metered("minutes"), NOVEMBER)
    assert -2_000_000 == sum(legs[0] for legs in amounts(database))
    with database.read.connect() as connection:
        ages = {row.reason: row.records for row in ages_of_rejected(connection)}
    assert {Rejected.QUANTITY: 1, Rejected.EVENT_ID: 2} == ages


def test_what_is_late_is_booked_behind_a_closed_month_and_marked(
    database: Database,
) -> None:
    """Use of November that comes when November is closed is in December's books."""
    with database.write.begin() as connection:
        close_month(connection, "aurora", "UTC", "2026-11", NOVEMBER)
    send(database, event(1))
    assert 1 == rate_guided(database, metered("minutes"), NOVEMBER)
    with database.read.connect() as connection:
        ((entry, _),) = list_entries(connection, EntryFilter())
    assert ("2026-12", "2026-11") == (entry.book.month, entry.posting.late_from)


def test_what_is_rated_meanwhile_is_not_checked_again(database: Database) -> None:
    """Two who look for rejected records at once do not have one rated twice."""
    send(database, event(1, meter="hours"))
    fixed = Catalogue(metered("minutes", "hours"))

    def rated(connection: Connection) -> None:
        lock_head(connection)
        mark_rated(connection, [1], 1, NOVEMBER)

    now = NOVEMBER + 10**5
    assert 0 == second_of(database, rated, lambda: recycle(database, fixed, now))


def test_a_rejected_record_comes_back_after_a_fix(database: Database) -> None:
    """Its meter was missing; when the network has it the record is rated."""
    send(database, event(1, meter="hours"))
    fixed = metered("minutes", "hours")
    assert 0 == recycle(database, Catalogue(metered("minutes")), NOVEMBER + 10**5)
    assert 1 == recycle(database, Catalogue(fixed), NOVEMBER + 10**5)
    assert 1 == rate_guided(database, fixed, NOVEMBER)
    assert 0 == recycle(database, Catalogue(fixed), NOVEMBER + 10**5)
    assert [(-500_000, 0, 500_000, 0, 0)] == amounts(database)


def test_a_record_that_was_wrong_in_itself_is_mended_by_its_bsp(
    database: Database,
) -> None:
    """Under its own event id, in another batch or in the same; what a change of the
    network may still put right is no other record's."""
    wrong = [event(1, quantity="-1"), event(2, end=0), event(3, user="nobody")]
    send(database, *wrong)
    accepted, conflict = (Outcome.ACCEPTED, None), (Outcome.CONFLICT, "unknown_user")
    assert [accepted, accepted, conflict] == send(database, *map(event, (1, 2, 3)))
    assert [Outcome.REJECTED, Outcome.REJECTED, Outcome.ACCEPTED, Outcome.CONFLICT] == [
        outcome
        for outcome, _ in send(
            database,
            event(4, quantity="many"),
            event(4, start="then"),
            event(4),
            event(4, quantity=9),
        )
    ]
    rate_guided(database, metered("minutes"), NOVEMBER)
    assert [(-1_500_000, 0, 1_500_000, 0, 0)] == amounts(database)
    with database.read.connect() as connection:
        assert [("unknown_user", 1)] == [
            (row.reason, row.records) for row in ages_of_rejected(connection)
        ]


def test_use_of_two_isps_customer_is_each_one_s_own(database: Database) -> None:
    """A subscriber that went to another ISP between two records, which are rated at
    once: each is in the books of the ISP that it was guided to."""
    replace = msgspec.structs.replace
    before = metered("minutes")
    first, *others = before.service
    moved = replace(first, isp="borealis", offering="polar-100")
    after = replace(before, service=(moved, *others))
    for made, number in ((before, 1), (after, 2)):
        list(
            receive(
                database,
                Catalogue(made),
                "filmhouse",
                [event(number)],
                NOVEMBER + 10**5,
            )
        )
    assert 2 == rate_guided(database, after, NOVEMBER)
    with database.read.connect() as connection:
        assert [("aurora", 500_000), ("borealis", 500_000)] == [
            (entry.book.tenant, entry.posting.party_amount)
            for entry, _ in list_entries(connection, EntryFilter())
        ]


def test_what_takes_no_time_is_of_the_day_that_begins_with_it(
    database: Database,
) -> None:
    """A film at the first second of December is December's, in its price and in its
    books, alone or with others of its day."""
    rate = Rate(name="watched", measure="seconds", price="0.05", per="1 min")
    dearer = msgspec.structs.replace(rate, price="0.07")
    made = metered("minutes")
    (films,) = made.tariff
    versions = (*films.version, Version(valid_from="2026-12-01", rate=(dearer,)))
    made = msgspec.structs.replace(
        made, tariff=(msgspec.structs.replace(films, version=versions),)
    )
    december = NOVEMBER - NOVEMBER % 86_400 + 21 * 86_400
    records = [event(1, start=december, end=None), event(2, start=december - 1, end="")]
    for _ in receive(database, Catalogue(made), "filmhouse", records, december):
        pass
    assert 2 == rate_guided(database, made, december)
    with database.read.connect() as connection:
        assert {("2026-11", 500_000), ("2026-12", 700_000)} == {
            (entry.book.month, entry.posting.party_amount)
            for entry, _ in list_entries(connection, EntryFilter())
        }


def test_an_id_that_no_database_keeps_stops_no_other_record(
    database: Database,
) -> None:
    """PostgreSQL has no U+0000: such a record is told apart by its content."""
    nul = event(1) | {"event_id": "a\0b"}
    taken = [("rejected", "event_id_missing"), ("accepted", None)]
    assert taken == send(database, nul, event(2))


def test_csv_s_text_is_read_like_json() -> None:
    """Numbers as text, RFC 3339 times, and no end for what took no time."""
    record = {"event_id": "E", "user": "u", "meter": "m", "quantity": "3", "end": ""}
    record |= {"start": "2026-11-10T13:00:00+01:00"}
    assert UsageEvent("E", "u", "m", 3, NOVEMBER, NOVEMBER) == read_event(
        record, NOVEMBER
    )
