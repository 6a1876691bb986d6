"""A month's work on money is killed between any two of its steps, again and again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from killed import Work, killed_at
from rated_site import KEY, NETWORK, NOON, Site
from sqlalchemy import Connection, select

from config.network import Network, bodies
from rating.statement import Step
from services import periods, rerating
from services.address_sales import book_sales
from services.periodic_charges import PeriodicCharges
from services.periods import close_months
from services.quota_actions import TRIES, QuotaActions
from services.rerated_usage import own_service
from services.statements import Recipient, open_statement, recipient_of, take_step
from storage import network as feed
from storage.database import Database, migrate, open_database
from storage.entry_queries import EntryFilter, list_entries
from storage.lease_tables import SALE_COLUMNS
from storage.leases import add_sales
from storage.ledger_proof import prove
from storage.quota_events import due
from storage.rating_tables import balance
from storage.settlement_tables import statement

MONTH = "2026-11"
OVER = NOON + 30 * 86_400


def priced(price: str) -> Network:
    """The network whose home tariff has a price for a GB, and buys 100 GB more once."""
    replace = msgspec.structs.replace
    tariffs = []
    for tariff in NETWORK.tariff:
        if tariff.name == "aurora-home":
            (version,) = tariff.version
            (quota,) = version.quota
            quota = replace(
                quota,
                action="buy",
                topup="100 GB more",
                most_topups=1,
                down_kbps=None,
                up_kbps=None,
            )
            rates = tuple(replace(rate, price=price) for rate in version.rate)
            version = replace(version, rate=rates, quota=(quota,))
            tariff = replace(tariff, version=(version,))
        tariffs.append(tariff)
    return replace(NETWORK, tariff=tuple(tariffs))


CHEAP, DEAR = priced("0.10"), priced("0.20")


def prepare(database: Database) -> None:
    """A network in the feed, usage beyond an allowance, and addresses sold."""
    made = [
        feed.Change("add", kind, name, body)
        for (kind, name), body in bodies(CHEAP).items()
    ]
    with database.write.begin() as connection:
        feed.apply(connection, made, NOON)
    site = Site(database, CHEAP)
    site.use(100, 499, 510, 650, 655)
    site.use(1, 3, session="S-2", user_name="sub102@borealis.example")
    row: dict[str, Any] = dict.fromkeys(SALE_COLUMNS, 0)
    row |= {"at": NOON, "kind": "sale", "month": MONTH, "line": "harbour-101"}
    row |= {"service": "aurora-101", "isp": "aurora", "tenant": "aurora"}
    sales = [tuple({**row, "price_micro": price}.values()) for price in (1, 2, 3)]
    with database.write.begin() as connection:
        add_sales(connection, sales)


def fees(database: Database) -> None:
    """The fees of each service, one in a transaction."""
    charges, after = PeriodicCharges(CHEAP), ""
    charges.charge_isps(database, NOON)
    while (found := charges.charge_services(database, NOON, after, 1)) is not None:
        after = found


def sales(database: Database) -> None:
    """Each sale in a transaction."""
    behind: int | None = 0
    while behind is not None:
        with database.write.begin() as connection:
            behind = book_sales(
                connection, CHEAP, bodies(CHEAP), behind=behind, limit=1, now=NOON
            )


def quotas(database: Database) -> None:
    """Each quota event in a transaction."""
    actions = QuotaActions(CHEAP, KEY)
    while True:
        with database.write.begin() as connection:
            events = due(connection, TRIES, 1)
            if not events:
                return
            actions.carry_out(connection, events[0], NOON + 3600)


def dearer(database: Database) -> None:
    """The month at another price, two records in a transaction."""
    rerating.apply(database, DEAR, own_service, MONTH, OVER)


def closing(database: Database) -> None:
    """Taxes and commissions, one in a transaction, and the end of the month."""
    close_months(database, DEAR, MONTH, OVER)


def statements(database: Database) -> None:
    """A statement for each party, opened and issued."""
    for name in ("aurora", "borealis", "filmhouse", "network"):
        whose = recipient_of(DEAR, name, MONTH)
        assert isinstance(whose, Recipient)
        open_statement(database, whose, OVER)
        take_step(database, whose, Step.ISSUE, None, OVER)


def cheaper(database: Database) -> None:
    """The closed month back at its first price: all of it late, in the next."""
    rerating.apply(database, CHEAP, own_service, MONTH, OVER)


STAGES: tuple[Work, ...] = (
    fees,
    sales,
    quotas,
    dearer,
    closing,
    statements,
    cheaper,
)


def state_of(database: Database) -> tuple[Any, ...]:
    """Give all that money is: entries without their numbers, balances, statements."""
    with database.read.connect() as connection:
        assert [] == list(prove(connection).problems)
        entries = Counter(
            (e.book, e.posting._replace(reverses=e.posting.reverses is not None))
            for e, _ in list_entries(connection, EntryFilter())
        )
        return entries, *_rows(connection)


def _rows(connection: Connection) -> list[set[tuple[Any, ...]]]:
    b, s = balance.c, statement.c
    queries = (
        select(b.holder, b.tariff, b.version, b.period, b.memory),
        select(s.tenant, s.role, s.state, s.lines),
    )
    return [{tuple(row) for row in connection.execute(query)} for query in queries]


def test_a_kill_between_any_two_steps_of_a_month_changes_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fees, sold addresses, quotas, rerating, levies, the close, statements and what
    comes late are killed between any two transactions, and begun again: the books
    are those of a month in which nothing was killed."""
    monkeypatch.setattr(rerating, "_SLICE", 2)
    monkeypatch.setattr(periods, "_SLICE", 1)
    calm = open_database("sqlite", tmp_path / "calm")
    (tmp_path / "calm").mkdir()
    migrate(calm)
    for each in (calm, database):
        prepare(each)
    database.close()
    for stage in STAGES:
        stage(calm)
        step = 1
        while killed_at(database, stage, step, "commit"):
            step += 1
        assert step > 1, "it was never killed"
        assert state_of(calm) == state_of(database), stage.__name__
        database.close()
    calm.close()
