"""An entry explained: its legs and charges, the usage, the packets of the journal."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from radius_packets import packet
from settlement_network import NOVEMBER, ZONES, charge, network
from settlement_network import UNIT as EURO
from sqlalchemy import insert

from config.network import Network
from config.parties import Isp
from config.tariffs import LoanRate, PeakRate, PercentileRate, Tariff, Version
from daemon.commands.explained_shape import shape_lines
from radius.records import Origin, encode_origin
from rating.charge import RatableUsage
from rating.posting import Poster, detail_of
from rating.samples import Samples, add_to_samples
from rating.statement import Role
from services.explanation import Explanation, explain
from services.packets_behind import Journals
from services.periodic_charges import PeriodicCharges
from services.shape_explained import Shape
from services.statements import Recipient, lines_of
from storage.balances import add_samples
from storage.database import Database
from storage.entries import lock_head, post
from storage.entry_queries import EntryFilter, list_entries
from storage.journal import JournalWriter
from storage.overallocation_tables import address_loan


def test_an_entry_is_explained_down_to_its_packets(
    database: Database, rows: Any, tmp_path: Path
) -> None:
    """The two reports that its usage lies between are found where they are in the
    journal, those of other sessions and times are not, and what is gone is said."""
    rows.add_sessions({"id": 1, "acct_session_id": "S-1", "nas": "bng1"})
    times = {"started_at": NOVEMBER, "ended_at": NOVEMBER + 600}
    rows.add_usage({"id": 7, "session_id": 1, "output_octets": 10**9, **times})
    with database.write.begin() as connection:
        poster = Poster(ZONES, {})
        own = charge(1234, usage_id=7)
        poster.usage("aurora", [own], [charge(321, tariff="wholesale", usage_id=7)])
        post(connection, lock_head(connection), poster.take(), NOVEMBER)
    writer = JournalWriter(tmp_path / "radius-0", file_bytes=1 << 20)
    sender = encode_origin(Origin(bytes(4), 1813, "bng1"))
    for seconds, session in ((0, "S-1"), (300, "S-2"), (600, "S-1"), (1200, "S-1")):
        at = NOVEMBER + seconds
        octets = packet(
            status=3, acct_session_id=session, event_at=at, session_seconds=seconds
        )
        received = (at + 1) * 1_000_000_000
        writer.append(sender + octets, records=1, received_at_ns=received)
    writer.close()
    with database.read.connect() as connection:
        found = explain(connection, network(), Journals(tmp_path, 300), 1)
        absent = explain(connection, network(), Journals(tmp_path, 300), 2)
    assert absent is None
    assert found is not None
    assert [
        ("subscriber", "aurora-101", -1234),
        ("isp", "aurora", 913),
        ("network", "network", 321),
    ] == [tuple(leg) for leg in found.legs]
    assert [("home@2026-01-01", 1234), ("wholesale@2026-01-01", 321)] == [
        (priced.tariff, priced.line.amount) for priced in found.charges
    ]
    assert found.usage is not None
    assert (7, 10**9) == (found.usage["id"], found.usage["output_octets"])
    assert [("radius-0", 1), ("radius-0", 3)] == [
        (p.journal, p.position) for p in found.packets
    ]
    assert [
        "the network has no volume in home@2026-01-01 any more",
        "the network has no volume in wholesale@2026-01-01 any more",
    ] == found.gone  # the journal is whole


SHAPED = Version(
    valid_from="2026-01-01",
    percentile=(PercentileRate(name="transit", price="2.00", committed_mbps=1),),
    peak=(PeakRate(name="sessions", price="1.00"),),
    loan=(LoanRate(name="addresses", price="0.002"),),
)
DAY = 86_400
START = int(datetime(2026, 11, 1, tzinfo=UTC).timestamp())
SETTLED = START + 31 * DAY
MBIT = 300 * 125_000
"""Octets of a sample at 1 Mbit/s."""

TENTH = START + 10 * DAY


@pytest.mark.parametrize("ahead", [240, 900])
def test_packets_of_equipment_whose_clock_is_fast_are_found(
    database: Database, rows: Any, tmp_path: Path, ahead: int
) -> None:
    """As far ahead as the settings take its times."""
    rows.add_sessions({"id": 1, "acct_session_id": "S-1", "nas": "bng1"})
    times = {"started_at": NOVEMBER, "ended_at": NOVEMBER + 600}
    rows.add_usage({"id": 7, "session_id": 1, "output_octets": 10**9, **times})
    with database.write.begin() as connection:
        poster = Poster(ZONES, {})
        poster.usage("aurora", [charge(1234, usage_id=7)], [])
        post(connection, lock_head(connection), poster.take(), NOVEMBER)
    writer = JournalWriter(tmp_path / "radius-0", file_bytes=1 << 20)
    sender = encode_origin(Origin(bytes(4), 1813, "bng1"))
    for seconds in (0, 600):
        at = NOVEMBER + seconds
        octets = packet(
            status=3, acct_session_id="S-1", event_at=at, session_seconds=seconds
        )
        received = (at - ahead) * 1_000_000_000
        writer.append(sender + octets, records=1, received_at_ns=received)
    writer.close()
    with database.read.connect() as connection:
        found = explain(connection, network(), Journals(tmp_path, ahead), 1)
    assert found is not None
    assert [1, 2] == [packet.position for packet in found.packets]


def shaped_network() -> Network:
    """One in which aurora pays for the shape of its use."""
    access = Tariff(name="access", currency="EUR", zone="UTC", version=(SHAPED,))
    isps = (Isp(name="aurora", wholesale="access"), Isp(name="borealis"))
    return network(isp=isps, tariff=(access,))


def use(rows: Any, database: Database, number: int, at: int, mbit: int, n: int) -> None:
    """Have a session use as much in each of some samples, in one record."""
    end = at + n * 300
    rows.add_sessions(
        {"id": number, "started_at": at, "last_seen_at": end, "tenant": "aurora"}
    )
    octets = {"input_octets": 7 * n, "output_octets": n * mbit * MBIT}
    times = {"started_at": at, "ended_at": end}
    rows.add_usage(
        {"id": number, "session_id": number, "tenant": "aurora", **times, **octets}
    )
    used = RatableUsage(
        "", number, number, at, at, end, 0, 7 * n, n * mbit * MBIT, "reported"
    )
    samples: Samples = {}
    add_to_samples(samples, "aurora", used)
    with database.write.begin() as connection:
        add_samples(connection, samples)


def a_month_with_a_shape(database: Database, rows: Any) -> dict[str, int]:
    """Charge aurora for November; give the number of the entry of each element.

    432 samples, the twentieth part of the month, are of 9 Mbit/s; the 433rd is the one
    sample of 2 Mbit/s and 500 are of 1.
    """
    use(rows, database, 1, START + DAY, mbit=9, n=432)
    use(rows, database, 2, TENTH - 300 * 400, mbit=1, n=500)
    use(rows, database, 3, TENTH, mbit=1, n=1)  # while the other goes on
    common = {"request": 1, "state": "lent", "cause": "", "outcome": "returned"}
    common |= {"borrower": "aurora-a", "borrower_tenant": "aurora", "body": b""}
    common |= {"first": 2**30, "last": 2**30 + 255, "term_ends_at": 0, "deadline": 0}
    times = {"made_at": START - DAY, "ended_at": START + DAY}
    with database.write.begin() as connection:
        for number, (lender, price) in enumerate(
            (("network", ""), ("borealis", "0.001")), start=1
        ):
            whose = {"lender": f"{lender}-a", "tenant": lender, "price": price}
            values = {**common, **times, **whose, "number": number}
            connection.execute(insert(address_loan).values(values))
    PeriodicCharges(shaped_network()).charge_isps(database, SETTLED)
    with database.read.connect() as connection:
        found = [entry for entry, _ in list_entries(connection, EntryFilter())]
    details = [(e.id, detail_of(e.posting.detail)) for e in found]
    return {(d.lines or d.wholesale)[0].element: number for number, d in details}


def shape_of(
    database: Database, journals: Path, entry: int, *, whole: bool = False
) -> tuple[Explanation, Shape]:
    """Explain an entry that has a shape."""
    with database.read.connect() as connection:
        kept = Journals(journals, 300)
        found = explain(connection, shaped_network(), kept, entry, whole=whole)
    assert found is not None
    assert found.shape is not None
    return found, found.shape


def test_a_percentile_is_explained_down_to_the_packets_in_its_sample(
    database: Database, rows: Any, tmp_path: Path
) -> None:
    """How many samples there are and are discarded, the one that is the percentile with
    those around it, the records in it with what each has of it, and their packets."""
    numbers = a_month_with_a_shape(database, rows)
    writer = JournalWriter(tmp_path / "radius-0", file_bytes=1 << 20)
    sender = encode_origin(Origin(bytes(4), 1813, "bng1"))
    for seconds, session in ((0, "S-3"), (300, "S-3"), (300, "S-9")):
        octets = packet(status=3, acct_session_id=session, event_at=TENTH + seconds)
        received = (TENTH + seconds + 1) * 1_000_000_000
        writer.append(sender + octets, records=1, received_at_ns=received)
    writer.close()
    found, shape = shape_of(database, tmp_path, numbers["transit"])
    assert 4 * EURO == found.legs[1].amount  # 2 Mbit/s at 2.00
    assert (2_000_000, 4 * EURO, False) == shape[:3]
    percentile = shape.percentile
    assert percentile is not None
    assert (95, "out", 8640, 432, 2_000_000) == percentile[:5]
    assert (8208, TENTH, 14, 2 * MBIT, 2 * MBIT) == percentile.decisive
    above_and_below = [sample.octets // MBIT for sample in percentile.shown]
    assert [1, 1, 1, 2, 9, 9, 9] == above_and_below
    assert (2, 2 * MBIT) == (percentile.records_in_all, percentile.octets_kept)
    assert [(2, MBIT), (3, MBIT)] == [
        (behind.usage["id"], behind.octets) for behind in percentile.records
    ]
    assert [("radius-0", 1), ("radius-0", 2)] == [
        (p.journal, p.position) for p in percentile.records[1].packets
    ]
    _, all_of_it = shape_of(database, tmp_path, numbers["transit"], whole=True)
    assert all_of_it.percentile is not None
    assert 932 == len(all_of_it.percentile.shown)


def test_a_peak_is_explained_by_its_moment_and_the_sessions_of_it(
    database: Database, rows: Any, tmp_path: Path
) -> None:
    """Two sessions were open for five minutes, and those are told."""
    numbers = a_month_with_a_shape(database, rows)
    found, shape = shape_of(database, tmp_path, numbers["sessions"])
    assert 2 * EURO == found.legs[1].amount
    assert (2, 2 * EURO, False) == shape[:3]
    assert shape.together is not None
    assert (2, TENTH, TENTH + 300) == shape.together.peak
    assert ["S-2", "S-3"] == [s["acct_session_id"] for s in shape.together.sessions]


def test_address_hours_are_explained_by_their_loans(
    database: Database, rows: Any, tmp_path: Path
) -> None:
    """The reserve's and the other ISP's, each within the month, at its price."""
    numbers = a_month_with_a_shape(database, rows)
    for element, loan in (
        ("addresses", (1, "network", "")),
        ("addresses of borealis at 0.001", (2, "borealis", "0.001")),
    ):
        found, shape = shape_of(database, tmp_path, numbers[element])
        number, owner, price = loan
        of = number, 2**30, 2**30 + 255, owner, "aurora-a", price
        assert [(*of, START, START + DAY, 256 * DAY)] == shape.loans
        assert (256 * DAY, False, 1) == (
            shape.quantity,
            shape.has_changed,
            shape.loans_in_all,
        )
        assert shape.amount == max(leg.amount for leg in found.legs)


def test_use_that_came_after_it_was_charged_is_told_beside_what_was(
    database: Database, rows: Any, tmp_path: Path
) -> None:
    """The entry stays as it is, and what it would be now is said to be another."""
    numbers = a_month_with_a_shape(database, rows)
    use(rows, database, 4, TENTH + 20 * 300, mbit=3, n=10)
    found, shape = shape_of(database, tmp_path, numbers["transit"])
    booked = found.charges[0].line
    assert (2_000_000, 4 * EURO) == (booked.quantity, booked.amount)
    assert (4_000_000, 8 * EURO, True) == shape[:3]
    assert "changed: by what is kept now it is 4000000 bits_per_second, 8.00 EUR" in (
        "\n".join(shape_lines(shape, booked, "EUR"))
    )


def test_what_a_period_s_shape_costs_is_recomputed_by_who_pays_and_who_is_paid(
    database: Database, rows: Any
) -> None:
    """2 Mbit/s at 2.00, two sessions at 1.00, and 256 addresses for a day at 0.002 and
    at 0.001: each is in the statements of both sides by a name that both can form."""
    a_month_with_a_shape(database, rows)
    hours = 256 * 24
    owed = {
        "fee-:access:transit:2026-11-01": 4 * EURO,
        "fee-:access:sessions:2026-11-01": 2 * EURO,
        "fee-:access:addresses:2026-11-01": hours * 2000,
    }
    lent = {"fee-:access:addresses of borealis at 0.001:2026-11-01": hours * 1000}
    with database.read.connect() as connection:
        told = {
            name: {
                line.reference: line.amount
                for line in lines_of(connection, Recipient(role, name, "2026-11"))
            }
            for role, name in (
                (Role.ISP, "aurora"),
                (Role.ISP, "borealis"),
                (Role.NETWORK, "network"),
            )
        }
    assert told == {
        "aurora": {name: -amount for name, amount in (owed | lent).items()},
        "borealis": lent,
        "network": owed,
    }


def test_a_loan_whose_tariff_is_gone_says_so(
    database: Database, rows: Any, tmp_path: Path
) -> None:
    """The charge stays as it was booked; what it was worked out from is not guessed."""
    numbers = a_month_with_a_shape(database, rows)
    entry = numbers["addresses of borealis at 0.001"]
    with database.read.connect() as connection:
        found = explain(connection, network(), Journals(tmp_path, 300), entry)
    assert found is not None
    assert (None, 1) == (found.shape, len(found.charges))
    said = "loans: the network has no access@2026-01-01 any more, nor its periods"
    assert [said] == found.gone
