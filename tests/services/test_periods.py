"""Months: levied, closed, told in statements that balance."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime

import msgspec
import pytest
from settlement_network import DECEMBER, NOVEMBER, ZONES, charge, network
from sqlalchemy import insert

from config.addresses import Pool
from config.network import Network, bodies
from config.parties import Isp
from config.settlement import Tax
from rating.entry import Kind, Source
from rating.posting import Poster
from rating.purchase import Action
from rating.statement import Role, State, Step
from rating.taxes import Taxes
from services.catalogue import Catalogue
from services.levied import basis_behind
from services.periods import Refusal, close_months, levy_month
from services.purchases import Event, handle
from services.statements import (
    Recipient,
    csv_of,
    former_recipient,
    lines_of,
    open_statement,
    settlement_of,
    summary_of,
    take_step,
)
from services.statements import Refusal as StatementRefusal
from storage.database import Database
from storage.entries import lock_head, post, read_closed
from storage.entry_queries import EntryFilter, balances, list_entries
from storage.ledger_proof import prove
from storage.network import Change, apply
from storage.overallocation_tables import address_loan

MONTH = "2026-11"
OCTOBER = NOVEMBER - 30 * 86_400
AURORA = Recipient(Role.ISP, "aurora", MONTH)
FILMHOUSE = Recipient(Role.BSP, "filmhouse", MONTH)
PROVIDER = Recipient(Role.NETWORK, "network", MONTH)


def use(database: Database, *amounts: int, at: int = NOVEMBER) -> None:
    """Book usage of aurora-101, each 1/4 of it wholesale, and a film meter's."""
    with database.write.begin() as connection:
        poster = Poster(ZONES, read_closed(connection))
        for number, amount in enumerate(amounts, start=1):
            own = charge(amount, usage_id=number, at=at)
            owed = charge(amount // 4, tariff="wholesale", usage_id=number, at=at)
            poster.usage("aurora", [own], [owed])
            watched = charge(amount, tariff="films", usage_id=number, at=at)
            poster.bsp_usage("aurora", "filmhouse", [watched])
        post(connection, lock_head(connection), poster.take(), at)


def buy_film(
    database: Database,
    number: int = 7,
    user: str = "aurora-101",
    now: int = NOVEMBER,
) -> None:
    """Sell one film of 12.00 in November, as the BSP tells it now."""
    event = Event(
        event_id=f"E-{number}",
        action=Action.SALE,
        reference=f"order-{number}",
        user=user,
        product="film",
        at=NOVEMBER,
    )
    handle(database, Catalogue(network()), "filmhouse", event, now)


def sums(database: Database) -> tuple[int, ...]:
    """The five legs of everything."""
    with database.read.connect() as connection:
        found = balances(connection, EntryFilter())
    return tuple(map(sum, zip((0,) * 5, *(b.amounts for b in found), strict=True)))


def test_tax_is_of_the_month_s_total_not_of_each_record(database: Database) -> None:
    """Ten records of a micro-unit are taxed 25 % of ten, wherever the cuts are."""
    use(database, *[1] * 10)
    count = levy_month(database, network(), MONTH, NOVEMBER)
    # 2.5 of the ISP's ten; of the BSP's ten 20 % tax, 1 commission, 0.5 (1) fee.
    assert (2, -10 - 3 - 10 - 2) == (count, sums(database)[0])
    assert 0 == levy_month(database, network(), MONTH, NOVEMBER)
    use(database, *[1] * 10)
    levy_month(database, network(), MONTH, NOVEMBER)
    assert -20 - 5 - 20 - 4 == sums(database)[0]
    with database.read.connect() as connection:
        assert [] == prove(connection).problems


CHANGED = network(
    tax=(
        Tax(name="vat", percent="25"),
        Tax(name="less-vat", percent="10", first_day="2026-11-16"),
    ),
    bsp=(),
)
"""With a tax that changes within November."""

LAST_OF_OLD = int(datetime(2026, 11, 15, 22, 59, 59, tzinfo=UTC).timestamp())
FIRST_OF_NEW = LAST_OF_OLD + 1
"""Either side of the midnight of Oslo in which it does."""


def taxes_of(database: Database, month: str = MONTH) -> dict[int, int]:
    """What aurora owes of its subscriber's access, by the second that a levy is of."""
    wanted = EntryFilter(month=month, source=Source.PERIOD, party="aurora")
    found: dict[int, int] = {}
    with database.read.connect() as connection:
        for entry, _ in list_entries(connection, wanted):
            at = entry.posting.at
            found[at] = found.get(at, 0) + entry.posting.tax_amount
    return found


def fee(database: Database, amount: int, at: int) -> None:
    """Book a fee of aurora-101 for the days from a moment on."""
    with database.write.begin() as connection:
        poster = Poster(ZONES, read_closed(connection))
        poster.fees("aurora", [charge(amount, usage_id=None, at=at)])
        post(connection, lock_head(connection), poster.take(), at)


def test_a_tax_that_changes_within_a_month_holds_for_its_own_days(
    database: Database,
) -> None:
    """Usage and fees have the rate of their day in the tariff's zone, levied by the
    day or at once, and what is reversed takes its own tax back."""
    use(database, 1000, at=LAST_OF_OLD)
    fee(database, 400, LAST_OF_OLD)
    assert 0 < levy_month(database, CHANGED, MONTH, NOVEMBER)
    assert [250 + 100] == list(taxes_of(database).values())
    use(database, 3000, at=FIRST_OF_NEW)
    fee(database, 500, FIRST_OF_NEW)
    levy_month(database, CHANGED, MONTH, NOVEMBER)
    assert [250 + 100, 300 + 50] == list(taxes_of(database).values())
    use(database, -1000, at=LAST_OF_OLD)
    levy_month(database, CHANGED, MONTH, NOVEMBER)
    assert [100, 300 + 50] == list(taxes_of(database).values())
    assert 0 == levy_month(database, CHANGED, MONTH, NOVEMBER)
    assert 0 == sum(sums(database))
    with database.read.connect() as connection:
        assert [] == prove(connection).problems


def test_a_levy_is_explained_by_the_days_that_it_is_on(database: Database) -> None:
    """What the tax of the first days was levied on is no part of the last ones'."""
    use(database, 1000, at=LAST_OF_OLD)
    use(database, 3000, at=FIRST_OF_NEW)
    levy_month(database, CHANGED, MONTH, NOVEMBER)
    use(database, 500, at=FIRST_OF_NEW)
    levy_month(database, CHANGED, MONTH, NOVEMBER)
    wanted = EntryFilter(source=Source.PERIOD, party="aurora")
    with database.read.connect() as connection:
        told = [
            basis_behind(connection, Taxes(CHANGED.tax), levy)
            for levy, _ in list_entries(connection, wanted)
        ]
    assert [(1000, 0), (3000, 0), (3500, 300)] == [
        (sum(part.amount for part in basis.levied_on), basis.levied_before[4])
        for basis in told
    ]


def test_a_tax_that_was_entered_late_is_levied_anew(database: Database) -> None:
    """What was levied by the old rate on days of the new one comes back."""
    use(database, 1000, at=LAST_OF_OLD)
    use(database, 3000, at=FIRST_OF_NEW)
    levy_month(database, network(bsp=()), MONTH, NOVEMBER)
    assert [1000] == list(taxes_of(database).values())
    levy_month(database, CHANGED, MONTH, NOVEMBER)
    assert [250, 300] == list(taxes_of(database).values())


def films(database: Database) -> dict[str, tuple[int, ...]]:
    """The five legs of a month's metered films, by who owes the tax in them."""
    wanted = EntryFilter(month=MONTH, kind=Kind.BSP_USAGE)
    found: dict[str, tuple[int, ...]] = {}
    with database.read.connect() as connection:
        for balance in balances(connection, wanted):
            before = found.get(balance.book.tax_party, (0,) * 5)
            both = zip(before, balance.amounts, strict=True)
            found[balance.book.tax_party] = tuple(map(sum, both))
    return found


def test_tax_that_another_owes_now_is_not_levied_twice(database: Database) -> None:
    """Of 1000, 20 per cent while the BSP owes it and 25 when the ISP does, who is
    given 10 per cent and the network 5."""
    owed_by_isp = network(
        bsp=tuple(
            msgspec.structs.replace(bsp, tax_owed_by="isp") for bsp in network().bsp
        )
    )
    use(database, 1000)
    metered = (-1000, 0, 1000, 0, 0)
    for _ in range(2):
        levy_month(database, network(), MONTH, NOVEMBER)
        assert (-200, 100, -150, 50, 200) == films(database)["filmhouse"]
        levy_month(database, owed_by_isp, MONTH, NOVEMBER)
        assert {
            "": metered,
            "filmhouse": (0,) * 5,
            "aurora": (-250, 100, -150, 50, 250),
        } == films(database)
        levy_month(database, network(), MONTH, NOVEMBER)
        assert (0,) * 5 == films(database)["aurora"]


def test_a_bsp_that_left_pays_the_shares_of_its_last_month(database: Database) -> None:
    """Its terms are those that it last had."""
    store(database, network())
    use(database, 1000)
    levy_month(database, network(), MONTH, NOVEMBER)
    before = films(database)
    with database.write.begin() as connection:
        apply(connection, [Change("delete", "bsp", "filmhouse", None)], NOVEMBER)
    gone = network(bsp=(), product=(), spending_limit=())
    assert 0 == levy_month(database, gone, MONTH, NOVEMBER)
    assert before == films(database)


def test_who_left_is_told_of_its_last_month(database: Database) -> None:
    """An ISP's and a BSP's statement are issued though the network has them no more."""
    store(database, network())
    use(database, 1000)
    gone = [Change("delete", "isp", "aurora", None)]
    gone.append(Change("delete", "bsp", "filmhouse", None))
    with database.write.begin() as connection:
        apply(connection, gone, NOVEMBER)
        found = [
            former_recipient(connection, name, MONTH)
            for name in ("aurora", "filmhouse", "nobody")
        ]
    assert [AURORA, FILMHOUSE, None] == found
    close_months(database, network(isp=(), bsp=()), MONTH, DECEMBER)
    for whose in (AURORA, FILMHOUSE):
        open_statement(database, whose, DECEMBER)
        issued = take_step(database, whose, Step.ISSUE, None, DECEMBER)
        assert State.ISSUED == issued


def store(database: Database, whole: Network) -> None:
    """Put a network into the change feed."""
    changes = [Change("add", *of, body) for of, body in bodies(whole).items()]
    with database.write.begin() as connection:
        apply(connection, changes, NOVEMBER)


def test_what_is_late_has_the_tax_of_its_own_day(database: Database) -> None:
    """Booked behind its closed month, but taxed by the rate of then."""
    use(database, 100, at=LAST_OF_OLD)
    close_months(database, CHANGED, MONTH, DECEMBER)
    use(database, 1000, at=LAST_OF_OLD)
    use(database, 3000, at=FIRST_OF_NEW)
    use(database, 5000, at=DECEMBER)
    levy_month(database, CHANGED, "2026-12", DECEMBER)
    assert [250, 300 + 500] == sorted(taxes_of(database, "2026-12").values())


def test_a_month_closes_once_and_when_it_is_over(database: Database) -> None:
    """Then what comes late is booked behind it, and taxed there."""
    use(database, 1000)
    codes = [c.refusal for c in close_months(database, network(), MONTH, NOVEMBER)]
    assert {Refusal.NOT_OVER} == set(codes)
    codes = [c.refusal for c in close_months(database, network(), MONTH, DECEMBER)]
    assert {None} == set(codes)
    codes = [c.refusal for c in close_months(database, network(), MONTH, DECEMBER)]
    assert {Refusal.CLOSED} == set(codes)
    use(database, 400)
    with database.read.connect() as connection:
        late = [e for e, _ in list_entries(connection, EntryFilter(month="2026-12"))]
    assert [MONTH] * 2 == [e.posting.late_from for e in late]
    assert 0 == levy_month(database, network(), MONTH, DECEMBER)
    assert 2 < levy_month(database, network(), "2026-12", DECEMBER) + 1


def test_statements_of_everybody_balance(database: Database) -> None:
    """What the parties have of a month sums to zero, and each line is in its own."""
    use(database, 1000, 2000)
    buy_film(database)
    levy_month(database, network(), MONTH, NOVEMBER)
    with database.read.connect() as connection:
        positions = settlement_of(connection, MONTH)
        told = {
            whose: sum(line.amount for line in lines_of(connection, whose))
            for whose in (AURORA, FILMHOUSE, PROVIDER)
        }
        for whose in told:
            summary = summary_of(connection, whose)
            assert told[whose] == sum(part.amount for part in summary)
            assert sum(part.lines for part in summary) == (
                len(list(lines_of(connection, whose)))
            )
        references = [line.reference for line in lines_of(connection, FILMHOUSE)]
    assert 0 == sum(position.amount for position in positions)
    own = {(p.account, p.owner): p.amount for p in positions}
    assert own["isp", "aurora"] == told[AURORA]
    assert own["bsp", "filmhouse"] == told[FILMHOUSE]
    assert own["network", "network"] == told[PROVIDER]
    assert "order-7" in references


def test_a_statement_goes_from_opened_to_settled(database: Database) -> None:
    """It is issued of a closed month only, may be disputed, and stays as issued."""
    use(database, 1000)
    assert StatementRefusal.NOT_OPENED == take_step(
        database, AURORA, Step.ISSUE, None, NOVEMBER
    )
    assert State.OPENED == open_statement(database, AURORA, NOVEMBER)
    assert StatementRefusal.NOT_CLOSED == take_step(
        database, AURORA, Step.ISSUE, None, NOVEMBER
    )
    close_months(database, network(), MONTH, DECEMBER)
    for step, state in (
        (Step.ISSUE, State.ISSUED),
        (Step.DISPUTE, State.DISPUTED),
        (Step.RESOLVE, State.ISSUED),
        (Step.SETTLE, State.SETTLED),
        (Step.DISPUTE, StatementRefusal.NOT_IN_THIS_STATE),
    ):
        assert state == take_step(database, AURORA, step, "why", DECEMBER)


def test_a_statement_is_csv_that_sums_up(database: Database) -> None:
    """One header, a line for each entry, the legs of each sum to zero."""
    use(database, *range(1, 50))
    with database.read.connect() as connection:
        text = "".join(csv_of(connection, AURORA))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert 98 == len(rows)
    for row in rows:
        assert 0 == sum(int(row[n]) for n in row if n.endswith("_amount"))


def test_a_month_closes_with_those_before_it_and_their_tax(database: Database) -> None:
    """Whoever forgot to close October has its tax all the same."""
    use(database, 1000, at=OCTOBER)
    use(database, 2000)
    assert {None} == {
        c.refusal for c in close_months(database, network(), MONTH, DECEMBER)
    }
    assert {"2026-10": 250, MONTH: 500} == {
        month: sum(taxes_of(database, month).values()) for month in ("2026-10", MONTH)
    }


def test_nothing_is_booked_behind_a_statement_that_was_issued(
    database: Database,
) -> None:
    """A BSP's statement waits for every ISP that it sells to; borealis had nothing in
    the month until it closed, and what it buys late is told with the next."""
    store(database, network())
    buy_film(database)
    open_statement(database, FILMHOUSE, DECEMBER)
    close_months(database, network(), MONTH, DECEMBER, "aurora")
    issue = (database, FILMHOUSE, Step.ISSUE, None, DECEMBER)
    assert StatementRefusal.NOT_CLOSED == take_step(*issue)
    close_months(database, network(), MONTH, DECEMBER)
    assert State.ISSUED == take_step(*issue)
    buy_film(database, 8, "borealis-102", DECEMBER)
    with database.read.connect() as connection:
        december = FILMHOUSE._replace(month="2026-12")
        lines = list(lines_of(connection, december))
    assert [("order-8", MONTH)] == [(line.reference, line.late_from) for line in lines]


def lending(*, price: str = "0.001", most: int = 256) -> Network:
    """The network, in which aurora lends addresses at a price."""
    pool = Pool(
        name="aurora-harbour",
        area="harbour",
        isp="aurora",
        prefixes=("100.64.0.0/20",),
        lending=most,
    )
    isps = (Isp(name="aurora", lend_price=price), Isp(name="borealis"))
    return network(isp=isps, pool=(pool,))


def lend(database: Database, price: str) -> None:
    """A loan of aurora's to borealis, in November."""
    common = {"number": 1, "request": 1, "first": 0, "last": 255, "body": b""}
    common |= {"lender": "p", "borrower": "q", "tenant": "aurora"}
    common |= {"borrower_tenant": "borealis", "state": "active", "cause": ""}
    common |= {"made_at": NOVEMBER, "ended_at": 0, "term_ends_at": 0, "deadline": 0}
    with database.write.begin() as connection:
        connection.execute(
            insert(address_loan).values(**common, outcome="", price=price)
        )


@pytest.mark.parametrize(
    ("terms", "lent_at", "waits"),
    [
        pytest.param(lending(), None, True, id="who may lend at a price"),
        pytest.param(lending(price=""), None, False, id="who lends for nothing"),
        pytest.param(lending(most=0), None, False, id="who lends nothing"),
        pytest.param(lending(most=0), "0.001", True, id="who has lent at a price"),
        pytest.param(lending(most=0), "", False, id="who has lent for nothing"),
    ],
)
def test_a_lender_s_statement_waits_for_who_may_owe_it_for_a_loan(
    database: Database, terms: Network, lent_at: str | None, *, waits: bool
) -> None:
    """What a borrower owes for the hours of a loan is booked when they are over: in
    the month of the borrower, while that is open, and behind what the lender was told
    if its statement had been issued already."""
    store(database, terms)
    use(database, 1000)
    if lent_at is not None:
        lend(database, lent_at)
    open_statement(database, AURORA, DECEMBER)
    close_months(database, terms, MONTH, DECEMBER, "aurora")
    issue = (database, AURORA, Step.ISSUE, None, DECEMBER)
    expected = StatementRefusal.NOT_CLOSED if waits else State.ISSUED
    assert expected == take_step(*issue)
    if waits:
        close_months(database, terms, MONTH, DECEMBER)
        assert State.ISSUED == take_step(*issue)
