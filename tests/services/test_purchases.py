"""Purchases at a BSP: money that splits, limits that hold, events that count once."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from settlement_network import DECEMBER, NOVEMBER, UNIT, network
from taking_turns import second_of

from config.checker import find_mistakes
from config.offers import Component
from config.parties import Bsp
from config.settlement import Product, SpendingLimit, Tax
from rating.entry import Kind
from rating.purchase import Action, Denial, State, Terms, given_back, split
from services.catalogue import Catalogue
from services.purchases import Answer, Event, expire, handle, recycle
from storage.database import Database
from storage.entries import close_month
from storage.entry_queries import EntryFilter, balances, list_entries
from storage.ledger_proof import prove
from storage.purchases import change_purchase, list_purchases

CATALOGUE = Catalogue(network())
_ids = (f"event-{number}" for number in itertools.count())


def ask(database: Database, action: str, now: int = NOVEMBER, **values: Any) -> Answer:
    """Send one event of filmhouse, of purchase P-1 unless the test says otherwise."""
    catalogue = values.pop("catalogue", CATALOGUE)
    values = {"event_id": next(_ids), "reference": "P-1", "at": now} | values
    event = Event(action=Action(action), **values)
    return handle(database, catalogue, "filmhouse", event, now)


def buy(database: Database, action: str = "sale", **values: Any) -> Answer:
    """Buy a film of 12.00 for aurora's subscriber."""
    what = {"user": "sub101@aurora.example", "product": "film"}
    return ask(database, action, **(what | values))


def test_a_captured_purchase_splits_to_the_micro_unit(database: Database) -> None:
    """12.00 with 20 % tax in it: 2.00 tax, of 10.00 the ISP has 1.00 and the Network
    Provider 0.50."""
    assert State.AUTHORISED == buy(database, "authorise").state
    answer = ask(database, "capture")
    assert (State.CAPTURED, 12 * UNIT, 1) == (
        answer.state,
        answer.amount,
        answer.entry,
    )
    with database.read.connect() as connection:
        ((entry, _),) = list_entries(connection, EntryFilter(party="filmhouse"))
    assert (-12_000_000, 1_000_000, 8_500_000, 500_000, 2_000_000) == entry.posting[1:6]
    assert ("aurora", Kind.PURCHASE, "filmhouse") == (
        entry.book.tenant,
        entry.book.kind,
        entry.book.tax_party,
    )


TERMS = st.builds(
    Terms,
    zone=st.just("UTC"),
    tax_class=st.just("standard"),
    tax_party=st.just("filmhouse"),
    tax=st.integers(0, 10_000),
    isp_commission=st.integers(0, 5_000),
    network_fee=st.integers(0, 5_000),
)


@given(TERMS, st.lists(st.integers(1, 10**9), min_size=1, max_size=8))
def test_refunds_of_any_parts_restore_everything(
    terms: Terms, parts: list[int]
) -> None:
    """Every split and refund sums to zero, and all refunds undo the purchase."""
    captured = sum(parts)
    sums = list(split(captured, terms))
    assert sum(sums) == 0
    before = 0
    for part in parts:
        legs = given_back(captured, before, part, terms)
        assert (0, part) == (sum(legs), legs[0])
        sums = [a + b for a, b in zip(sums, legs, strict=True)]
        before += part
    assert [0] * 5 == sums


def test_who_is_exempt_and_what_has_no_share_are_said_so(database: Database) -> None:
    """A rate of 0 for one BSP goes before everyone's, until its day; a product without
    a commission is not its BSP's other ones'."""
    taxes = (
        Tax(name="vat", percent="25"),
        Tax(name="small", party="filmhouse", percent="0"),
        Tax(name="grown", party="filmhouse", percent="20", first_day="2026-12-01"),
    )
    film = Product(name="film", bsp="filmhouse", price="12.00", isp_commission="0")
    assert [] == [*find_mistakes(Tax, msgspec.to_builtins(taxes[1]))]
    assert [] == [*find_mistakes(Product, msgspec.to_builtins(film))]
    catalogue = Catalogue(network(tax=taxes, product=(film,)))
    for reference, now in (("P-1", NOVEMBER), ("P-2", DECEMBER)):
        buy(database, reference=reference, now=now, catalogue=catalogue)
    with database.read.connect() as connection:
        assert [
            (-12_000_000, 0, 11_400_000, 600_000, 0),
            (-12_000_000, 0, 9_500_000, 500_000, 2_000_000),
        ] == [e.posting[1:6] for e, _ in list_entries(connection, EntryFilter())]


def test_refunds_give_back_no_more_than_there_was(database: Database) -> None:
    """A part, then the rest; what is left then is nothing, in money and in legs."""
    buy(database)
    assert State.PARTLY_REFUNDED == ask(database, "refund", amount=5 * UNIT).state
    too_much = ask(database, "refund", amount=8 * UNIT)
    assert Denial.AMOUNT_EXCEEDED == too_much.denial
    assert State.REFUNDED == ask(database, "refund").state
    assert Denial.NOT_IN_THIS_STATE == ask(database, "refund").denial
    with database.read.connect() as connection:
        found = balances(connection, EntryFilter())
    assert [0] * 5 == [
        sum(column) for column in zip(*(b.amounts for b in found), strict=True)
    ]


def test_the_same_event_gets_the_same_answer_and_counts_once(
    database: Database,
) -> None:
    """At any time, whatever has happened to the purchase since."""
    event = {"event_id": "E-1", "user": "aurora-101", "product": "film"}
    first = ask(database, "sale", **event)
    ask(database, "refund")
    assert first == ask(database, "sale", **event)
    with database.read.connect() as connection:
        assert 2 == len(list(list_entries(connection, EntryFilter())))


def test_the_same_event_with_another_body_is_a_conflict(database: Database) -> None:
    """Nothing is done, and nothing of the first is told."""
    buy(database, event_id="E-1")
    assert Answer(conflict=True) == buy(database, event_id="E-1", product="other")
    assert Answer(conflict=True) == ask(database, "capture", event_id="E-1")


@pytest.mark.parametrize(
    ("values", "denial"),
    [
        ({"user": "nobody"}, Denial.UNKNOWN_USER),
        ({"product": "book"}, Denial.UNKNOWN_PRODUCT),
        ({"product": ""}, Denial.PRICE_REQUIRED),
        ({"product": "", "amount": 21 * UNIT}, Denial.PRICE_OUT_OF_LIMITS),
        ({"product": "", "amount": 0}, Denial.PRICE_OUT_OF_LIMITS),
        ({"product": "", "amount": -5}, Denial.PRICE_OUT_OF_LIMITS),
        ({"currency": "USD"}, Denial.WRONG_CURRENCY),
    ],
)
def test_what_cannot_be_priced_is_denied_with_a_reason(
    database: Database, values: dict[str, Any], denial: Denial
) -> None:
    """An authorisation is denied and kept; money is never guessed."""
    answer = buy(database, "authorise", **values)
    assert (State.DENIED, denial) == (answer.state, answer.denial)
    with database.read.connect() as connection:
        (row,) = list_purchases(connection, bsp="filmhouse")
    assert (denial, 0) == (row.reason, row.captured_amount)


def test_who_is_not_subscribed_is_denied_where_a_bsp_sells_to_subscribers(
    database: Database,
) -> None:
    """An authorisation is denied; a sale waits until the offering has the BSP in it."""
    replace = msgspec.structs.replace
    plain = network()
    strict = replace(
        plain, bsp=tuple(replace(bsp, sells_to="subscribed") for bsp in plain.bsp)
    )
    closed = Catalogue(strict)
    answer = buy(database, "authorise", catalogue=closed)
    assert (State.DENIED, Denial.NOT_SUBSCRIBED) == (answer.state, answer.denial)
    answer = buy(database, reference="P-2", catalogue=closed)
    assert (State.PENDING, Denial.NOT_SUBSCRIBED) == (answer.state, answer.denial)
    films = (Component(bsp="filmhouse", product="films"),)
    home, polar = strict.offering
    with_films = replace(strict, offering=(replace(home, components=films), polar))
    opened = Catalogue(with_films)
    assert [State.CAPTURED] == [a.state for a in recycle(database, opened, NOVEMBER)]
    other = {"user": "borealis-102", "reference": "P-3", "catalogue": opened}
    assert Denial.NOT_SUBSCRIBED == buy(database, "authorise", **other).denial


def test_a_sale_that_could_not_be_priced_is_tried_again(database: Database) -> None:
    """It is pending with its reason until the catalogue has the price."""
    assert State.PENDING == buy(database, product="book", currency="EUR").state
    assert [State.PENDING] == [a.state for a in recycle(database, CATALOGUE, NOVEMBER)]
    fixed = Catalogue(
        network(product=(Product(name="book", bsp="filmhouse", price="6"),))
    )
    (answer,) = recycle(database, fixed, DECEMBER)
    assert (State.CAPTURED, 6 * UNIT) == (answer.state, answer.amount)
    assert [] == recycle(database, fixed, DECEMBER)


def test_a_limit_holds_for_what_is_spent_and_authorised(database: Database) -> None:
    """Of 50.00 a month four films of 12.00 fit; a refund makes room, as does a
    cancelled authorisation, an expired one, and another month."""
    for number in range(4):
        buy(database, "authorise", reference=f"P-{number}")
    assert Denial.LIMIT_EXCEEDED == buy(database, "authorise", reference="P-4").denial
    ask(database, "cancel", reference="P-0")
    assert State.CAPTURED == buy(database, reference="P-5").state
    assert Denial.LIMIT_EXCEEDED == buy(database, reference="P-6").denial
    ask(database, "refund", reference="P-5")
    assert State.CAPTURED == buy(database, reference="P-7").state
    assert State.CAPTURED == buy(database, reference="P-8", now=DECEMBER).state
    week = NOVEMBER + 168 * 3600
    assert State.CAPTURED == buy(database, reference="P-9", now=week).state


@pytest.mark.parametrize(
    ("at", "denial"),
    [
        (NOVEMBER + 301, Denial.IN_THE_FUTURE),
        (DECEMBER, Denial.IN_THE_FUTURE),
        (2**63, Denial.IN_THE_FUTURE),
        (NOVEMBER - 62 * 86_400 - 1, Denial.TOO_LONG_AGO),
        (-(2**63), Denial.TOO_LONG_AGO),
    ],
)
def test_no_time_is_chosen_to_find_room_under_a_limit(
    database: Database, at: int, denial: Denial
) -> None:
    """A sale of a month to come or of long ago is kept as denied, and so is any other
    event; what is some minutes ahead or two months late is taken."""
    answer = buy(database, at=at, now=NOVEMBER)
    assert (State.DENIED, denial) == (answer.state, answer.denial)
    buy(database, reference="P-2", at=NOVEMBER - 62 * 86_400, now=NOVEMBER)
    refund = ask(database, "refund", reference="P-2", at=at, now=NOVEMBER)
    assert (State.CAPTURED, denial) == (refund.state, refund.denial)
    ahead = buy(database, reference="P-3", at=NOVEMBER + 300, now=NOVEMBER)
    assert State.CAPTURED == ahead.state


def test_limits_are_of_each_subscriber_and_bsp(database: Database) -> None:
    """What one spends leaves the others', and what is spent at one BSP the others'; a
    limit at no BSP in particular is for all of them together."""
    whose = {"bsp": "filmhouse", "currency": "EUR"}
    of_aurora = SpendingLimit(name="hers", service="aurora-101", amount="15", **whose)
    both = SpendingLimit(name="all", amount="30", currency="EUR")
    games = Bsp(name="games", price_maximum="100")
    limited = Catalogue(
        network(spending_limit=(of_aurora, both), bsp=(*network().bsp, games))
    )

    def spend(user: str, bsp: str, units: int) -> Denial | None:
        event = Event(
            event_id=next(_ids),
            action=Action.SALE,
            reference=next(_ids),
            at=NOVEMBER,
            user=user,
            amount=units * UNIT,
        )
        return handle(database, limited, bsp, event, NOVEMBER).denial

    assert spend("aurora-101", "filmhouse", 12) is None
    assert Denial.LIMIT_EXCEEDED == spend("aurora-101", "filmhouse", 4)
    assert spend("borealis-102", "filmhouse", 16) is None
    assert spend("aurora-101", "games", 18) is None
    assert Denial.LIMIT_EXCEEDED == spend("aurora-101", "games", 1)
    assert spend("borealis-102", "games", 14) is None


def test_an_authorisation_expires(database: Database) -> None:
    """What is not captured in its hours is void, and is let go of."""
    buy(database, "authorise")
    late = NOVEMBER + 168 * 3600
    assert Denial.AUTHORISATION_EXPIRED == ask(database, "capture", now=late).denial
    assert (1, 0) == (expire(database, late), expire(database, late))
    assert Denial.NOT_IN_THIS_STATE == ask(database, "capture").denial


def test_what_expired_is_void_whoever_says_when(database: Database) -> None:
    """Its hold was let go of, so a capture that comes too late is denied by a time of
    before, too, whether or not anybody had looked for what expired; an authorisation
    that itself comes late is held from then on."""
    buy(database, "authorise")
    week = NOVEMBER + 168 * 3600
    late = ask(database, "capture", at=NOVEMBER + 60, now=week)
    assert Denial.AUTHORISATION_EXPIRED == late.denial
    told = NOVEMBER + 30 * 86_400
    buy(database, "authorise", reference="P-2", at=NOVEMBER, now=told)
    assert 1 == expire(database, told)
    answer = ask(database, "capture", reference="P-2", at=NOVEMBER + 60, now=told)
    assert (None, 12 * UNIT) == (answer.denial, answer.amount)


def test_what_is_free_is_sold_and_given_back_without_an_entry(
    database: Database,
) -> None:
    """In one step and in two, it goes through the states of every purchase."""
    free = network(product=(Product(name="film", bsp="filmhouse", price="0"),))
    given = {"catalogue": Catalogue(free)}
    assert State.CAPTURED == buy(database, **given).state
    assert (
        State.AUTHORISED == buy(database, "authorise", reference="P-2", **given).state
    )
    assert (
        Denial.AMOUNT_EXCEEDED
        == ask(database, "capture", reference="P-2", amount=1).denial
    )
    for action, state in (("capture", State.CAPTURED), ("refund", State.REFUNDED)):
        answer = ask(database, action, reference="P-2")
        assert (state, None, None) == (answer.state, answer.denial, answer.entry)


BOOK = {"product": "book", "currency": "EUR"}
WITH_BOOKS = Catalogue(
    network(product=(Product(name="book", bsp="filmhouse", price="6"),))
)


@pytest.mark.parametrize(
    ("begin", "what", "work", "told"),
    [
        ("authorise", {}, lambda db: expire(db, NOVEMBER + 168 * 3600), 0),
        ("sale", BOOK, lambda db: recycle(db, WITH_BOOKS, NOVEMBER), []),
        (
            "sale",
            BOOK,
            lambda db: ask(db, "cancel").denial,
            Denial.NOT_IN_THIS_STATE,
        ),
    ],
    ids=["expire", "recycle", "cancel"],
)
def test_what_somebody_captures_meanwhile_stays_captured(
    database: Database,
    begin: str,
    what: dict[str, str],
    work: Callable[[Database], object],
    told: object,
) -> None:
    """Whoever came to the purchase second sees it as the first one left it."""
    number = buy(database, begin, **what).purchase
    assert number is not None
    captured = partial(change_purchase, purchase_id=number, state=State.CAPTURED.value)
    assert told == second_of(database, captured, lambda: work(database))
    with database.read.connect() as connection:
        assert [State.CAPTURED] == [p.state for p in list_purchases(connection)]
        assert [] == list(list_entries(connection, EntryFilter()))


@pytest.mark.parametrize("action", ["capture", "cancel", "refund"])
def test_events_out_of_order_are_denied_and_can_come_again(
    database: Database, action: str
) -> None:
    """A capture before its authorisation does nothing, and is right later."""
    assert Denial.UNKNOWN_PURCHASE == ask(database, action).denial
    buy(database, "authorise")
    again = ask(database, action)
    assert (action == "refund") == (again.denial is Denial.NOT_IN_THIS_STATE)


def test_a_purchase_after_its_month_was_closed_goes_into_the_next(
    database: Database,
) -> None:
    """Late, marked with its own month, and the ledger is still proved."""
    with database.write.begin() as connection:
        close_month(connection, "aurora", "UTC", "2026-11", DECEMBER)
    buy(database, at=NOVEMBER, now=DECEMBER)
    with database.read.connect() as connection:
        ((entry, _),) = list_entries(connection, EntryFilter())
        assert [] == prove(connection).problems
    assert ("2026-12", "2026-11") == (entry.book.month, entry.posting.late_from)
