"""Fees and what a period's shape costs: charged once, given back in part."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from changed_network import change_network
from fee_site import DEMO, EURO, at, charged, service, site
from sqlalchemy import insert

from config.network import Network, bodies
from config.parties import Isp
from config.settlement import Tax
from config.tariffs import Fee, PeakRate, PercentileRate, Tariff, Version
from rating.entry import Source
from rating.pricing import share_of
from rating.wholesale import peak_of
from services.corrections import Correction, Refusal, take_back
from services.isp_sessions import open_at, sessions_of
from services.periods import levy_month
from storage.balances import add_samples
from storage.database import Database
from storage.entry_queries import EntryFilter, list_entries
from storage.network import Change, apply, has_object
from storage.overallocation_tables import address_loan
from storage.periodic_charges import PeriodicCharge, insert_charges
from storage.sessions import insert_sessions
from storage.tables import SESSION_COLUMNS


def test_a_period_s_fees_are_charged_once(database: Database) -> None:
    """Doing it again charges nothing, and the next period is charged as it begins."""
    network = site(service())
    november = [("2026-11", 0, 12 * EURO), ("2026-11", 39 * EURO, 0)]
    assert november == charged(database, network, at(11, 25))
    assert [] == charged(database, network, at(11, 30))
    december = [("2026-12", 0, 12 * EURO), ("2026-12", 39 * EURO, 0)]
    assert december == charged(database, network, at(12, 1))


def test_a_service_pays_from_the_day_it_begins(database: Database) -> None:
    """Six of November's thirty days, and the activation, in both ways of the fee."""
    network = site(service(billed_from="2026-11-25"))
    expected = [
        ("2026-11", 0, 12 * EURO // 5),
        ("2026-11", 39 * EURO // 5, 0),
        ("2026-11", 25 * EURO, 0),
    ]
    assert expected == charged(database, network, at(11, 25))


def anchored(*versions: str) -> Network:
    """A network with a fee of 30.00 from the 15th on, and a tax that falls from 25 to
    10 per cent on the 1st of December; its tariff has versions from some days on."""
    fee = (Fee(name="subscription", amount="30.00"),)
    home = Tariff(
        name="aurora-home",
        isp="aurora",
        currency="EUR",
        zone="UTC",
        anchor_day=15,
        version=tuple(Version(valid_from=day, fee=fee) for day in versions),
    )
    others = tuple(t for t in DEMO.tariff if t.name != home.name)
    less = Tax(name="less", percent="10", first_day="2026-12-01")
    return site(service(), tariff=(home, *others), tax=(*DEMO.tax, less))


def retail_taxes(database: Database, network: Network) -> list[tuple[str, int]]:
    """Levy two months; give month and tax of what aurora owes."""
    for month in ("2026-11", "2026-12"):
        levy_month(database, network, month, at(12, 20))
    wanted = EntryFilter(source=Source.PERIOD, party="aurora")
    with database.read.connect() as connection:
        found = [entry for entry, _ in list_entries(connection, wanted)]
    return sorted((e.book.month, e.posting.tax_amount) for e in found)


def test_a_fee_has_the_tax_of_the_day_on_which_it_is_charged(
    database: Database,
) -> None:
    """It is charged in advance, as its period begins: a tax that changes within the
    period does not touch it."""
    network = anchored("2026-01-01")
    charged(database, network, at(11, 15))
    charged(database, network, at(12, 2))
    assert [("2026-11", 30 * EURO // 4)] == retail_taxes(database, network)


def test_a_version_from_the_day_of_a_new_tax_on_shares_a_fee_between_both(
    database: Database,
) -> None:
    """Sixteen days at 25 and fourteen at 10 per cent: 16.00 and 14.00 of the 30.00."""
    network = anchored("2026-01-01", "2026-12-01")
    charged(database, network, at(11, 15))
    charged(database, network, at(12, 2))
    assert [("2026-11", 4 * EURO), ("2026-12", 1_400_000)] == retail_taxes(
        database, network
    )


def test_a_daemon_that_was_down_over_a_month_s_end_charges_both(
    database: Database,
) -> None:
    """What began late in the month before is not forgotten."""
    network = site(service(billed_from="2026-11-30"))
    months = [entry[0] for entry in charged(database, network, at(12, 2))]
    assert ["2026-11"] * 3 + ["2026-12"] * 2 == months


def test_a_service_that_ends_gets_its_remaining_days_back(database: Database) -> None:
    """Charged for thirty days and there for fifteen: half is given back, once."""
    charged(database, site(service()), at(11, 2))
    expected = [("2026-11", -39 * EURO // 2, 0), ("2026-11", 0, -6 * EURO)]
    assert expected == charged(database, site(), at(11, 16))
    assert [] == charged(database, site(), at(12, 1))


def fees_booked(database: Database) -> dict[int, int]:
    """What the subscriber was charged, by entry; of those that were not taken back."""
    with database.read.connect() as connection:
        entries = [e for e, _ in list_entries(connection, EntryFilter())]
    undone = {e.posting.reverses for e in entries}
    return {
        e.id: -e.posting.subscriber_amount
        for e in entries
        if e.posting.subscriber_amount and e.id not in undone and not e.posting.reverses
    }


def test_a_fee_that_was_taken_back_by_hand_is_not_given_back_again(
    database: Database,
) -> None:
    """The subscriber pays nothing of the month, though its service ends in the middle;
    the ISP gets its own half back, and the next month is charged as ever."""
    charged(database, site(service()), at(11, 2))
    [fee] = fees_booked(database)
    assert isinstance(take_back(database, fee, "goodwill", at(11, 3)), Correction)
    assert [] == charged(database, site(service()), at(11, 4))
    december = [("2026-12", 0, 12 * EURO), ("2026-12", 39 * EURO, 0)]
    assert [("2026-11", 0, -6 * EURO)] == charged(database, site(), at(11, 16))
    assert [] == charged(database, site(), at(12, 1))
    other = site(service(name="aurora-102"))
    assert december == charged(database, other, at(12, 2))


def test_the_month_behind_a_fee_that_was_taken_back_is_charged(
    database: Database,
) -> None:
    """It was taken back of its month, not for ever."""
    charged(database, site(service()), at(11, 2))
    [fee] = fees_booked(database)
    take_back(database, fee, "goodwill", at(11, 3))
    december = [("2026-12", 0, 12 * EURO), ("2026-12", 39 * EURO, 0)]
    assert december == charged(database, site(service()), at(12, 1))


def test_a_fee_that_was_given_back_in_part_is_not_taken_back_whole(
    database: Database,
) -> None:
    """What was given back as the service ended is taken back first, and then the fee:
    in the end the subscriber pays nothing, and is not paid."""
    charged(database, site(service()), at(11, 2))
    [fee] = fees_booked(database)
    charged(database, site(), at(11, 16))
    standing = fees_booked(database)
    part = max(standing)
    assert {fee: 39 * EURO, part: -39 * EURO // 2} == standing
    refused = take_back(database, fee, "goodwill", at(11, 17))
    assert refused is Refusal.GIVEN_BACK
    for number in (part, fee):
        done = take_back(database, number, "goodwill", at(11, 17))
        assert isinstance(done, Correction)
    assert {} == fees_booked(database)
    assert [] == charged(database, site(), at(11, 18))


def test_a_service_that_comes_back_in_its_period_pays_again(
    database: Database,
) -> None:
    """What was given back for the days from its end on is charged anew, once."""
    charged(database, site(service()), at(11, 2))
    charged(database, site(), at(11, 16))
    again = charged(database, site(service()), at(11, 16, 13))
    fees = [entry for entry in again if entry[1] != 25 * EURO]
    assert [("2026-11", 0, 6 * EURO), ("2026-11", 39 * EURO // 2, 0)] == fees
    assert [] == charged(database, site(service()), at(11, 30))


def test_a_change_of_offering_charges_each_for_its_days(database: Database) -> None:
    """The old tariff ends on the day that the new one begins."""
    charged(database, site(service()), at(11, 2))
    changed = site(service(offering="polar-100", isp="aurora"))
    assert [("2026-11", -39 * EURO // 2, 0)] == charged(database, changed, at(11, 16))


def test_a_service_that_changes_its_isp_is_paid_by_each_for_its_days(
    database: Database,
) -> None:
    """Both ISPs pay the network by the same tariff, and each the half of its month."""
    charged(database, site(service()), at(11, 2))
    changed = site(service(isp="borealis", offering="polar-100"))
    charged(database, changed, at(11, 16))
    charged(database, changed, at(11, 17))
    with database.read.connect() as connection:
        entries = [e for e, _ in list_entries(connection, EntryFilter())]
    paid = {"aurora": 0, "borealis": 0}
    for entry in entries:
        paid[entry.book.tenant] += entry.posting.network_amount
    assert {"aurora": 6 * EURO, "borealis": 6 * EURO} == paid


def test_a_version_announced_within_a_period_cuts_the_fee_that_was_charged(
    database: Database,
) -> None:
    """Fifteen days at 30.00 and fifteen at 60.00 a month; taken back before it begins,
    the month costs 30.00 again. Each is charged once."""

    def network(*versions: tuple[str, str]) -> Network:
        home = Tariff(
            name="aurora-home",
            isp="aurora",
            currency="EUR",
            zone="UTC",
            version=tuple(
                Version(valid_from=day, fee=(Fee(name="subscription", amount=amount),))
                for day, amount in versions
            ),
        )
        others = tuple(t for t in DEMO.tariff if t.name != home.name)
        return site(service(), tariff=(home, *others))

    def paid(now: int, *versions: tuple[str, str]) -> int:
        return sum(fee[1] for fee in charged(database, network(*versions), now))

    old, new = ("2026-01-01", "30.00"), ("2026-11-16", "60.00")
    assert 30 * EURO == paid(at(11, 2), old)
    assert -15 * EURO == paid(at(11, 5), old, new)
    assert 15 * EURO == paid(at(11, 6), old)
    assert 15 * EURO == paid(at(11, 16), old, new)
    assert 0 == paid(at(11, 30), old, new)
    assert 60 * EURO == paid(at(12, 1), old, new)


def test_the_shape_of_a_period_is_charged_when_it_has_ended(
    database: Database,
) -> None:
    """A percentile is not known before, and is not charged to who had no part."""
    version = Version(
        valid_from="2026-01-01",
        percentile=(PercentileRate(name="transit", measure="sum", price="2.00"),),
    )
    tariffs = tuple(
        Tariff(name=t.name, currency="EUR", zone="UTC", version=(version,))
        if t.name == "open-access"
        else t
        for t in DEMO.tariff
    )
    network = site(tariff=tariffs)
    with database.write.begin() as connection:
        mbit = 300 * 125_000
        samples = {("aurora", at(11, 1) + 300 * n): [mbit, mbit] for n in range(500)}
        add_samples(connection, samples)
    assert [] == charged(database, network, at(11, 30))
    assert [] == charged(database, network, at(12, 1, 5))
    assert [("2026-11", 0, 4 * EURO)] == charged(database, network, at(12, 1, 7))
    assert [] == charged(database, network, at(12, 2))


def shaped(name: str, price: str, sessions: str) -> Tariff:
    """A wholesale tariff with a percentile, and a price of simultaneous sessions."""
    version = Version(
        valid_from="2026-01-01",
        percentile=(PercentileRate(name="transit", measure="sum", price=price),),
        peak=(PeakRate(name="sessions", price=sessions),),
    )
    return Tariff(name=name, currency="EUR", zone="UTC", version=(version,))


def moved(database: Database, now: int, wholesale: str) -> Network:
    """Have aurora pay by another tariff from now on, in the change feed as well."""
    tariffs = (shaped("slow", "2.00", "1.00"), shaped("fast", "4.00", "3.00"))
    others = tuple(t for t in DEMO.tariff if t.isp is not None)
    isps = (Isp(name="aurora", wholesale=wholesale), Isp(name="borealis"))
    network = site(tariff=(*others, *tariffs), isp=isps)
    body = bodies(network)["isp", "aurora"]
    with database.write.begin() as connection:
        known = has_object(connection, "isp", "aurora")
        changes = [Change("modify" if known else "add", "isp", "aurora", body)]
        apply(connection, changes, now)
    return network


def session(number: int, begun: int, ended: int, **more: Any) -> tuple[Any, ...]:
    """The row of a session of aurora's that was open in a span."""
    row: dict[str, Any] = dict.fromkeys(SESSION_COLUMNS)
    row |= dict.fromkeys(
        ("input_octets", "output_octets", "input_packets", "output_packets"), 0
    )
    row |= {"nas": "bng1", "nas_identity": "bng1", "points": b""}
    row |= {"state": "closed", "started_derived": "reported", "tenant": "aurora"}
    row |= {"id": number, "acct_session_id": str(number), "seconds": ended - begun}
    row |= {"started_at": begun, "last_seen_at": ended, "last_arrival_at": ended}
    return tuple((row | more).values())


def add_use(database: Database, month: int, day: int, mbit: int, sessions: int) -> None:
    """Traffic of aurora all day, and sessions at once for an hour of it."""
    octets = 300 * 125_000 * mbit
    midnight = at(month, day, 0)
    samples = {("aurora", midnight + 300 * n): [octets, 0] for n in range(288)}
    begun = at(month, day)
    with database.write.begin() as connection:
        add_samples(connection, samples)
        first = 1000 * month + 20 * day
        rows = [session(n, begun, begun + 3600) for n in range(first, first + sessions)]
        insert_sessions(connection, rows)


def test_an_isp_that_comes_to_another_tariff_pays_each_for_its_own_days(
    database: Database,
) -> None:
    """Ten days of November by one tariff, and twenty by another: percentile and peak
    of each are those of its days, at that share of its price; once, and December is
    the new tariff's alone. Back and forth, each day is paid by the tariff it had."""
    moved(database, at(1, 1), "slow")
    for day in range(1, 11):
        add_use(database, 11, day, mbit=3, sessions=2)
    network = moved(database, at(11, 11), "fast")
    for day in range(11, 31):
        add_use(database, 11, day, mbit=6, sessions=5)
    slow = (3 * 2 * EURO // 3, share_of(2 * 1 * EURO, 1, 3))
    fast = (6 * 4 * EURO * 2 // 3, 5 * 3 * EURO * 2 // 3)
    expected = sorted(("2026-11", 0, amount) for amount in (*slow, *fast))
    assert [] == charged(database, network, at(12, 1, 5))
    assert expected == charged(database, network, at(12, 1, 7))
    add_use(database, 12, 1, mbit=1, sessions=3)
    assert [] == charged(database, network, at(12, 9))
    network = moved(database, at(12, 11), "slow")
    network = moved(database, at(12, 21), "fast")
    for day in range(11, 21):
        add_use(database, 12, day, mbit=31, sessions=1)
    found = [amount for _, _, amount in charged(database, network, at(1, 2) + YEAR)]
    months = (4 * 1, 3 * 3, 2 * 31, 1 * 1)  # Mbit/s and sessions, at each their prices
    assert sorted(share_of(euros * EURO, 10, 31) for euros in months) == sorted(found)
    assert [] == charged(database, network, at(1, 3) + YEAR)


def test_a_session_over_a_change_of_isp_counts_for_each_in_its_own_part(
    database: Database,
) -> None:
    """One that was open from the 29th of November to the 5th of December was aurora's
    until the 2nd, and borealis's until the 4th: in December aurora has one at most
    before, two with its own of the 4th, and borealis one."""
    for day, isp in ((28, "aurora"), (32, "borealis"), (34, "aurora")):
        offering = "home-500" if isp == "aurora" else "polar-100"
        month, day = (11, day) if day <= 30 else (12, day - 30)
        network = site(service(isp=isp, offering=offering))
        change_network(database, network, at(month, day))
    for number, (begun, ended, name) in enumerate(
        (
            (at(11, 29), at(12, 5), "aurora-101"),
            (at(12, 1), at(12, 2), None),
            (at(12, 2), at(12, 4), None),
            (at(12, 4, 13), at(12, 4, 14), None),
        ),
        start=1,
    ):
        with database.write.begin() as connection:
            insert_sessions(connection, [session(number, begun, ended, service=name)])
    with database.read.connect() as connection:

        def peak(isp: str, start: int, end: int) -> int:
            return peak_of(sessions_of(connection, isp, start, end), start, end)

        assert 2 == peak("aurora", at(12, 1), at(12, 3))
        assert 1 == peak("aurora", at(12, 2), at(12, 4))
        assert 1 == peak("borealis", at(12, 1), at(12, 30))
        assert 0 == peak("borealis", at(11, 1), at(12, 1))
        assert 2 == peak("aurora", at(12, 4), at(12, 30))
        found = [
            [row["id"] for row in open_at(connection, isp, at(12, 3), None)]
            for isp in ("aurora", "borealis")
        ]
    assert [[3], [1]] == found


@pytest.mark.parametrize("turned", [False, True])
def test_an_isp_that_has_left_pays_for_its_days(
    database: Database, *, turned: bool
) -> None:
    """Ten days of November, by whichever tariff it had in each of them; once."""
    network = moved(database, at(1, 1), "slow")
    if turned:
        network = moved(database, at(11, 6), "fast")
    for day in range(1, 11):
        add_use(database, 11, day, mbit=3, sessions=2)
    with database.write.begin() as connection:
        apply(connection, [Change("delete", "isp", "aurora", None)], at(11, 11))
    left = msgspec.structs.replace(network, isp=network.isp[1:], service=())
    slow, fast = (3 * 2 * EURO, 2 * 1 * EURO), (3 * 4 * EURO, 2 * 3 * EURO)
    days = (5, 5) if turned else (10, 0)
    expected = [
        share_of(euros, count, 30)
        for tariff, count in zip((slow, fast), days, strict=True)
        for euros in tariff
        if count
    ]
    found = [amount for _, _, amount in charged(database, left, at(12, 2))]
    assert sorted(expected) == sorted(found)
    assert [] == charged(database, left, at(12, 3))


def test_a_month_that_was_charged_whole_is_not_charged_again_in_parts(
    database: Database,
) -> None:
    """As it was before each tariff had its own days: by the new one, all of it."""
    moved(database, at(1, 1), "slow")
    network = moved(database, at(11, 11), "fast")
    add_use(database, 11, 5, mbit=3, sessions=2)
    whole = PeriodicCharge(
        *("aurora", "", "fast", "2026-11-01", "transit", "2026-01-01"),
        *(None, None, 12 * EURO, at(12, 1, 7)),
    )
    with database.write.begin() as connection:
        insert_charges(connection, [whole])
    assert [] == charged(database, network, at(12, 2))


YEAR = 365 * 86_400


def test_addresses_lent_are_paid_by_the_hour(database: Database) -> None:
    """256 addresses for two days: the reserve's at the tariff's price, an ISP's at the
    loan's, and what was rolled back at none."""
    common = {"request": 1, "borrower": "p", "state": "lent", "cause": "", "body": b""}
    common |= {"borrower_tenant": "aurora", "term_ends_at": 0, "deadline": 0}
    common |= {"first": 0, "last": 255, "made_at": at(11, 5), "ended_at": at(11, 7)}
    with database.write.begin() as connection:
        for number, (tenant, price, outcome) in enumerate(
            (
                ("network", "", "returned"),
                ("borealis", "0.001", "returned"),
                ("borealis", "0.001", "rolled_back"),
            ),
            start=1,
        ):
            lender = {"number": number, "lender": tenant, "tenant": tenant}
            row = {**common, **lender, "price": price, "outcome": outcome}
            connection.execute(insert(address_loan).values(row))
    assert [] == charged(database, site(), at(11, 30))
    hours = 256 * 48
    assert [("2026-11", 0, 0), ("2026-11", 0, hours * 2000)] == charged(
        database, site(), at(12, 2)
    )
    with database.read.connect() as connection:
        legs = [e.posting[1:6] for e, _ in list_entries(connection, EntryFilter())]
    assert (0, -hours * 1000, hours * 1000, 0, 0) in legs
