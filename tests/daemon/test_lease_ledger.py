"""The address server's journal in the database, and back again at a start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from access_network import NOW, Site, network
from msgspec import structs
from netaddr import IPAddress
from sqlalchemy import select

from config.schema import Settings
from daemon.lease_ledger import LeaseLedger
from daemon.lease_loading import LeaseLoader, tail
from ipserver.answer import Ack, Nak
from ipserver.ask import Message
from ipserver.reasons import Reason
from ipserver.records import entries
from storage.database import Database, StorageError, migrate, open_database
from storage.journal import JournalError, JournalReader, JournalWriter
from storage.lease_queries import LeaseFilter, list_leases, who_had
from storage.lease_tables import address_sale, lease, lease_history


class Office(Site):
    """A site whose records are durable in a journal, and applied when asked."""

    def __init__(self, folder: Path, database: Database, **rows: Any) -> None:
        super().__init__(network(**rows))
        self.network = network(**rows)
        self.database = database
        self.folder = folder / "ipserver"
        self._writer = JournalWriter(self.folder, file_bytes=1 << 20)
        self._written = 0

    def commit(self) -> None:
        """Make what was answered durable, as one block."""
        new = self.records[self._written :]
        self._written = len(self.records)
        if new:
            at = int(self.now * 1e9)
            self._writer.append(b"".join(new), records=len(new), received_at_ns=at)

    def apply(self) -> None:
        """Bring the database up to the journal."""
        self.commit()
        ledger = LeaseLedger(self.database, Settings())
        reader = JournalReader(self.folder)
        while blocks := reader.read(ledger.positions.get("ipserver", 1), 100):
            ledger.apply("ipserver", blocks)
        reader.close()

    def restart(self, jump: int = 0) -> Site:
        """Start again from what is durable, when the clock has been set meanwhile."""
        self.commit()
        again = Site(self.network, now=self.now + jump)
        again.allocation.begin_loading()
        loader = LeaseLoader(again.allocation, self.database, self.folder)
        loader.load(again.now)
        loader.close()
        again.allocation.loaded()
        return again


@pytest.fixture
def database(tmp_path: Path) -> Any:
    """A migrated database."""
    made = open_database("sqlite", tmp_path)
    migrate(made)
    yield made
    made.close()


def rows(database: Database, table: Any, *columns: str) -> list[tuple[Any, ...]]:
    """The columns of a table, in order of its key."""
    with database.read.connect() as connection:
        query = select(*(table.c[name] for name in columns)).order_by(
            *table.primary_key.columns
        )
        return [tuple(row) for row in connection.execute(query)]


def test_who_had_a_superseded_address_is_known_until_it_ends(
    tmp_path: Path, database: Database
) -> None:
    """The device before has it still; a start knows that it is not to be renewed."""
    pools = network().pool
    shore = structs.replace(pools[0], name="shore", prefixes=("100.67.0.0/26",))
    served = structs.replace(network(), pool=(*pools, shore))
    office = Office(tmp_path, database)
    office.network = served
    office.allocation.change_network(served, office.now)
    links = [int(IPAddress(link)) for link in ("100.64.0.1", "100.67.0.1")]
    old = office.lease("line-0", 1, link=links[0])
    office.now += 100
    new = office.lease("line-0", 2, link=links[1])
    office.apply()
    with database.read.connect() as connection:
        had = [who_had(connection, old, NOW + at) for at in (50, 150, 3599, 3600)]
        leases = list(list_leases(connection, LeaseFilter(now=NOW + 150)))
    assert [who and who["hardware"][-2:] for who in had] == ["01"] * 3 + [None]
    assert [(row["address"], row["kind"]) for row in leases] == [
        (str(IPAddress(old)), "superseded"),
        (str(IPAddress(new)), "own"),
    ]
    again = office.restart()
    assert isinstance(again.renew("line-0", 1, address=old), Nak)
    assert isinstance(again.renew("line-0", 2, address=new), Ack)


def test_a_takeover_ends_one_binding_and_begins_another(
    tmp_path: Path, database: Database
) -> None:
    """History has the device before, the lease the one after, at the same second."""
    office = Office(tmp_path, database)
    address = office.lease("line-0", 1)
    office.now += 100
    assert office.lease("line-0", 2) == address
    office.apply()
    columns = ("address", "line", "hardware", "started_at", "ended_at", "end_reason")
    assert rows(database, lease_history, *columns) == [
        (address, "line-0", b"\1\0\0\0\0\0\1", NOW, NOW + 100, "replaced")
    ]
    assert rows(database, lease, *columns) == [
        (address, "line-0", b"\1\0\0\0\0\0\2", NOW + 100, None, None)
    ]


def test_a_lease_that_ran_out_ends_in_history_when_it_did(
    tmp_path: Path, database: Database
) -> None:
    """Nobody records an expiry; the next binding tells that it was over."""
    office = Office(tmp_path, database)
    address = office.lease("line-0", 1)
    office.apply()
    office.now += 5000
    assert office.lease("line-0", 1) == address
    office.apply()
    assert rows(database, lease_history, "ended_at", "end_reason") == [
        (NOW + 3600, "expired")
    ]


@pytest.mark.parametrize("applied", [True, False], ids=["database", "journal"])
def test_a_start_knows_every_lease(
    tmp_path: Path, database: Database, applied: bool
) -> None:
    """Whether a lease is in the database already or in the journal's tail."""
    office = Office(tmp_path, database)
    held = office.lease("line-0", 1)
    released = office.lease("line-1", 2)
    office.ask(Message.RELEASE, "line-1", 2, address=released, unicast=True)
    declined = office.lease("line-2", 3)
    office.ask(Message.DECLINE, "line-2", 3, address=declined)
    before = office.allocation.pool_usage("aurora-harbour")
    if applied:
        office.apply()
    again = office.restart()
    after = again.allocation.pool_usage("aurora-harbour")
    assert before._replace(new_bindings=0) == after._replace(new_bindings=0)
    assert again.lease("line-0", 1) == held
    late = again.ask(Message.REBINDING, "line-1", 2, address=released)
    assert late == Nak(Reason.ENDED)
    assert again.lease("line-1", 9) == released
    assert again.lease("line-2", 3) not in {0, declined, held, released}


@pytest.mark.parametrize("applied", [True, False], ids=["database", "journal"])
def test_a_lease_after_one_that_was_given_up_can_be_renewed_late(
    tmp_path: Path, database: Database, applied: bool
) -> None:
    """Only the last lease of an address counts, and that one ran out by itself."""
    office = Office(tmp_path, database)
    address = office.lease("line-0", 1)
    office.ask(Message.RELEASE, "line-0", 1, address=address, unicast=True)
    assert office.lease("line-0", 1) == address
    office.now += 4000
    if applied:
        office.apply()
    again = office.restart()
    late = again.ask(Message.REBINDING, "line-0", 1, address=address)
    assert isinstance(late, Ack)


@pytest.mark.parametrize("applied", [True, False], ids=["database", "journal"])
@pytest.mark.parametrize("back", [3600, 400 * 86_400])
def test_a_clock_set_back_while_it_was_down_makes_nothing_last_longer(
    tmp_path: Path, database: Database, back: int, applied: bool
) -> None:
    """A lease of an hour is no lease of 400 days, and none is given twice."""
    office = Office(tmp_path, database)
    held = office.lease("line-0", 1)
    office.now += 2000
    office.renew("line-0", 1, address=held)
    released = office.lease("line-1", 2)
    office.ask(Message.RELEASE, "line-1", 2, address=released, unicast=True)
    declined = office.lease("line-2", 3)
    office.ask(Message.DECLINE, "line-2", 3, address=declined)
    if applied:
        office.apply()
    again = office.restart(-back)
    assert again.lease("line-3", 4) not in {0, held, released, declined}
    renewed = again.renew("line-0", 1, address=held)
    assert isinstance(renewed, Ack)
    assert renewed.lease.seconds <= 3600
    again.now += 3601
    again.allocation.turn(again.now, 1000)
    usage = again.allocation.pool_usage("aurora-harbour")
    assert (0, 1) == (usage.leased, usage.declined)
    again.now += 86_400
    again.allocation.turn(again.now, 1000)
    assert 0 == again.allocation.pool_usage("aurora-harbour").declined
    assert again.allocation.audit() == []


def test_history_keeps_what_ended_after_the_clock_was_set_back(
    tmp_path: Path, database: Database
) -> None:
    """Who had the address is answered for the time that the clock showed then: nothing
    ends before it was last known to be.
    """
    office = Office(tmp_path, database)
    address = office.lease("line-0", 1)
    office.now += 2000
    office.renew("line-0", 1, address=address)
    office.now -= 400 * 86_400
    office.ask(Message.RELEASE, "line-0", 1, address=address, unicast=True)
    office.apply()
    assert rows(database, lease_history, "started_at", "ended_at") == [
        (NOW, NOW + 2000)
    ]
    with database.read.connect() as connection:
        had = who_had(connection, address, NOW + 1000)
    assert had is not None
    assert had["line"] == "line-0"


@pytest.mark.parametrize("applied", [True, False], ids=["database", "journal"])
def test_every_address_can_be_had_after_a_clock_was_set_back(
    tmp_path: Path, database: Database, applied: bool
) -> None:
    """What was given up, declined and tried again "later" than now is free now."""
    office = Office(tmp_path, database, lines=10, prefix="100.64.0.0/29")
    declined = office.lease("line-0", 1)
    office.ask(Message.DECLINE, "line-0", 1, address=declined)
    for line in range(1, 5):
        address = office.lease(f"line-{line}", line)
        office.ask(Message.RELEASE, f"line-{line}", line, address=address, unicast=True)
    found, record = office.allocation.end_quarantine(
        "aurora-harbour", 9, office.now, after=0
    )
    assert 1 == found
    office.records.append(record)
    if applied:
        office.apply()
    again = office.restart(-400 * 86_400)
    again.now += 200
    again.allocation.turn(again.now, 100)
    had = {again.lease(f"line-{line}", line) for line in range(5, 10)}
    assert 5 == len(had - {0})


def test_what_was_sold_this_month_is_not_sold_again_after_a_start(
    tmp_path: Path, database: Database
) -> None:
    """The cap holds across a restart, and rating finds one row."""
    policy = {"excess": "sell", "excess_price_micro": 5, "excess_cap_micro": 9}
    office = Office(tmp_path, database, home={**policy, "excess_addresses": 2})
    office.lease("line-0", 1)
    extra = office.lease("line-0", 2)
    office.apply()
    assert rows(database, address_sale, "kind", "price_micro", "address", "isp") == [
        ("sale", 5, extra, "aurora")
    ]
    again = office.restart()
    assert again.lease("line-0", 3) == 0
    again.ask(Message.RELEASE, "line-0", 2, address=extra, unicast=True)
    assert again.lease("line-0", 3) != 0
    assert again.lease("line-0", 4) == 0
    assert IPAddress(extra).version == 4


def test_every_prefix_of_the_journal_is_a_state(
    tmp_path: Path, database: Database
) -> None:
    """Cut anywhere, in the database or in the tail: nothing is given twice, and who
    was acknowledged until then has what it has."""
    office = Office(tmp_path, database, lines=6, home={"excess": "deny"})
    told: list[dict[str, int]] = []
    held: dict[str, int] = {}
    for turn in range(24):
        line = f"line-{turn * 5 % 6}"
        if turn % 7 == 6 and line in held:
            address = held.pop(line)
            office.ask(Message.RELEASE, line, 1, address=address, unicast=True)
        else:
            held[line] = office.lease(line, 1)
        office.commit()
        told.append(dict(held))
        office.now += 1
    blocks = JournalReader(office.folder).read(1, 1000)
    ends = {block.first + block.records for block in blocks}
    assert len(ends) == len(office.records)
    for place in range(len(office.records)):
        again = Site()
        again.allocation.begin_loading()
        again.allocation.change_network(office.network, office.now)
        for record in office.records[: place + 1]:
            for entry in entries(record):
                assert again.allocation.restore(entry, office.now)
        again.allocation.loaded()
        assert again.allocation.audit() == []
        again.now = office.now
        leased = {
            line: known[0].address
            for line in (f"line-{n}" for n in range(6))
            if (known := _leases_of(again, line))
        }
        assert len(set(leased.values())) == len(leased)
        assert leased in told
        taken = {again.lease(f"line-{n}", 1) for n in range(6)}
        assert len(taken) == 6


def _leases_of(site: Site, line: str) -> list[Any]:
    told = site.allocation.why(line, site.now)["leases"]
    addresses = [int(IPAddress(t["address"])) for t in told if t["state"] == "leased"]
    return [site.allocation.by_address(address, site.now) for address in addresses]


def test_a_tail_with_a_gap_stops_a_start(tmp_path: Path, database: Database) -> None:
    """What the database lacks must be in the journal from its first record on."""
    office = Office(tmp_path, database)
    office.lease()
    office.commit()
    with pytest.raises(JournalError, match="deleted"):
        list(tail(office.folder, 0))
    assert len(list(tail(office.folder, 1))) == 1


def test_a_database_that_is_away_stops_a_start(
    tmp_path: Path, database: Database
) -> None:
    """Half of the leases would be as bad as none."""
    office = Office(tmp_path, database)
    office.lease()
    office.apply()
    away = open_database("sqlite", tmp_path / "nowhere")
    again = Site()
    loader = LeaseLoader(again.allocation, away, office.folder)
    with pytest.raises(StorageError):
        loader.load(again.now)
    loader.close()
    away.close()


def test_a_lease_of_what_was_declined_before_is_there_after_a_start(
    tmp_path: Path, database: Database
) -> None:
    """The quarantine was over when it was made, whatever a clock that was set back says
    at the start.
    """
    office = Office(tmp_path, database, prefix="100.64.0.0/29", lines=5)
    declined = office.lease("line-0", 1)
    office.ask(Message.DECLINE, "line-0", 1, address=declined)
    office.now += 86_400 + 60
    office.allocation.turn(office.now, 1000)
    had = {office.lease(f"line-{n}", n + 1): n for n in range(5)}
    assert declined in had
    office.apply()
    again = office.restart(jump=-3600)
    for address, number in had.items():
        renewed = again.renew(f"line-{number}", number + 1, address=address)
        assert isinstance(renewed, Ack)
