"""What is used up is throttled, shut off or bought again, and is seen to be so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from rated_site import GB, KEY, NETWORK, NOON, Site, interim
from sqlalchemy import select

from config.network import Network, bodies, diff
from config.restrictions import KIND, connected
from radius.profiles import Rates
from radius.subscribers import Subscriber, Subscribers
from rating.quota import Effect
from services.explanation import explain
from services.packets_behind import Journals
from services.quota_actions import TRIES, QuotaActions
from services.rerated_usage import own_service
from services.rerating import apply as rerate
from services.rerating import dry_run
from services.topups import buy
from storage import network as feed
from storage.coa import commands
from storage.database import Database
from storage.entry_queries import EntryFilter, list_entries
from storage.quota_events import due
from storage.rating_tables import quota_event

OWN, SLOW = (100_000, 500_000), (20_000, 20_000)
"""Kilobits up and down: of the offering, and of its quota."""
DECEMBER = 1_796_079_600
"""2026-12-01 00:00 in Stockholm."""


def asking(action: str, **values: Any) -> Network:
    """The network whose 500 GB end in this action."""

    def changed(tariff: Any) -> Any:
        if tariff.name != "aurora-home":
            return tariff
        replace = msgspec.structs.replace
        (version,) = tariff.version
        (quota,) = version.quota
        asks = replace(
            quota, action=action, **({"down_kbps": None, "up_kbps": None} | values)
        )
        return replace(tariff, version=(replace(version, quota=(asks,)),))

    tariffs = tuple(changed(tariff) for tariff in NETWORK.tariff)
    return msgspec.structs.replace(NETWORK, tariff=tariffs)


def start(database: Database, network: Network = NETWORK) -> Site:
    """A site whose network is in the change feed."""
    objects = bodies(network)
    with database.write.begin() as connection:
        made = [
            feed.Change("add", kind, name, body)
            for (kind, name), body in objects.items()
        ]
        feed.apply(connection, made, NOON)
    return Site(database, network)


def carry_out(site: Site, now: int) -> list[Effect | None]:
    """Carry out what is due, and let the ledger know."""
    actions = QuotaActions(site.network, KEY)
    with site.database.write.begin() as connection:
        found = [
            actions.carry_out(connection, one, now)
            for one in due(connection, TRIES, 100)
        ]
    site.ledger.follow_quotas()
    return found


def asked(site: Site) -> list[tuple[str, int | None, int | None]]:
    """Give the commands to the NAS, in order."""
    with site.database.read.connect() as connection:
        found = commands(connection, tenant=None, service="aurora-101", limit=10)
        return [(c.kind, c.up_kbps, c.down_kbps) for c in found][::-1]


def subscriber(site: Site) -> Subscriber:
    """Give the service as access sees it."""
    found = Subscribers(unseal=lambda *_: None, interim_seconds=600)
    with site.database.read.connect() as connection:
        found.replace(feed.read_network(connection))
    known = found.of_name("aurora-101")
    assert known is not None
    return known


def effects(site: Site) -> list[str | None]:
    """Give the effect of each event that asked for something."""
    query = select(quota_event.c.effect).where(quota_event.c.action != "none")
    with site.database.read.connect() as connection:
        return list(connection.scalars(query.order_by(quota_event.c.number)))


def rates(site: Site) -> Rates | None:
    """Give what a session that begins gets."""
    return subscriber(site).grant.rates


def test_what_is_used_up_is_throttled_now_and_at_the_next_session(
    database: Database,
) -> None:
    """The running session is told, the next one gets it; slow use confirms it; a top-up
    gives it back."""
    site = start(database)
    site.use(499, 501)
    assert Rates(*OWN) == rates(site)
    assert [None] == carry_out(site, NOON + 1199)
    assert ([("coa", *SLOW)], Rates(*SLOW)) == (asked(site), rates(site))
    site.report(interim(3, 502 * GB))
    assert [Effect.CONFIRMED] == effects(site)
    with site.database.write.begin() as connection:
        assert buy(
            connection, site.network, "aurora-101", "100 GB more", at=NOON, now=NOON
        )
    assert [Effect.NOT_VISIBLE] == carry_out(site, NOON + 1800)
    assert [("coa", *SLOW), ("coa", *OWN)] == asked(site)
    assert Rates(*OWN) == rates(site)
    assert [] == carry_out(site, NOON + 1900)


def test_a_throttle_that_does_not_show_ends_the_session_and_is_told_at_last(
    database: Database,
) -> None:
    """It is done again by ending the session, three times in all, and then stays for
    somebody to see."""
    site = start(database)
    site.use(499, 501)
    for step in range(TRIES):
        assert [None] == carry_out(site, NOON + 600 * (step + 2) - 1)
        site.report(interim(step + 3, (510 + 10 * step) * GB))
        assert [Effect.FAILED] == effects(site)
    assert [] == carry_out(site, NOON + 7200)
    assert ["coa"] + ["disconnect"] * (TRIES - 1) == [kind for kind, *_ in asked(site)]


def test_a_new_period_lifts_what_the_old_one_asked_for(database: Database) -> None:
    """An allowance begins anew with its period, not when somebody uses it."""
    site = start(database)
    site.use(499, 501)
    carry_out(site, NOON + 1199)
    actions = QuotaActions(site.network, KEY)
    for now, lifted in ((DECEMBER - 1, 0), (DECEMBER, 1), (DECEMBER, 0)):
        with database.write.begin() as connection:
            assert lifted == actions.lift_ended(connection, now)
    assert ([("coa", *SLOW), ("coa", *OWN)], Rates(*OWN)) == (asked(site), rates(site))


def test_another_offering_lifts_what_the_old_one_asked_for(database: Database) -> None:
    """Who orders more when all is used up is slowed down no longer."""
    site = start(database)
    site.use(499, 501)
    carry_out(site, NOON + 1199)
    services = tuple(
        msgspec.structs.replace(row, offering="start-500")
        if row.name == "aurora-101"
        else row
        for row in NETWORK.service
    )
    other = msgspec.structs.replace(NETWORK, service=services)
    with site.database.write.begin() as connection:
        assert 0 == QuotaActions(NETWORK, KEY).lift_ended(connection, NOON + 1300)
        assert 1 == QuotaActions(other, KEY).lift_ended(connection, NOON + 1300)
        assert {} == feed.objects_of(connection, KIND)
    assert [("coa", *SLOW), ("coa", *OWN)] == asked(site)


@pytest.mark.parametrize(
    ("action", "blocked"), [("walled_garden", False), ("block", True)]
)
def test_what_is_shut_off_is_disconnected_and_comes_back_to_the_garden_or_nothing(
    database: Database, action: str, blocked: bool
) -> None:
    """Neither RADIUS nor DHCP gives it its own addresses; an applied network file does
    not take that away; a session that goes on shows that it failed."""
    site = start(database, asking(action))
    site.use(499, 501)
    assert [None] == carry_out(site, NOON + 1199)
    found = subscriber(site)
    assert ([("disconnect", None, None)], False, blocked) == (
        asked(site),
        found.active,
        found.blocked,
    )
    with database.read.connect() as connection:
        objects = feed.read_network(connection)
    assert (KIND, "aurora-101") in objects
    assert ("service", "aurora-101") not in connected(objects)
    assert [] == [c for c in diff(objects, site.network) if c.kind == KIND]
    site.report(interim(3, 502 * GB))
    assert [Effect.FAILED] == effects(site)


def test_of_several_quotas_that_are_used_up_the_strictest_holds(
    database: Database,
) -> None:
    """Nights have their own 100 GB, and who used those up is shut off: what else is
    used up or bought changes nothing of that, until no quota asks for it."""

    def nightly(tariff: Any) -> Any:
        if tariff.name != "aurora-home":
            return tariff
        replace = msgspec.structs.replace
        (version,) = tariff.version
        (allowance,), (quota,), (topup,) = (
            version.allowance, version.quota, version.topup,
        )  # fmt: skip
        day, night = (rate.name for rate in version.rate)
        allowances = (
            replace(allowance, rates=(day,)),
            replace(allowance, name="nights", rates=(night,), quantity="100 GB"),
        )
        shut = replace(quota, name="nights", allowance="nights", action="block",
                       down_kbps=None, up_kbps=None)  # fmt: skip
        more = replace(topup, name="nights more", allowance="nights")
        version = replace(
            version, allowance=allowances, quota=(quota, shut), topup=(topup, more)
        )
        return replace(tariff, version=(version,))

    tariffs = tuple(map(nightly, NETWORK.tariff))
    site = start(database, msgspec.structs.replace(NETWORK, tariff=tariffs))
    night = NOON + 11 * 3600

    def buys(topup: str, now: int) -> None:
        with database.write.begin() as connection:
            assert buy(connection, site.network, "aurora-101", topup, at=NOON, now=now)
        carry_out(site, now)

    def restricted() -> tuple[str, int] | None:
        with database.read.connect() as connection:
            body = feed.objects_of(connection, KIND).get("aurora-101")
        return None if body is None else (body["action"], len(asked(site)))

    site.received_at = night + 600
    for step, total in ((60, 0), (61, 99), (62, 101)):  # from 22:00 on
        site.report(interim(step, total * GB, session="N"))
    carry_out(site, night + 601)
    assert restricted() == ("block", 1)
    site.use(499, 501)
    carry_out(site, night + 700)
    assert restricted() == ("block", 1)
    buys("100 GB more", night + 800)
    assert restricted() == ("block", 1)
    site.report(interim(3, 620 * GB))
    carry_out(site, night + 900)
    buys("nights more", night + 1000)
    assert restricted() == ("throttle", 3)  # of two sessions
    buys("100 GB more", night + 1100)
    assert restricted() is None


@pytest.mark.parametrize(("most", "topups"), [(5, 3), (2, 2)])
def test_a_leap_over_several_topups_buys_them_all(
    database: Database, most: int, topups: int
) -> None:
    """710 GB of 500 in one report want three of 100 GB, or as many as the tariff lets:
    nothing else would ask for the others in this month."""
    site = start(database, asking("buy", topup="100 GB more", most_topups=most))
    site.use(499, 710)
    assert [Effect.CONFIRMED] == carry_out(site, NOON + 1199)
    beyond = max(210 - topups * 100, 0) * 100_000
    assert -(topups * 5_000_000 + beyond) == sum(entry[2] for entry in site.entries())
    assert [] == dry_run(database, site.network, own_service, "2026-11").differences()


def test_what_is_used_up_is_bought_again_as_often_as_the_tariff_lets(
    database: Database, tmp_path: Path
) -> None:
    """10 GB beyond had cost 1.00, which comes back for 5.00; the second time is one too
    many. What is booked is what a month comes to, and stays so when it is rated again
    at another price."""
    site = start(database, asking("buy", topup="100 GB more", most_topups=1))
    site.use(499, 510)
    assert [Effect.CONFIRMED] == carry_out(site, NOON + 1199)
    assert -5_000_000 == sum(entry[2] for entry in site.entries())
    assert [Effect.NOT_VISIBLE] == carry_out(site, NOON + 1300)  # it was restored
    site.report(interim(3, 610 * GB))
    assert [Effect.FAILED] == carry_out(site, NOON + 1900)
    assert -6_000_000 == sum(entry[2] for entry in site.entries())
    assert [] == dry_run(database, site.network, own_service, "2026-11").differences()
    dearer = [
        msgspec.structs.replace(
            t,
            version=tuple(
                msgspec.structs.replace(
                    v,
                    rate=tuple(
                        msgspec.structs.replace(r, price="0.20") for r in v.rate
                    ),
                )
                for v in t.version
            ),
        )
        if t.name == "aurora-home"
        else t
        for t in site.network.tariff
    ]
    network = msgspec.structs.replace(site.network, tariff=tuple(dearer))
    rerate(database, network, own_service, "2026-11", DECEMBER)
    assert -7_000_000 == sum(entry[2] for entry in site.entries())
    with database.read.connect() as connection:
        for entry, _ in list_entries(connection, EntryFilter()):
            assert (
                explain(connection, network, Journals(tmp_path, 300), entry.id)
                is not None
            )
