"""Fees are for the days that they are for, whenever they are charged: every day, once
after weeks in which nothing ran, or at any times between."""

from __future__ import annotations

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from changed_network import change_network
from fee_site import EURO, at, charge, charged, service, site
from hypothesis import given, settings
from hypothesis import strategies as st

from config.network import Network
from config.offers import Offering
from config.parties import Isp
from config.tariffs import Fee, Tariff, Version
from rating.posting import detail_of
from rating.pricing import share_of
from services.periodic_charges import PeriodicCharges
from services.periods import close_months
from storage.database import SQLITE_FILE, Database, open_database
from storage.entry_queries import EntryFilter, list_entries

Sums = dict[tuple[str, str, str, str, str], int]
"""What was charged for a service by ISP, service, tariff, element and period."""


def sums(database: Database) -> Sums:
    """What each fee of each period comes to, whichever entries it is made of."""
    found: dict[tuple[str, str, str, str, str], int] = defaultdict(int)
    with database.read.connect() as connection:
        for entry, _ in list_entries(connection, EntryFilter()):
            book, detail = entry.book, detail_of(entry.posting.detail)
            for line in (*detail.lines, *detail.wholesale):
                name = (book.tariff or book.wholesale_tariff).rpartition("@")[0]
                whose = book.tenant, entry.posting.service or "", name
                found[*whose, line.element, line.period] += line.amount
    return {key: amount for key, amount in found.items() if amount}


MOVED = service(isp="borealis", offering="polar-100")


def test_a_change_over_which_nothing_ran_is_of_its_own_day(database: Database) -> None:
    """The ledger was down from the 2nd to the 26th; the service went to another ISP on
    the 16th: each is owed its own half of the month."""
    charged(database, site(service()), at(11, 2))
    change_network(database, site(MOVED), at(11, 16))
    found = charged(database, site(MOVED), at(11, 26))
    assert ("2026-11", -39 * EURO // 2, 0) in found
    assert sorted(n for _, _, n in found if n) == [-6 * EURO, 6 * EURO]


def test_a_service_that_was_there_while_nothing_ran_is_charged(
    database: Database,
) -> None:
    """It began and ended within a week that the ledger was down."""
    change_network(database, site(), at(11, 1))
    begun = service(billed_from="2026-11-10")
    change_network(database, site(begun), at(11, 10))
    change_network(database, site(), at(11, 16))
    expected = [
        ("2026-11", 0, 12 * EURO // 5),
        ("2026-11", 39 * EURO // 5, 0),
        ("2026-11", 25 * EURO, 0),
    ]
    assert expected == charged(database, site(), at(11, 20))


def test_what_was_changed_and_changed_back_within_a_day_costs_nothing(
    database: Database,
) -> None:
    """Though it was charged in between: another ISP's activation is given back, and
    nothing of the month is paid twice."""
    charged(database, site(service()), at(11, 2))
    before = sums(database)
    assert [] != charged(database, site(MOVED), at(11, 16, 10))
    assert [] != charged(database, site(service()), at(11, 16, 14))
    assert before == sums(database)
    assert [] == charged(database, site(service()), at(11, 20))


def test_what_is_charged_late_goes_into_the_next_month_marked(
    database: Database,
) -> None:
    """November was closed before the change of the 16th was charged."""
    charged(database, site(service()), at(11, 2))
    change_network(database, site(MOVED), at(11, 16))
    close_months(database, site(MOVED), "2026-11", at(12, 5))
    charged(database, site(MOVED), at(12, 6))
    with database.read.connect() as connection:
        late = [
            (e.book.tenant, e.book.month, e.posting.late_from)
            for e, _ in list_entries(connection, EntryFilter())
            if e.posting.late_from
        ]
    assert ("aurora", "2026-12", "2026-11") in late
    key = "aurora", "aurora-101", "aurora-home", "subscription", "2026-11-01"
    assert 39 * EURO // 2 == sums(database)[key]


def _tariff(name: str, isp: str | None, days: Iterable[str], zone: str) -> Tariff:
    fees = (
        Fee(name="monthly", amount="31.00"),
        Fee(name="whole", amount="7.00", prorate=False),
        Fee(name="activation", amount="5.00", every="once"),
    )
    return Tariff(
        name=name,
        isp=isp,
        currency="EUR",
        zone=zone,
        anchor_day=15 if name == "t-b" else 1,
        version=tuple(Version(valid_from=day, fee=fees) for day in days),
    )


RETAIL = ("t-a", "t-b", None)
WHOLESALE = ("w-1", "w-2", None)
OFFERED = {"one": "aurora", "two": "aurora", "three": "borealis"}
NAMES = ("first", "second")
START = at(10, 20, 0)
DAYS = 70


class World:
    """What a network is at a moment of a history."""

    def __init__(self) -> None:
        self.sold: dict[str, str | None] = {"one": "t-a", "two": "t-b", "three": "t-a"}
        self.wholesale: dict[str, str | None] = {"aurora": "w-1", "borealis": "w-2"}
        self.services: dict[str, dict[str, Any]] = {}
        self.days = ["2026-01-01"]

    def step(self, what: str, which: str, value: str | None) -> None:
        """Let something change."""
        if what == "sell":
            self.sold[which] = value
        elif what == "pay":
            self.wholesale[which] = value
        elif what == "end":
            self.services.pop(which, None)
        else:
            assert value is not None
            had = self.services.get(which, {"billed_from": None})
            chosen = {"offering": value, "isp": OFFERED[value]}
            self.services[which] = had | chosen | {"account": what}

    def network(self) -> Network:
        """Give the network as it is."""
        tariffs = [
            *(_tariff(n, "aurora", self.days, "UTC") for n in RETAIL if n),
            *(_tariff(n, None, self.days, "UTC") for n in WHOLESALE if n),
        ]
        return msgspec.structs.replace(
            site(*(service(name=n, **v) for n, v in sorted(self.services.items()))),
            tariff=tuple(tariffs),
            isp=tuple(Isp(name=n, wholesale=w) for n, w in self.wholesale.items()),
            offering=tuple(
                Offering(name=n, isp=isp, down_kbps=1, up_kbps=1, tariff=self.sold[n])
                for n, isp in OFFERED.items()
            ),
        )

    def payers(self) -> dict[str, set[tuple[str, str]]]:
        """Give by which tariffs of whom each service is charged."""
        found: dict[str, set[tuple[str, str]]] = {}
        for name, one in self.services.items():
            isp = one["isp"]
            both = self.sold[one["offering"]], self.wholesale[isp]
            found[name] = {(isp, tariff) for tariff in both if tariff}
        return found


def _changes(what: str, names: Iterable[str], values: Iterable[Any]) -> Any:
    return st.tuples(
        st.just(what), st.sampled_from(list(names)), st.sampled_from(list(values))
    )


_step = st.one_of(
    _changes("smith", NAMES, OFFERED),
    _changes("jones", NAMES, OFFERED),
    _changes("end", NAMES, (None,)),
    _changes("sell", OFFERED, RETAIL),
    _changes("pay", ("aurora", "borealis"), WHOLESALE),
    _changes("announce", ("",), (None,)),
    _changes("close", ("",), (None,)),
)
_hours = st.sampled_from((0, 1, 5, 30, 24 * 6, 24 * 17))


@settings(max_examples=15)
@given(
    st.lists(st.tuples(_step, _hours), min_size=1, max_size=12),
    st.sets(st.integers(0, DAYS * 4), max_size=6),
)
def test_fees_are_the_same_however_often_they_are_charged(
    sqlite_template: Path, steps: list[tuple[Any, int]], cuts: set[int]
) -> None:
    """Services come, end, come back and go from one offering, ISP and account to
    another, offerings and ISPs from one tariff to another, new versions are announced
    and months are closed: charged every third day, at some moments, or once at the
    end, each fee of each period is the same, and the monthly one is that of its days.
    """
    moments = {
        "often": {START + 86_400 * n + 3600 * 3 for n in range(0, DAYS, 3)},
        "some": {START + 6 * 3600 * cut for cut in cuts},
        "once": set[int](),
    }
    found = [_charged(sqlite_template, steps, when) for when in moments.values()]
    assert found[0] == found[1]
    assert found[0] == found[2]
    monthly = {k: amount for k, amount in found[2].items() if k[3] == "monthly"}
    assert _by_the_day(steps) == _by_tariff(monthly)


END = START + DAYS * 86_400


def _history(steps: list[tuple[Any, int]]) -> Iterable[tuple[int, str, World]]:
    """Give what the network is from each time on, and what was done then."""
    world, now = World(), START + 7 * 3600
    yield now, "", world
    for (what, which, value), hours in steps:
        now = min(now + hours * 3600, END - 86_400)
        if what == "announce":
            day = datetime.fromtimestamp(now, UTC).date() + timedelta(days=3)
            if day.isoformat() not in world.days:
                world.days.append(day.isoformat())
        elif what != "close":
            world.step(what, which, value)
        yield now, what, world


def _charged(template: Path, steps: list[tuple[Any, int]], when: set[int]) -> Sums:
    left = sorted(when)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(template, Path(folder) / SQLITE_FILE)
        database = open_database("sqlite", folder)
        try:
            charges = PeriodicCharges(Network())
            for now, what, world in _history(steps):
                while left and left[0] < now:
                    charge(database, charges, left.pop(0), 9)
                network = world.network()
                charges = PeriodicCharges(network)
                if what == "close":
                    close_months(database, network, "2026-11", END)
                else:
                    change_network(database, network, now)
            for now in (*left, END):
                charge(database, charges, now, 9)
            return sums(database)
        finally:
            database.close()


def _by_the_day(steps: list[tuple[Any, int]]) -> dict[tuple[str, str, str], int]:
    """Add up a monthly fee's shares day by day, of what each service was at the day's
    end; one that is not billed from a day pays all of its first period."""
    days: dict[date, dict[str, set[tuple[str, str]]]] = {}
    seen: dict[date, set[str]] = defaultdict(set)
    for now, _, world in _history(steps):
        day = datetime.fromtimestamp(now, UTC).date()
        days[day] = world.payers()
        seen[day] |= world.services.keys()
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    begun: set[str] = set()
    payers: dict[str, set[tuple[str, str]]] = {}
    last = datetime.fromtimestamp(END, UTC).date()
    day = min(days)
    anchors = {"t-b": 15}
    versions = [date.fromisoformat(v) for v in world.days]
    while day <= last + timedelta(days=31):
        payers = days.get(day, payers)
        for name, own in payers.items():
            for isp, tariff in own:
                first, next_ = _period(day, anchors.get(tariff, 1))
                cut = max(v for v in versions if v <= day)
                if max(first, cut) > last:
                    continue  # it has not begun
                since = day if name in begun else max(first, cut)
                for one in range(since.toordinal(), day.toordinal() + 1):
                    found[isp, name, tariff] += _day_s(one, first, next_)
        begun |= seen[day]
        day += timedelta(days=1)
    return {key: amount for key, amount in found.items() if amount}


def _day_s(day: int, first: date, next_: date) -> int:
    whole, done = (next_ - first).days, day - first.toordinal()
    month = 31 * EURO
    return share_of(month, done + 1, whole) - share_of(month, done, whole)


def _period(day: date, anchor: int) -> tuple[date, date]:
    first = day.replace(day=anchor)
    if day < first:
        first = (first - timedelta(days=31)).replace(day=anchor)
    return first, (first + timedelta(days=31)).replace(day=anchor)


def _by_tariff(amounts: Sums) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    for (isp, name, tariff, *_), amount in amounts.items():
        found[isp, name, tariff] += amount
    return {key: amount for key, amount in found.items() if amount}
