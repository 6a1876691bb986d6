"""What the address server's role says of pools and lines, and does with its inbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from access_network import ask as access_ask
from access_network import network as access_network
from leasing import GIADDR, network
from msgspec import structs

from config.addresses import Pool
from config.moment import moment
from config.schema import LeaseSettings
from daemon.address_server import AddressServer
from daemon.commands.pools import for_people
from daemon.commands.why import facts, written
from daemon.over_allocation import Gauges, answer
from ipserver.answer import Ack, Offer
from ipserver.ask import Agent, Ask, Message
from storage.database import migrate, open_database
from storage.pool_queries import pool_parts
from telemetry import metrics

PARTS = ("leased", "offered", "declined", "cooling", "free")


@pytest.fixture
def addresses(tmp_path: Path) -> Iterator[AddressServer]:
    """An address server with empty stores."""
    database = open_database("sqlite", tmp_path)
    migrate(database)
    server = AddressServer(LeaseSettings(), network())
    server.load(database, tmp_path / "journal" / "ipserver")
    yield server
    database.close()


def test_the_parts_of_a_pool_add_up(addresses: AddressServer) -> None:
    """What is on offer is not free, and together they are what can be leased."""
    ask = Ask(
        *(Message.DISCOVER, "harbour", GIADDR, GIADDR, Agent(circuit_id=b"a-7")),
        *(b"", b"\x01\x02\x00\x00\x00\x00\x01", 0, 0, False),
    )
    addresses.allocation.answer(ask, addresses.now())
    pool, other = answer(addresses, {"about": "pools"})["pools"]
    assert ("a", 1, 0) == (pool["pool"], pool["offered"], pool["leased"])
    assert sum(pool[part] for part in PARTS) == sum(other[part] for part in PARTS)

    why = answer(addresses, {"about": "why", "line": "a-7"})
    assert ("offer", "granted_own", "a") == (why["answer"], why["reason"], why["pool"])
    assert ["a"] == [row["pool"] for row in why["pools"]]


def test_a_walled_garden_is_shown_as_other_pools_are(
    addresses: AddressServer, tmp_path: Path
) -> None:
    """Each part, utilisation, and how long it lasts while it fills; from the stores as
    well, but for what is in memory alone."""
    garden = Pool(
        name="garden", area="harbour", walled_garden=True, prefixes=("10.9.0.0/24",)
    )
    known = network()
    whole = structs.replace(known, pool=(*known.pool, garden))
    began = addresses.now()
    addresses.network = whole
    addresses.allocation.change_network(whole, began)
    addresses.over_allocation.agree(whole, began)
    for second in range(0, 30, 10):
        for number in range(second, second + 10):
            ask = Ask(
                *(Message.DISCOVER, "harbour", GIADDR, GIADDR),
                *(Agent(circuit_id=b"none-%d" % number), b""),
                *(b"\x01\x02\x00\x00\x00\x00" + bytes([number]), 0, 0, False),
            )
            addresses.allocation.answer(ask, began + second)
        addresses.gardens.look(whole, addresses.allocation, began + second)
    *_, row = answer(addresses, {"about": "pools"})["pools"]
    assert ("garden", "network", True, None) == tuple(
        row[key] for key in ("pool", "tenant", "walled_garden", "level")
    )
    assert (256, 30) == (row["capacity"], row["offered"])
    assert row["utilisation"] == round(30 / (30 + row["free"]), 4)
    assert 0 < row["seconds_left"] < 100_000
    shown = for_people(row)
    assert f"{row['utilisation']:.1%}" == shown["utilisation"]
    assert shown["seconds_left"].endswith((" s", " min", " h", " d"))
    database = open_database("sqlite", tmp_path)
    with database.read.connect() as connection:
        *pools, stored = pool_parts(connection, whole, int(began))
    database.close()
    assert row.keys() == stored.keys()
    # Network, router and broadcast are nobody's.
    assert ("garden", 0, None, 253, None) == tuple(
        stored[key] for key in ("pool", "leased", "offered", "free", "seconds_left")
    )
    assert 253 == sum(row[part] for part in PARTS)
    live = answer(addresses, {"about": "pools"})["pools"][:-1]
    assert [p["free"] for p in live] == [p["free"] for p in pools]
    assert [p["utilisation"] for p in live] == [p["utilisation"] for p in pools]


def test_the_gauges_of_a_pool_that_is_gone_say_nothing(
    addresses: AddressServer,
) -> None:
    """No alarm goes on for a pool that there is no more."""
    gauges = Gauges()
    gauges.publish(addresses)
    free = ("fairlane_pool_addresses", {"pool": "b", "state": "free"})
    capacity = ("fairlane_pool_addresses", {"pool": "b", "state": "capacity"})
    assert metrics.REGISTRY.get_sample_value(*free)
    assert 64 == metrics.REGISTRY.get_sample_value(*capacity)
    served = addresses.network
    kept = tuple(row for row in served.pool if row.name == "a")
    addresses.network = structs.replace(served, pool=kept)
    addresses.allocation.change_network(addresses.network, addresses.now())
    addresses.over_allocation.agree(addresses.network, addresses.now())
    gauges.publish(addresses)
    assert 0 == metrics.REGISTRY.get_sample_value(*free)
    assert 0 == metrics.REGISTRY.get_sample_value(*capacity)


RUNGS = {
    "deny": ["Silence subscriber_limit"],
    "replace_oldest": ["Offer replaced"],
    "walled_garden": ["Offer walled_garden"],
    "grace": ["Offer granted_grace", "Ack granted_grace"],
    "sell": ["Offer granted_sold", "Ack granted_sold", "Silence monthly_cap"],
}


@pytest.mark.parametrize("policy", RUNGS)
def test_why_tells_each_rung_of_the_ladder(
    addresses: AddressServer, policy: str
) -> None:
    """Every answer to the second device of a line, with the service's policy, what the
    line has and what it has bought; for people as well. A wall clock that jumped is the
    time that is shown.
    """
    home = {"excess": policy, "excess_price_micro": 7, "excess_cap_micro": 10}
    served = access_network(home=home | {"excess_addresses": 2})
    allocation, now = addresses.allocation, addresses.now()
    allocation.change_network(served, now)
    addresses.over_allocation.agree(served, now)
    allocation.follow_wall(7200, now)
    address = granted(addresses, access_ask(Message.DISCOVER, mac=1))
    for number, expected in enumerate(RUNGS[policy]):
        device = 2 + number // 2
        kind = Message.SELECTING if number % 2 else Message.DISCOVER
        offered = address if number % 2 else 0
        given = allocation.answer(access_ask(kind, mac=device, address=offered), now)
        address = given.lease.address if isinstance(given, Offer) else 0

        why = answer(addresses, {"about": "why", "line": "line-0"})

        assert expected == f"{why['answer'].title()} {why['reason']}"
        assert int(now) + 7200 == why["at"]
        assert moment(why["at"]) == written(why)["at"]
        assert (policy, 1) == (why["policy"]["excess"], why["policy"]["addresses"])
        assert {"leased"} <= {lease["state"] for lease in why["leases"]}
        told = facts(why)
        assert ["answer", why["answer"], why["reason"]] in told
        assert ["service", "service-line-0", f"1 at most, then {policy}"] in told
    assert (policy == "sell") == bool(why["beyond"]["sold"])
    beyond = written(why)["beyond"]["grace_until"]
    assert (policy == "grace") == bool(why["beyond"]["grace_until"]) == bool(beyond)


def test_why_tells_refusals_endings_and_lines_that_asked_nothing(
    addresses: AddressServer,
) -> None:
    """A NAK, a RELEASE as clients send it (RFC 2131 section 4.4.6), one of another
    device, and a line of which only the network knows.
    """
    allocation, now, served = addresses.allocation, addresses.now(), access_network()
    allocation.change_network(served, now)
    addresses.over_allocation.agree(served, now)
    address = granted(addresses, access_ask(Message.DISCOVER, mac=1))
    for message, device, unicast, expected in (
        (Message.REBINDING, 2, False, ("nak", "not_yours")),
        (Message.RELEASE, 2, False, ("silence", "not_yours")),
        (Message.RELEASE, 1, True, ("done", "released")),
        (Message.REBINDING, 1, False, ("nak", "ended")),
    ):
        ask = access_ask(message, mac=device, address=address, unicast=unicast)
        allocation.answer(ask, now)
        why = answer(addresses, {"about": "why", "line": "line-0"})
        assert expected == (why["answer"], why["reason"])
    why = answer(addresses, {"about": "why", "line": "line-3"})
    assert (None, []) == (why["answer"], why["leases"])
    asked = ["asked", "nothing since the start of the address server"]
    assert asked in facts(why)


def granted(addresses: AddressServer, ask: Ask) -> int:
    """Have a client take what it is offered; give the address."""
    offer = addresses.allocation.answer(ask, addresses.now())
    assert isinstance(offer, Offer)
    address = offer.lease.address
    taken = structs.replace(ask, message=Message.SELECTING, address=address)
    assert isinstance(addresses.allocation.answer(taken, addresses.now()), Ack)
    return address


@pytest.mark.parametrize(
    "question",
    [
        {},
        {"about": "nothing"},
        {"about": "why"},
        {"about": "why", "line": "nobody"},
        {"about": "why", "line": "127.0.0.1/wrong:x"},
        {"about": "why", "line": "x" * 300 + "/circuit:%ZZ"},
        {"about": "why", "line": "\udcff/circuit:x"},
    ],
)
def test_questions_without_an_answer_get_an_error(
    addresses: AddressServer, question: dict[str, str]
) -> None:
    """The role goes on, whatever it is asked."""
    assert ["error"] == list(answer(addresses, question))


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, None), (0, "0 s"), (119, "119 s"), (1031, "17 min"), (7200, "2 h")],
)
def test_a_pool_is_shown_in_per_cent_and_the_time_it_lasts(
    seconds: int | None, shown: str | None
) -> None:
    """Read at a glance; --json has the plain numbers."""
    row = for_people({"utilisation": 0.2982, "seconds_left": seconds})
    assert {"utilisation": "29.8%", "seconds_left": shown} == row
