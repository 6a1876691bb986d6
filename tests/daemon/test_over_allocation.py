"""What the address server's role says of pools and lines, and does with its inbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from leasing import GIADDR, network

from config.schema import LeaseSettings
from daemon.address_server import AddressServer
from daemon.commands.pools import for_people
from daemon.over_allocation import answer
from ipserver.ask import Agent, Ask, Message
from storage.database import migrate, open_database

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
