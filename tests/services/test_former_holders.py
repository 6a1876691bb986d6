"""A session is of who had its name, its circuit or its address when it began."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from changed_network import change_network
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from config.network import Network, bodies
from config.offers import Service
from config.plant import Line
from radius.accounting import Description
from rating.guiding import Guide, Guided, Unguided
from services.former_holders import FormerHolders, own_addresses
from storage.database import SQLITE_FILE, Database, open_database
from storage.network import latest_change

START = 1_795_604_400
NAS = msgspec.convert(
    {"nas": [{"name": "bng1", "area": "harbour", "address": "192.0.2.1"}]}, Network
).nas
NOBODY = Description()
LEASED = "100.64.0.9"
"""An address that was bound to the line `l1` all the time."""


def guide_of(network: Network, own: Mapping[str, str]) -> Guide:
    """A guide that takes a Class for the name of a service."""
    return Guide(
        network,
        read_class=lambda value: value.decode(),
        own_addresses=own,
        line_of=lambda address, _: "l1" if address == LEASED else None,
    )


def service(name: str, line: str = "l9", *users: str, **more: Any) -> Service:
    """A service on a line, with user names."""
    values = {"isp": "aurora", "offering": "", **more}
    return Service(name=name, line=line, user_names=users, **values)


def network(*services: Service, **circuits: str) -> Network:
    """A network of services, and of lines on circuits."""
    lines = tuple(
        Line(name=name, area="harbour", circuit_id=circuit)
        for name, circuit in circuits.items()
    )
    return Network(nas=NAS, line=lines, service=services)


class Told:
    """A network that changed, and holders that follow it from some moment on."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.networks: list[tuple[int, Network]] = []
        self.known = 0
        self.holders = FormerHolders()

    def change(self, at: int, to: Network) -> None:
        """Change the network at a time."""
        change_network(self.database, to, at)
        self.networks.append((at, to))

    def start(self) -> None:
        """Begin anew with the network as it is."""
        self.holders = FormerHolders()
        self.know()
        with self.database.read.connect() as connection:
            self.holders.follow(connection, latest_change(connection))

    def know(self) -> None:
        """Let the holders know the network as it is."""
        self.known = len(self.networks)
        self.holders.know(bodies(self._network()))

    def _network(self) -> Network:
        return self.networks[self.known - 1][1] if self.known else Network()

    def guided(self, at: int, **reported: Any) -> str | None:
        """Give the service that a session that began at a time is guided to."""
        with self.database.read.connect() as connection:
            return self._guided(connection, at, NOBODY._replace(**reported))

    def _guided(
        self, connection: Connection, at: int, session: Description
    ) -> str | None:
        self.holders.follow(connection, latest_change(connection))
        known = self._network()
        present = guide_of(known, own_addresses(bodies(known)))
        return _service(
            self.holders.guide(connection, present, guide_of, "bng1", session, at)
        )

    def obvious(self, at: int, **reported: Any) -> str | None:
        """Look at each network from the one of a time on, until one names a service,
        and then at the known one; of those within a second the last one holds."""
        networks = dict(self.networks)
        since = [n for moment, n in networks.items() if moment <= at][-1:]
        later = [n for moment, n in networks.items() if moment > at]
        for then in [*since, *later, self._network()]:
            own = own_addresses(bodies(then))
            session = NOBODY._replace(**reported)
            found = _service(guide_of(then, own).guide("bng1", session, at))
            if found is not None:
                return found
        return None


def _service(found: Guided | Unguided) -> str | None:
    return found.service if isinstance(found, Guided) else None


def test_a_user_name_that_passed_on_is_of_who_had_it(database: Database) -> None:
    """From one service to another, and when it was nobody's of who got it next."""
    told = Told(database)
    told.change(START, network(service("first", "l1", "u"), l1="c1"))
    told.change(START + 10, network(service("first", "l1"), l1="c1"))
    told.change(
        START + 20, network(service("first"), service("second", "l2", "u"), l1="c1")
    )
    told.know()
    for at, expected in (
        (START - 5, "first"),
        (START + 9, "first"),
        (START + 10, "second"),
        (START + 20, "second"),
    ):
        assert expected == told.guided(at, user_name="U")
    assert "first" == told.guided(START + 12, user_name="U", nas_port_id="c1")


def test_a_circuit_is_of_the_service_and_the_line_of_then(database: Database) -> None:
    """A service moved to another line, and a line to another circuit."""
    told = Told(database)
    told.change(START, network(service("a", "l1"), l1="c1", l2="c2"))
    told.change(
        START + 10, network(service("a", "l2"), service("b", "l1"), l1="c1", l2="c2")
    )
    told.change(
        START + 20, network(service("a", "l2"), service("b", "l1"), l1="c2", l2="c1")
    )
    told.know()
    for at, expected in ((9, "a"), (10, "b"), (19, "b"), (20, "a"), (99, "a")):
        assert expected == told.guided(START + at, nas_port_id="c1")


def test_what_a_class_names_was_there_then(database: Database) -> None:
    """Its service has ended, and its user name is another's: the token is certain."""
    told = Told(database)
    told.change(START, network(service("a", "l1", "u")))
    told.change(START + 10, network(service("b", "l1", "u")))
    told.know()
    token = bytes((25, 3)) + b"a"
    assert "a" == told.guided(START + 5, class_=token, user_name="u")
    assert "b" == told.guided(START + 15, class_=token, user_name="u")


@pytest.mark.parametrize("recent", [1, 1000])
def test_a_second_service_of_a_line_was_not_there_yet(
    database: Database, recent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was only added since makes nothing uncertain that was certain then, though
    more was changed behind it than is read at first."""
    monkeypatch.setattr("services.former_holders._RECENT", recent)
    told = Told(database)
    told.change(START, network(service("a", "l1"), l1="c1"))
    told.change(START + 10, network(service("a", "l1"), service("b", "l1"), l1="c1"))
    more = service("a", "l1"), service("b", "l1"), service("c")
    told.change(START + 90, network(*more, l1="c1"))
    told.start()
    assert "a" == told.guided(START + 5, nas_port_id="c1")
    assert "a" == told.guided(START + 5, framed_ip_address=LEASED)
    assert told.guided(START + 15, nas_port_id="c1") is None


def test_more_was_changed_than_is_read_at_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what lies further back as much is read as the session needs, within bounds."""
    monkeypatch.setattr("services.former_holders._RECENT", 2)
    told = Told(database)
    day = 86_400
    told.change(START, network(service("a", "l1", "u", "only-a")))
    told.change(START + day, network(service("b", "l1", "u"), service("c", "l2", "v")))
    for number in range(5):
        more = service(f"more-{number}", "l3", f"name-{number}")
        told.change(START + (60 + number) * day, network(service("b", "l1", "u"), more))
    told.know()
    assert "b" == told.guided(START + 90 * day, user_name="u")
    assert "c" == told.guided(START + 3 * day, user_name="v")
    assert "a" == told.guided(START + 5, user_name="u")
    assert "a" == told.guided(START - 5 * day, user_name="only-a")
    told.change(START + 200 * day, network(service("b", "l1", "u"), service("d")))
    told.start()
    assert "b" == told.guided(START + 5, user_name="u")  # it is too long ago


_names = st.sampled_from(("a", "b", "c"))
_users, _lines = st.sampled_from(("u", "v", "w")), st.sampled_from(("l1", "l2"))
_circuits = st.sampled_from(("c1", "c2"))
_addresses = st.sampled_from(("203.0.113.1", LEASED))
_change = st.one_of(
    st.tuples(st.just("name"), _names, _users),
    st.tuples(st.just("line"), _names, _lines),
    st.tuples(st.just("address"), _names, _addresses),
    st.tuples(st.just("circuit"), _lines, _circuits),
    st.tuples(st.just("end"), _names, st.none()),
    st.tuples(st.just("know"), st.none(), st.none()),
    st.tuples(st.just("anew"), st.none(), st.none()),
)
_reported = st.fixed_dictionaries(
    {},
    optional={
        "user_name": _users,
        "nas_port_id": _circuits,
        "framed_ip_address": _addresses,
        "class_": _names.map(lambda name: bytes((25, 3)) + name.encode()),
    },
)
_asked = st.lists(st.tuples(st.integers(-9, 130), _reported), max_size=6)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(_change, st.sampled_from((0, 1, 9, 200_000)), _asked),
        min_size=2,
        max_size=14,
    ),
    st.sampled_from((1, 3, 1000)),
)
def test_whatever_passed_on_the_session_is_of_who_had_it(
    sqlite_template: Path,
    steps: list[tuple[Any, int, list[tuple[int, Any]]]],
    recent: int,
) -> None:
    """Names, lines, circuits and addresses go from one service to another, services
    end and come back, sessions are late by any time and the network is known late:
    each is given the service that all networks say, looked at one after another."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("services.former_holders._RECENT", recent)
        shutil.copy(sqlite_template, Path(folder) / SQLITE_FILE)
        database = open_database("sqlite", folder)
        try:
            told, services, lines, now = Told(database), {}, {"l1": "c1"}, START
            told.start()
            for (what, which, value), passes, asked in steps:
                now += passes
                if what == "know":
                    told.know()
                elif what == "anew":
                    told.start()
                elif what == "circuit":
                    lines = {n: c for n, c in lines.items() if c != value}
                    lines[which] = value
                else:
                    services = _changed(services, what, which, value)
                told.change(now, network(*services.values(), **lines))
                for at, reported in asked:
                    at = min(START + at, now)
                    expected = told.obvious(at, **reported)
                    assert expected == told.guided(at, **reported)
        finally:
            database.close()


def _changed(
    services: dict[str, Service], what: str, which: str, value: str
) -> dict[str, Service]:
    replace = msgspec.structs.replace
    if what == "end":
        return {name: one for name, one in services.items() if name != which}
    own = services.get(which, service(which))
    if what == "line":
        return services | {which: replace(own, line=value)}
    if what == "address":
        found = {n: replace(s, framed_ip_address=None) for n, s in services.items()}
        return found | {which: replace(own, framed_ip_address=value)}
    left = {n: replace(s, user_names=()) for n, s in services.items()}
    kept = {n: left[n] if value in s.user_names else s for n, s in services.items()}
    return kept | {which: replace(own, user_names=(value,))}
