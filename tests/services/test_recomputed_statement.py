"""A recipient recomputes its statement, from nothing but its own records and prices."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

from changed_network import change_network
from fee_site import charge
from rated_site import GB, NOON, Site
from settlement_network import DECEMBER, NOVEMBER, UNIT, network
from sqlalchemy import update

from config.network import Network
from config.offers import Service
from config.settlement import Meter
from config.tariffs import Rate, Tariff, Tier, Version
from rating.purchase import Action
from rating.statement import Role, Step
from services.bsp_usage import rate_guided, receive
from services.catalogue import Catalogue
from services.periodic_charges import PeriodicCharges
from services.periods import close_months, levy_month
from services.purchases import Event, handle, recycle
from services.statements import (
    Recipient,
    as_issued,
    csv_of,
    lines_of,
    open_statement,
    take_step,
)
from storage.database import Database
from storage.settlement_tables import statement

FILMHOUSE = Recipient(Role.BSP, "filmhouse", "2026-11")
DAY = 86_400


def metered() -> Network:
    """Minutes at 0.05, and at 0.03 from 100 minutes of a month on."""
    rate = Rate(
        name="watched",
        measure="seconds",
        price="0.05",
        per="1 min",
        tiers=(Tier(above="100 min", price="0.03"),),
    )
    films = Tariff(
        name="films",
        currency="EUR",
        zone="UTC",
        version=(Version(valid_from="2026-01-01", rate=(rate,)),),
    )
    meter = Meter(name="minutes", bsp="filmhouse", tariff="films", unit="1 min")
    return network(tariff=(films,), meter=(meter,))


def price_of(minutes: int) -> int:
    """What so many minutes of a month cost, as the BSP's own price list has it."""
    return 50_000 * min(minutes, 100) + 30_000 * max(minutes - 100, 0)


def uses() -> list[dict[str, Any]]:
    """What filmhouse has in its event file: ten minutes now and then, of two people."""
    return [
        {
            "event_id": f'watched "{number}", {person}',
            "user": person,
            "meter": "minutes",
            "quantity": 5 + number,
            "start": NOVEMBER + DAY * (number // 3) + 600 * number,
        }
        for number in range(12)
        for person in ("sub101@aurora.example", "borealis-102")
    ]


def sales() -> list[tuple[int, Event]]:
    """And of its sales, when each was told: a sale, an authorisation captured in part,
    refunds, and a sale to who was not known yet."""
    film = {"user": "aurora-101", "product": "film", "at": NOVEMBER}
    rows: list[tuple[str, Action, dict[str, Any]]] = [
        ("P-1", Action.SALE, film),
        ("P-2", Action.AUTHORISE, film),
        ("P-2", Action.CAPTURE, {"amount": 9 * UNIT, "at": NOVEMBER + 60}),
        ("P-1", Action.REFUND, {"amount": 2 * UNIT, "at": NOVEMBER + 70}),
        ("P-1", Action.REFUND, {"amount": 3 * UNIT, "at": NOVEMBER + 80}),
        ("P-3", Action.SALE, film | {"user": "newcomer"}),
    ]
    return [
        (
            NOVEMBER + number,
            Event(event_id=f"S-{number}", action=action, reference=reference, **values),
        )
        for number, (reference, action, values) in enumerate(rows)
    ]


def recomputed(rows: list[dict[str, str]]) -> Iterator[tuple[str, int]]:
    """Give what each line of the statement is to be for filmhouse by its own files: it
    keeps 85 % of a price before tax, of which 20 % are in a film's and on top of use.

    Each of its events is behind one line, and none is left.
    """
    used = {row["event_id"]: row for row in uses()}
    sold = {event.event_id: event for _, event in sales()}
    minutes: dict[str, int] = {}
    left = {"P-1": 12 * UNIT, "P-2": 9 * UNIT, "P-3": 12 * UNIT}
    kept = dict.fromkeys(left, 0)
    for row in rows:
        records = json.loads(row["records"] or "[]")
        if row["source"] == "bsp_usage":
            whose, before = row["service"], minutes.get(row["service"], 0)
            minutes[whose] = before + sum(used.pop(r)["quantity"] for r in records)
            yield row["entry"], price_of(minutes[whose]) - price_of(before)
        elif row["source"] == "period":
            yield row["entry"], -price_of(minutes[row["service"]]) * 15 // 100
        else:
            [event_id] = records
            event = sold.pop(event_id)
            if event.action is Action.REFUND:
                left[event.reference] -= event.amount or 0
            had, kept[event.reference] = (
                kept[event.reference],
                left[event.reference] * 5 // 6 * 85 // 100,
            )
            yield row["entry"], kept[event.reference] - had
    assert {} == used
    assert [Action.AUTHORISE] == [event.action for event in sold.values()]


def booked(database: Database) -> None:
    """Have all of it sent in pieces, rated, told after a fix, levied and closed."""
    whole, catalogue = metered(), Catalogue(metered())
    for some in (uses()[:9], uses()[9:]):
        list(receive(database, catalogue, "filmhouse", some, DECEMBER))
        rate_guided(database, whole, DECEMBER)
    for now, event in sales():
        handle(database, catalogue, "filmhouse", event, now)
    known = network().service[0]
    names = (*known.user_names, "newcomer")
    one = Service(
        name=known.name,
        isp=known.isp,
        line=known.line,
        user_names=names,
        offering=known.offering,
    )
    recycle(database, Catalogue(network(service=(one,))), NOVEMBER + 100)
    close_months(database, whole, "2026-11", DECEMBER)


def test_a_bsp_recomputes_its_statement_from_its_own_events_and_prices(
    database: Database,
) -> None:
    """Every line, to the micro-unit, by the ids that the BSP gave its events; as CSV
    and as lines the same. Nobody else is told of them."""
    booked(database)
    with database.read.connect() as connection:
        text = "".join(csv_of(connection, FILMHOUSE))
        lines = list(lines_of(connection, FILMHOUSE))
        others = [
            line.records
            for whose in (
                Recipient(Role.ISP, "aurora", "2026-11"),
                Recipient(Role.NETWORK, "network", "2026-11"),
            )
            for line in lines_of(connection, whose)
        ]
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert dict(recomputed(rows)) == {row["entry"]: int(row["amount"]) for row in rows}
    assert [row["records"] or None for row in rows] == [line.records for line in lines]
    assert {None} == set(others)
    several = [row for row in rows if len(json.loads(row["records"] or "[]")) > 1]
    assert several  # events that were rated together are one line


def test_a_statement_that_was_issued_without_records_comes_out_as_it_was(
    database: Database,
) -> None:
    """Its digest is of the layout that it had, and of no other."""
    booked(database)
    open_statement(database, FILMHOUSE, DECEMBER)
    take_step(database, FILMHOUSE, Step.ISSUE, None, DECEMBER)
    with database.write.begin() as connection:
        connection.execute(update(statement).values(layout=1))
    with database.read.connect() as connection:
        last, layout = as_issued(connection, FILMHOUSE)
        first = "".join(csv_of(connection, FILMHOUSE, last, layout))
        second = "".join(csv_of(connection, FILMHOUSE, last))
    assert "detail" == first.splitlines()[0].rpartition(",")[2]
    columns = second.splitlines()[0].split(",")
    source, reference = columns.index("source"), columns.index("reference")
    expected = [row[:-1] for row in csv.reader(io.StringIO(second, newline=""))]
    for row in expected:
        row[reference] = "" if row[source] == "period" else row[reference]
    assert expected == list(csv.reader(io.StringIO(first, newline="")))


def test_an_isp_recomputes_its_statement_from_its_copies_of_the_accounting(
    database: Database,
) -> None:
    """It has the reports of its subscriber, its services and both tariffs: 500 GB are
    included, then a GB costs 0.10, and 20.00 at the most; it pays 0.01 for each. A fee
    goes by service, tariff, element and month, and 25 % tax is on the totals."""
    site = Site(database)
    own = {NOON: 0} | {NOON + 600 * n: total for n, total in enumerate(COUNTERS, 1)}
    site.use(*COUNTERS)
    change_network(database, site.network, NOON)
    charge(database, PeriodicCharges(site.network), NOON)
    levy_month(database, site.network, "2026-11", NOON)
    aurora = Recipient(Role.ISP, "aurora", "2026-11")
    with database.read.connect() as connection:
        text = "".join(csv_of(connection, aurora))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    owed = {"standard": 0, "wholesale standard": 0}
    taxes = dict.fromkeys(owed, 0)
    carried, fees = 0, set()
    for row in rows:
        subscriber, network = int(row["subscriber_amount"]), int(row["network_amount"])
        if row["source"] == "usage":
            assert "aurora-101" == row["service"]
            for lines, amount, price in zip(
                json.loads(row["detail"]),
                (-subscriber, network),
                (retail, lambda gigabytes: gigabytes * 10_000),
                strict=False,
            ):
                for _, _, _, _, _, began, ended, _ in lines[:1]:
                    before, then = own[began], own[ended]
                    assert (then - before) * GB == sum(line[2] for line in lines)
                    assert price(then) - price(before) == amount
                    carried += (then - before) * (amount == network)
        elif row["source"] == "fee":
            whose, tariff, element, month = row["reference"].split(":")
            assert (f"fee-{row['service']}", "2026-11-01") == (whose, month)
            assert FEES[tariff, element] in (-subscriber, network)
            fees.add((tariff, element))
        else:
            taxes[row["reference"].split(":")[3]] += int(row["tax_amount"])
            continue
        owed["standard"] -= subscriber
        owed["wholesale standard"] += network
        assert int(row["amount"]) == int(row["isp_amount"]) == -subscriber - network
    assert (COUNTERS[-1], FEES.keys()) == (carried, fees)
    assert {of: amount // 4 for of, amount in owed.items()} == taxes


COUNTERS = (100, 480, 510, 520, 600, 900)
"""Gigabytes that the subscriber's session had counted, each ten minutes."""

FEES = {
    ("aurora-home", "subscription"): 39 * UNIT,
    ("open-access", "line"): 12 * UNIT,
}


def retail(gigabytes: int) -> int:
    """What so much in a month costs, as aurora's own price list has it."""
    return min(max(gigabytes - 500, 0) * 100_000, 20 * UNIT)
