"""What a BSP tells late is of who had the user name then."""

from __future__ import annotations

from typing import Any

import pytest
from settlement_network import NOVEMBER, network
from sqlalchemy import Connection

from config.network import Network
from config.offers import Service
from config.settlement import Product
from rating.purchase import LATE_SECONDS, Action, Denial, State
from services.buyers import Buyers
from services.catalogue import Catalogue
from services.purchases import Event, handle, recycle
from storage.database import Database
from storage.entry_queries import EntryFilter, list_entries
from storage.network import Action as Verb
from storage.network import Change, apply

USER = "sub101@aurora.example"
DAY = 86_400


def changed(
    connection: Connection, at: int, action: Verb, name: str, **values: Any
) -> None:
    """Have the feed tell of a service."""
    body = {"name": name, "line": "l", "offering": "home-500", "isp": "aurora"} | values
    change = Change(action, "service", name, None if action == "delete" else body)
    apply(connection, [change], at)


def now_with(*services: Service) -> Network:
    """The network with these services in place of its own."""
    return network(service=services)


def who(
    database: Database, made: Network, user: str, *times: int
) -> list[tuple[str, str] | None]:
    """Which service, of which ISP, had a name at each time."""
    with database.read.connect() as connection:
        buyers = Buyers(connection, Catalogue(made), NOVEMBER - LATE_SECONDS)
        found = [buyers.service_of(user, at) for at in times]
    return [None if one is None else (one.name, one.isp) for one in found]


def test_who_left_was_there_until_then(database: Database) -> None:
    """By user name and by name; not behind the end of the service, nor by what is too
    late to be looked for."""
    with database.write.begin() as connection:
        changed(connection, NOVEMBER - 90 * DAY, "add", "a-1", user_names=[USER])
        changed(connection, NOVEMBER - DAY, "delete", "a-1")
    times = NOVEMBER - DAY - 1, NOVEMBER - DAY, NOVEMBER - LATE_SECONDS - 1
    for name in (USER, USER.upper(), "a-1"):
        found = who(database, now_with(), name, *times)
        assert [("a-1", "aurora"), None, None] == found


def test_who_changed_the_isp_was_the_former_one_s_until_then(
    database: Database,
) -> None:
    """As the same service, and what was before its first day is as on that day."""
    with database.write.begin() as connection:
        changed(connection, NOVEMBER - 2 * DAY, "add", "a-1", user_names=[USER])
        changed(
            connection,
            NOVEMBER - DAY,
            "modify",
            "a-1",
            user_names=[USER],
            isp="borealis",
        )
    moved = Service(name="a-1", isp="borealis", line="l", offering="polar-100",
                    user_names=(USER,))  # fmt: skip
    times = NOVEMBER, NOVEMBER - DAY, NOVEMBER - DAY - 1, NOVEMBER - 9 * DAY
    assert ["borealis", "borealis", "aurora", "aurora"] == [
        one and one[1] for one in who(database, now_with(moved), USER, *times)
    ]


def test_a_sale_that_waited_long_is_of_who_bought(database: Database) -> None:
    """It was told in time and had no price: four months later another has the name."""
    with database.write.begin() as connection:
        changed(connection, NOVEMBER - 90 * DAY, "add", "a-1", user_names=[USER])
    common = {"line": "l", "offering": "home-500", "user_names": (USER,)}
    first = now_with(Service(name="a-1", isp="aurora", **common))
    event = Event(event_id="E", action=Action.SALE, reference="P", at=NOVEMBER,
                  user=USER, product="book")  # fmt: skip
    answer = handle(database, Catalogue(first), "filmhouse", event, NOVEMBER)
    assert Denial.UNKNOWN_PRODUCT == answer.denial
    with database.write.begin() as connection:
        changed(connection, NOVEMBER + DAY, "delete", "a-1")
        changed(connection, NOVEMBER + 2 * DAY, "add", "a-2", user_names=[USER])
    book = Product(name="book", bsp="filmhouse", price="6")
    second = Service(name="a-2", isp="borealis", **common)
    priced = Catalogue(network(service=(second,), product=(book,)))
    (captured,) = recycle(database, priced, NOVEMBER + 120 * DAY)
    assert State.CAPTURED == captured.state
    with database.read.connect() as connection:
        ((entry, _),) = list_entries(connection, EntryFilter())
    assert ("aurora", "a-1") == (entry.book.tenant, entry.posting.service)


def test_a_user_name_was_whose_it_was_then(database: Database) -> None:
    """Another subscriber has it now, who pays for nothing of the former one's."""
    with database.write.begin() as connection:
        for name, names in (("a-1", [USER]), ("a-2", [])):
            changed(connection, NOVEMBER - 90 * DAY, "add", name, user_names=names)
        changed(connection, NOVEMBER - DAY, "modify", "a-1", user_names=[])
        changed(connection, NOVEMBER - DAY, "modify", "a-2", user_names=[USER])
    common = {"isp": "aurora", "line": "l", "offering": "home-500"}
    made = now_with(
        Service(name="a-1", **common), Service(name="a-2", user_names=(USER,), **common)
    )
    found = who(database, made, USER, NOVEMBER, NOVEMBER - DAY - 1)
    assert [("a-2", "aurora"), ("a-1", "aurora")] == found


@pytest.mark.parametrize("at", [NOVEMBER - 2 * DAY, NOVEMBER])
def test_a_late_sale_is_in_the_books_of_the_isp_of_then(
    database: Database, at: int
) -> None:
    """The subscriber is gone when it is told: until its end it is owed, behind it the
    sale is pending, and stays so when it is tried again."""
    with database.write.begin() as connection:
        changed(connection, NOVEMBER - 90 * DAY, "add", "a-1", user_names=[USER])
        changed(connection, NOVEMBER - DAY, "delete", "a-1")
    catalogue = Catalogue(now_with())
    event = Event(event_id="E", action=Action.SALE, reference="P", at=at, user=USER,
                  product="film")  # fmt: skip
    answer = handle(database, catalogue, "filmhouse", event, NOVEMBER)
    if at == NOVEMBER:
        assert (State.PENDING, Denial.UNKNOWN_USER) == (answer.state, answer.denial)
        (again,) = recycle(database, catalogue, NOVEMBER)
        assert Denial.UNKNOWN_USER == again.denial
        return
    with database.read.connect() as connection:
        ((entry, _),) = list_entries(connection, EntryFilter())
    assert State.CAPTURED == answer.state
    assert ("aurora", "a-1") == (entry.book.tenant, entry.posting.service)
