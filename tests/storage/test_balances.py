"""Balances, samples and waiting usage on both databases."""

from __future__ import annotations

from tariffs_made import SERVICE, money, network, rated, rater_of, usage

from rating.rater import Rater
from storage import balances as repository
from storage.balances import UnratedUsage
from storage.database import Database

START = 1_792_800_000
NETWORK = network(
    {
        "rate": [{"name": "data", "measure": "sum", "price": "0.10", "per": "1 GB"}],
        "allowance": [{"name": "free", "quantity": "1 GB", "rates": ["data"]}],
    },
    wholesale={
        "percentile": [{"name": "height", "price": "1.00"}],
        "rate": [{"name": "transport", "measure": "sum", "price": "1", "per": "1 GB"}],
    },
)
RECORDS = [
    usage(START + 600 * nth, START + 600 * nth + 600, 10**8, 3 * 10**8)
    for nth in range(10)
]


def test_a_rater_goes_on_from_what_the_database_kept(database: Database) -> None:
    """Three raters, each of which loads what the one before wrote, charge as one."""
    charges = []
    for batch in (RECORDS[:2], RECORDS[2:5], RECORDS[5:]):
        with database.write.begin() as connection:
            rater = Rater(next_balance_id=repository.next_balance_id(connection))
            rater.know(NETWORK)
            keys = rater.missing(batch)
            rater.adopt(keys, repository.load_balances(connection, keys))
            charges += rated(rater, batch)
            begun, counted, samples, _ = rater.changes()
            repository.insert_balances(connection, repository.begun_rows(begun))
            repository.update_balances(connection, repository.counted_rows(counted))
            repository.add_samples(connection, samples)
    assert money(charges) == money(rated(rater_of(NETWORK), RECORDS))
    with database.read.connect() as connection:
        assert repository.next_balance_id(connection) == 3
        samples = list(repository.samples_of(connection, "aurora", START, START + 6000))
    assert [(10**8 // 2, 3 * 10**8 // 2)] * 20 == samples


def test_samples_are_added_to_what_is_there(database: Database) -> None:
    """A late record's octets come on top; other ISPs' and times stay apart."""
    with database.write.begin() as connection:
        repository.add_samples(connection, {("aurora", START): [1, 2]})
    with database.write.begin() as connection:
        more = {("aurora", START): [10, 20], ("borealis", START): [5, 5]}
        repository.add_samples(connection, more)
        repository.add_samples(connection, {("aurora", START + 300): [7, 7]})
    with database.read.connect() as connection:
        found = repository.samples_of(connection, "aurora", START, START + 300)
        assert [(11, 22)] == list(found)


def test_usage_that_waits_is_listed_by_tenant_and_taken_off_when_rated(
    database: Database,
) -> None:
    """Kept with its reason, page by page, until somebody rates it."""
    waiting = [
        UnratedUsage(nth, tenant, SERVICE, "guided", "no_version", START, START, 1)
        for nth, tenant in enumerate(("aurora", "borealis", "aurora"), start=1)
    ]
    with database.write.begin() as connection:
        repository.insert_unrated(connection, waiting)
    with database.read.connect() as connection:
        assert waiting[1:] == repository.unrated(connection, 1, 10)
        assert waiting[::2] == repository.unrated(connection, 0, 10, "aurora")
    with database.write.begin() as connection:
        repository.forget_unrated(connection, [1, 2])
    with database.read.connect() as connection:
        assert waiting[2:] == repository.unrated(connection, 0, 10)
