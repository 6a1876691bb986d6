"""Use that comes after its service was changed is that of what the service was then:
the same price and the same ISP as if it had come in time, and as a rerating has it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from changed_network import change_network
from hypothesis import given
from hypothesis import strategies as st
from radius_packets import octets, packet
from rated_site import GB, KEY, NETWORK, NOON, Site
from sqlalchemy import select

from config.network import Network, bodies
from config.offers import Offering
from config.restrictions import KIND
from config.schema import AccountingSettings
from config.tariffs import Allowance, Quota, Rate, Tariff, TopUp, Version
from daemon.ledger import Ledger
from services.periods import close_months
from services.quota_actions import QuotaActions
from services.rerated_usage import own_service
from services.rerating import apply as rerate
from services.rerating import dry_run
from services.topups import buy
from storage import network as feed
from storage.database import SQLITE_FILE, Database, open_database
from storage.quota_events import due, quota_events_since
from storage.tables import session as sessions
from storage.tables import usage as usages

DAY = 86_400
HOUR = 3600
SERVICE = "aurora-101"


def _tariff(name: str, isp: str, price: str, included: str) -> Tariff:
    rate = Rate(name="data", measure="sum", price=price, per="1 GB")
    allowance = Allowance(
        name="included", quantity=included, rates=("data",), shared=name == "family"
    )
    return Tariff(
        name=name,
        isp=isp,
        currency="EUR",
        zone="Europe/Stockholm",
        version=(
            Version(valid_from="2026-01-01", rate=(rate,), allowance=(allowance,)),
        ),
    )


def _offering(name: str, isp: str, tariff: str) -> Offering:
    return Offering(name=name, isp=isp, down_kbps=1000, up_kbps=1000, tariff=tariff)


WHOLE: Network = msgspec.structs.replace(
    NETWORK,
    tariff=(
        *NETWORK.tariff,
        _tariff("family", "aurora", "1.00", "8 GB"),
        _tariff("polar", "borealis", "0.20", "3 GB"),
    ),
    offering=(
        *NETWORK.offering,
        _offering("family-500", "aurora", "family"),
        _offering("polar-500", "borealis", "polar"),
    ),
    service=(
        *NETWORK.service,
        msgspec.structs.replace(
            next(s for s in NETWORK.service if s.name == SERVICE),
            name="aurora-103",
            user_names=("sub103@aurora.example",),
            framed_ip_address=None,
        ),
    ),
)
USERS = {SERVICE: "sub101@aurora.example", "aurora-103": "sub103@aurora.example"}
OFFERINGS = {
    "home": ("aurora", "home-500", None),
    "start": ("aurora", "start-500", None),
    "family": ("aurora", "family-500", "the-smiths"),
    "alone": ("aurora", "family-500", None),
    "others": ("aurora", "family-500", "the-joneses"),
    "polar": ("borealis", "polar-500", None),
    "free": ("borealis", "polar-100", None),
}
"""What a service may be: its ISP, its offering and its account."""


def being(network: Network, service: str, what: str) -> Network:
    """The network in which a service is something else."""
    isp, offering, account = OFFERINGS[what]
    return msgspec.structs.replace(
        network,
        service=tuple(
            msgspec.structs.replace(one, isp=isp, offering=offering, account=account)
            if one.name == service
            else one
            for one in network.service
        ),
    )


def asking(action: str) -> Network:
    """The network in which a family's 8 GB end in this action."""
    own = next(tariff for tariff in WHOLE.tariff if tariff.name == "family")
    quota = Quota(
        name="fair use",
        allowance="included",
        action=action,  # type: ignore[arg-type]
        **({"topup": "more"} if action == "buy" else {"down_kbps": 1, "up_kbps": 1}),
    )
    topup = TopUp(name="more", allowance="included", quantity="5 GB", price="2.00")
    version = msgspec.structs.replace(own.version[0], quota=(quota,), topup=(topup,))
    return msgspec.structs.replace(
        WHOLE,
        tariff=tuple(
            msgspec.structs.replace(one, version=(version,)) if one is own else one
            for one in WHOLE.tariff
        ),
    )


def without(network: Network, **gone: str) -> Network:
    """The network without a row of each of these tables."""
    left = {
        kind: tuple(row for row in getattr(network, kind) if row.name != name)
        for kind, name in gone.items()
    }
    return msgspec.structs.replace(network, **left)


def with_service(network: Network, name: str) -> Network:
    """The network with a service, as it was first, if it has it no more."""
    if any(one.name == name for one in network.service):
        return network
    own = next(one for one in WHOLE.service if one.name == name)
    had = {user for one in network.service for user in one.user_names}
    users = tuple(user for user in own.user_names if user not in had)
    own = msgspec.structs.replace(own, user_names=users)
    return msgspec.structs.replace(network, service=(*network.service, own))


def passed(network: Network, service: str) -> Network:
    """The network in which a service of USERS has all their user names."""
    network = with_service(network, service)
    names = dict.fromkeys(USERS, ()) | {service: tuple(USERS.values())}
    services = tuple(
        msgspec.structs.replace(one, user_names=names.get(one.name, one.user_names))
        for one in network.service
    )
    return msgspec.structs.replace(network, service=services)


def known_later(network: Network) -> Network:
    """The network in which SERVICE has one more user name."""
    services = tuple(
        msgspec.structs.replace(one, user_names=(*one.user_names, "known-later"))
        if one.name == SERVICE
        else one
        for one in network.service
    )
    return msgspec.structs.replace(network, service=services)


class Changing(Site):
    """A ledger whose network changes, as the change feed tells it."""

    def __init__(self, database: Database, network: Network = WHOLE) -> None:
        super().__init__(database, network)
        self.received_at = NOON + 6 * DAY
        self._sessions = 0
        self.change(NOON - 30 * DAY, network)

    def change(self, at: int, network: Network, *, told: bool = True) -> None:
        """Change the network at a time; the ledger is told, or not yet."""
        change_network(self.database, network, at)
        self.network = network
        if told:
            self.tell()

    def tell(self) -> None:
        """Let the ledger know the network as it is."""
        self.apply_network(self.network)
        self.ledger.recycle(self.received_at, 0, 1000)

    def be(self, at: int, what: str, service: str = SERVICE, **more: Any) -> None:
        """Let a service be something else from a time on."""
        self.change(at, being(self.network, service, what), **more)

    def used(
        self, until: int, gigabytes: int, service: str = SERVICE, seconds: int = HOUR
    ) -> bytes:
        """Make the report of a session of its own that ended at a time."""
        self._sessions += 1
        return packet(
            self._sessions % 256,
            status=2,
            acct_session_id=f"S-{self._sessions}",
            event_at=until,
            session_seconds=seconds,
            user_name=USERS.get(service, service),
            **octets("input", 0),
            **octets("output", gigabytes * GB),
        )

    def paid(self) -> dict[str, int]:
        """Give what subscribers owe each ISP, in tenths of a unit."""
        found: dict[str, int] = {}
        for tenant, service, subscriber, *_ in self.entries():
            assert service in USERS
            found[tenant] = found.get(tenant, 0) - subscriber // 100_000
        return {tenant: owed for tenant, owed in found.items() if owed}

    def differences(self) -> list[Any]:
        """Say how a rerating of any month would differ, and whose money."""
        found: list[Any] = []
        for month in ("2026-11", "2026-12"):
            result = dry_run(self.database, self.network, own_service, month)
            found += [*result.differences(), *result.differing()]
        return found

    def tenants(self) -> tuple[list[str], list[str]]:
        """Give whose sessions and usage are, in order."""
        with self.database.read.connect() as connection:
            return (
                list(
                    connection.scalars(
                        select(sessions.c.tenant).order_by(sessions.c.id)
                    )
                ),
                list(connection.scalars(select(usages.c.tenant).order_by(usages.c.id))),
            )


def test_late_use_is_paid_by_the_offering_of_then(database: Database) -> None:
    """Ordered away from 5 GB a month and 0.50 a gigabyte, the last of it comes a day
    later: it is not within the 500 GB that were ordered since."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    site.report(site.used(NOON, 5))
    site.be(NOON + HOUR, "home")
    site.report(site.used(NOON + HOUR, 4), site.used(NOON + 3 * HOUR, 100))
    assert {"aurora": 20} == site.paid()
    assert [] == site.differences()


def test_late_use_is_the_isp_s_of_then(database: Database) -> None:
    """Its session and its usage are that ISP's to see, and the money is its own; what
    came later in a session that went on is the new one's."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    site.be(NOON + HOUR, "polar")
    site.report(site.used(NOON, 7), site.used(NOON + 9 * HOUR, 4, seconds=60))
    assert {"aurora": 10, "borealis": 2} == site.paid()
    assert (["aurora", "borealis"],) * 2 == site.tenants()
    values = {"status": 3, "acct_session_id": "on", "user_name": USERS[SERVICE]}
    for hours in (1, 2, 3):
        seconds, total = (hours + 1) * HOUR, octets("output", hours * GB)
        at = NOON + hours * HOUR
        site.report(
            packet(hours, event_at=at, session_seconds=seconds, **values, **total)
        )
    assert {"aurora": 15, "borealis": 6} == site.paid()
    whose, use = site.tenants()
    assert ("aurora", ["aurora", "borealis", "borealis"]) == (whose[2], use[2:])
    assert [] == site.differences()


@pytest.mark.parametrize("action", ["throttle", "buy"])
@pytest.mark.parametrize("now", ["polar", "start", "family"])
def test_late_use_passes_the_threshold_of_then_and_nothing_is_done_about_it(
    database: Database, action: str, now: str
) -> None:
    """What it uses up is the old allowance: the event bears the service's name; what
    the service has now is not throttled, and it buys nothing."""
    site = Changing(database, being(asking(action), SERVICE, "alone"))
    site.be(NOON + HOUR, now)
    site.report(site.used(NOON, 9))
    with database.read.connect() as connection:
        events = [e.event for e in quota_events_since(connection, 0, 10)]
    assert {(SERVICE, "aurora")} == {(e.service, e.tenant) for e in events}
    before = site.entries()
    carry_out(site)
    with database.read.connect() as connection:
        assert {} == feed.objects_of(connection, KIND)
    assert before == site.entries()
    assert [] == site.differences()


def carry_out(site: Changing) -> None:
    """Do what quota events ask for."""
    actions = QuotaActions(site.network, KEY)
    with site.database.write.begin() as connection:
        for one in due(connection, 3, 100):
            actions.carry_out(connection, one, NOON + 2 * HOUR)


def test_what_waited_is_rated_as_it_was_used(database: Database) -> None:
    """Use that nobody was named for is guided when a user name is: by then the service
    has been with another ISP, and gone back to a third offering."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    for at in (NOON, NOON + 2 * HOUR, NOON + 4 * HOUR):
        site.report(site.used(at, 6, "known-later"))
    site.be(NOON + HOUR, "polar")
    site.be(NOON + 3 * HOUR, "family")
    assert [(None, "received", "nothing_known")] * 3 == site.waiting()
    site.change(NOON + DAY, known_later(site.network))
    assert [] == site.waiting()
    assert {"aurora": 5, "borealis": 6} == site.paid()
    assert ["aurora", "borealis", "aurora"] == site.tenants()[1]
    assert [] == site.differences()


def test_late_use_before_a_price_waits_under_its_own_name(database: Database) -> None:
    """An earlier state is no name for anybody to read."""
    site = Changing(database)
    site.be(NOON + HOUR, "polar")
    site.received_at = NOON - 399 * DAY
    site.report(site.used(NOON - 400 * DAY, 1))
    assert [(SERVICE, "guided", "no_version_in_force")] == site.waiting()


def test_late_use_is_out_of_the_account_of_then(database: Database) -> None:
    """Two of a family share 8 GB; one has left it, and its last use is still shared."""
    site = Changing(database, being(WHOLE, SERVICE, "family"))
    site.be(NOON - DAY, "family", "aurora-103")
    site.report(site.used(NOON, 5, "aurora-103"))
    site.be(NOON + HOUR, "alone")
    site.report(site.used(NOON + HOUR, 5), site.used(NOON + 3 * HOUR, 8))
    assert {"aurora": 20} == site.paid()
    assert [] == site.differences()


@pytest.mark.parametrize("ended", [False, True])
def test_late_use_is_of_who_had_the_name_then(database: Database, ended: bool) -> None:
    """The name passed to a service of another ISP, whose own is what was used since:
    also of a service that ended, and in a month that is rated again."""
    site = Changing(database, being(WHOLE, "aurora-103", "polar"))
    site.change(NOON + HOUR, passed(site.network, "aurora-103"))
    if ended:
        site.change(NOON + HOUR, without(site.network, service=SERVICE))
    site.report(site.used(NOON, 501), site.used(NOON + 3 * HOUR, 4))
    assert {"aurora": 1, "borealis": 2} == site.paid()
    assert (["aurora", "borealis"],) * 2 == site.tenants()
    assert [] == site.differences()


def test_of_changes_within_a_second_the_last_one_holds(database: Database) -> None:
    """What was used until then is of before all of them, what is used later of the
    last; in between nothing was used."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    for what in ("polar", "family", "others"):
        site.be(NOON, what)
    site.report(site.used(NOON, 6), site.used(NOON + HOUR, 9))
    assert {"aurora": 15} == site.paid()
    assert [] == site.differences()


def test_a_service_that_ended_had_been_another(database: Database) -> None:
    """It changed, and then it ended, and then its use comes."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    site.report(site.used(NOON - HOUR, 0))
    site.be(NOON, "polar")
    values = {"status": 3, "acct_session_id": "S-1", "user_name": USERS[SERVICE]}
    site.change(NOON + DAY, without(site.network, service=SERVICE))
    for step, hours in enumerate((0, 2)):
        site.report(
            packet(
                step + 9,
                event_at=NOON + hours * HOUR,
                session_seconds=(hours + 2) * HOUR,
                **values,
                **octets("output", (step + 1) * 6 * GB),
            )
        )
    assert {"aurora": 5, "borealis": 6} == site.paid()
    assert [] == site.differences()


def test_a_service_that_came_back_as_another_is_not_what_it_was(
    database: Database,
) -> None:
    """It was ended, and ordered again with another ISP under its old name."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    site.report(site.used(NOON - HOUR, 6))
    site.change(NOON, without(site.network, service=SERVICE))
    site.change(NOON + DAY, being(WHOLE, SERVICE, "polar"))
    site.report(site.used(NOON - HOUR, 1), site.used(NOON + 2 * DAY, 4))
    assert {"aurora": 10, "borealis": 2} == site.paid()
    assert [] == site.differences()


def test_what_nobody_sells_now_is_paid_as_it_was_sold(database: Database) -> None:
    """The offering is gone, and then the ISP: neither the late use nor a month that is
    rated again becomes free."""
    site = Changing(database, being(WHOLE, SERVICE, "polar"))
    site.report(site.used(NOON - HOUR, 4))
    site.be(NOON, "start")
    site.change(NOON + HOUR, without(site.network, offering="polar-500"))
    site.report(site.used(NOON, 1))
    assert {"borealis": 4} == site.paid()
    assert [] == site.differences()
    gone = without(site.network, isp="borealis", offering="polar-100")
    site.change(
        NOON + HOUR, without(gone, service="borealis-102", pool="borealis-harbour")
    )
    site.report(site.used(NOON, 1))
    assert {"borealis": 6} == site.paid()
    assert [] == site.differences()
    assert [] == site.waiting()


def test_the_ledger_sees_a_change_before_it_knows_the_network(
    database: Database,
) -> None:
    """Of a hundred thousand services the network is read seconds later; use of these
    seconds is of the new offering, which the ledger has not heard of."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    site.report(site.used(NOON, 5))
    tariff = _tariff("new", "borealis", "0.30", "1 GB")
    site.change(
        NOON + HOUR,
        msgspec.structs.replace(
            site.network,
            tariff=(*site.network.tariff, tariff),
            offering=(*site.network.offering, _offering("new", "borealis", "new")),
            service=tuple(
                msgspec.structs.replace(one, isp="borealis", offering="new")
                if one.name == SERVICE
                else one
                for one in site.network.service
            ),
        ),
        told=False,
    )
    site.report(site.used(NOON + 3 * HOUR, 2), site.used(NOON + HOUR, 1))
    assert {"aurora": 5, "borealis": 3} == site.paid()
    site.tell()
    site.report(site.used(NOON + 4 * HOUR, 1))
    assert {"aurora": 5, "borealis": 6} == site.paid()
    assert [] == site.differences()


def test_a_service_that_the_ledger_does_not_know_yet_is_what_it_is_at_each_time(
    database: Database,
) -> None:
    """It is ordered and changed before the ledger knows the network with it."""
    name = "aurora-103"
    site = Changing(database, without(WHOLE, service=name))
    for at, what in ((NOON, "family"), (NOON + HOUR, "home")):
        network = being(with_service(site.network, name), name, what)
        site.change(at, network, told=False)
        site.report(site.used(at + 120, 9, name, seconds=60))
    assert {"aurora": 10} == site.paid()
    site.tell()
    assert [] == site.differences()


@pytest.mark.parametrize("name", [USERS[SERVICE], "known-later"])
@pytest.mark.parametrize(
    ("what", "isp", "paid"),
    [
        ("polar", "borealis", {"aurora": 15, "borealis": 2}),
        ("family", "aurora", {"aurora": 15}),
    ],
)
def test_use_by_a_fast_clock_is_of_what_there_was_when_it_came(
    database: Database, name: str, what: str, isp: str, paid: dict[str, int]
) -> None:
    """It ends behind a change by its NAS's clock, and came before that was made: a
    rerating has it so as well, and so has the round that names its service later."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    site.received_at = NOON
    site.report(site.used(NOON + 200, 7, name), site.used(NOON, 1, name))
    site.be(NOON + 100, what)
    site.received_at = NOON + DAY
    site.change(NOON + 150, known_later(site.network))
    site.report(site.used(NOON + 200, 4))
    assert paid == site.paid()
    assert [] == site.differences()
    assert ["aurora", "aurora", isp] == site.tenants()[1]


def test_a_rerating_applied_changes_nothing_of_what_came_late(
    database: Database,
) -> None:
    """There is nothing to reverse."""
    site = Changing(database, being(WHOLE, SERVICE, "start"))
    site.be(NOON, "family")
    site.be(NOON + DAY, "polar")
    for at, gigabytes in ((NOON + 3 * DAY, 5), (NOON, 7), (NOON + DAY, 10)):
        site.report(site.used(at, gigabytes))
    assert {"aurora": 30, "borealis": 4} == site.paid()
    assert 0 == rerate(database, site.network, own_service, "2026-11", NOON + 41 * DAY)
    assert [] == site.differences()


_service = st.sampled_from(sorted(USERS))
_told = st.booleans()
_hours, _gigabytes = st.integers(0, 167), st.integers(1, 9)
_step = st.one_of(
    st.tuples(st.just("change"), _service, st.sampled_from(sorted(OFFERINGS)), _told),
    st.tuples(st.just("use"), _service, _hours, _gigabytes),
    st.tuples(st.just("unnamed"), st.just(SERVICE), _hours, _gigabytes),
    st.tuples(st.just("end"), _service, st.none(), _told),
    st.tuples(st.just("pass"), _service, st.none(), _told),
    st.tuples(st.just("anew"), st.none(), st.none(), st.none()),
    st.tuples(st.just("buy"), _service, st.none(), st.none()),
    st.tuples(st.just("close"), st.none(), st.none(), st.none()),
)
_SLOT = 3 * HOUR
"""The time of a step: some hundred of them are over the end of the month."""


@given(
    st.lists(st.tuples(_step, st.booleans()), min_size=1, max_size=20),
    st.integers(0, 7),
    st.booleans(),
)
def test_a_month_rated_again_is_the_same_whatever_changed_and_came_late(
    sqlite_template: Path, steps: list[tuple[Any, bool]], slots: int, fast: bool
) -> None:
    """Services are changed, end, come back and change in the same second, and have
    each other's user names; use comes in any order, in any batches, before the ledger
    knows the network, to a ledger that starts anew, from NASes with fast clocks, and
    some of it is guided at the end; top-ups are bought, and the month is closed. A
    rerating differs in nothing."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(sqlite_template, Path(folder) / SQLITE_FILE)
        database = open_database("sqlite", folder)
        try:
            _play(Changing(database, asking("buy")), steps, slots, fast)
        finally:
            database.close()


def _play(
    site: Changing, steps: list[tuple[Any, bool]], slots: int, fast: bool
) -> None:
    now, batch = NOON - DAY, list[bytes]()
    for (what, service, value, more), passes in steps:
        if fast:
            site.received_at = now = now + slots * 30 * passes
        now = min(now + slots * _SLOT * passes, site.received_at)
        if what == "change":
            network = being(with_service(site.network, service), service, value)
            site.change(now, network, told=more)
        elif what == "end":
            site.change(now, without(site.network, service=service), told=more)
        elif what == "pass":
            site.change(now, passed(site.network, service), told=more)
        elif what == "anew":
            site.ledger = Ledger(site.database, AccountingSettings(), KEY)
            site.ledger.know(bodies(site.network))
        elif what == "buy":
            with site.database.write.begin() as connection:
                buy(connection, site.network, service, "more", at=now, now=now)
        elif what == "close":
            close_months(site.database, site.network, "2026-11", NOON + 6 * DAY)
        else:
            who = "known-later" if what == "unnamed" else service
            until = now + value if fast else max(now - value * HOUR, NOON - DAY)
            batch.append(site.used(until, more, who))
        if passes and batch:
            site.report(*batch)
            batch = []
    if batch:
        site.report(*batch)
    site.change(now, known_later(with_service(site.network, SERVICE)))
    assert [] == site.differences()
