"""Commands, positions and sessions of access, on both databases; the shared file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from radius import class_token
from radius.asked import Claim
from radius.packet import attribute
from services import coa
from services.coa import UnknownServiceError, list_commands, request_coa
from services.simultaneous_use import BEGIN_SECONDS, settle
from storage.access_state import AccessState, Place
from storage.accounting_copies import read_copy_positions, write_copy_position
from storage.coa import move, read_command, unfinished
from storage.database import Database
from storage.learned_nas import share
from storage.network import Change, apply

KEY = bytes(range(32))
NOW = 1_790_000_000
COMMON: dict[str, Any] = {"requested_by": "test", "class_key": KEY, "now": NOW}


def issued(token: bytes, service: str) -> bytes:
    """Give a Class attribute of ours as a session keeps it."""
    return attribute(25, class_token.issue(KEY, token, NOW, service.encode()))


@pytest.fixture
def network(database: Database) -> Database:
    """Two services of two ISPs."""
    changes = [
        Change("add", "line", "l1", {"name": "l1", "area": "a", "circuit_id": "c1"}),
        Change(
            "add",
            "service",
            "s1",
            {"name": "s1", "isp": "aurora", "line": "l1", "user_names": ["u1"]},
        ),
        Change(
            "add",
            "service",
            "s2",
            {"name": "s2", "isp": "borealis", "line": "l1", "user_names": ["u2"]},
        ),
    ]
    with database.write.begin() as connection:
        apply(connection, changes, NOW)
    return database


def test_a_service_is_found_by_its_class_then_by_its_users(
    network: Database, rows: Any
) -> None:
    """Class wins over a User-Name that means another; what is closed is left alone."""
    rows.add_sessions(
        {"id": 1, "user_name": "u1"},
        {"id": 2, "user_name": "u1", "class_": issued(b"12345678", "s2")},
        {"id": 3, "user_name": "c1", "class_": issued(b"12345679", "s1")},
        {"id": 4, "user_name": "u1", "state": "closed"},
        {"id": 5, "user_name": "c1"},
    )
    with network.write.begin() as connection:
        numbers = request_coa(connection, tenant="aurora", service="s1", **COMMON)
        found = [read_command(connection, number) for number in numbers]

    assert {1, 3} == {c.session_id for c in found if c}
    assert {("queued", "aurora", "coa")} == {
        (c.state, c.tenant, c.kind) for c in found if c
    }


def test_an_ipoe_session_is_found_however_its_nas_writes_the_mac_address(
    network: Database, rows: Any
) -> None:
    """Its User-Name is kept as it was sent, to be sent back so."""
    device = {
        "name": "s3",
        "isp": "aurora",
        "line": "l1",
        "mac_addresses": ["00:1a:2b:3c:4d:5e"],
    }
    written = (
        "00:1a:2b:3c:4d:5e",
        "00-1A-2B-3C-4D-5E",
        "001a.2b3c.4d5e",
        "001A-2B3C-4D5E",
        "001a2b3c4d5e",
    )
    rows.add_sessions(
        *(
            {"id": n, "user_name": name, "class_": issued(b"%08d" % n, "s3")}
            for n, name in enumerate(written, start=1)
        ),
        {"id": 9, "user_name": "001a2b3c4d5f", "class_": issued(b"00000009", "s4")},
    )
    with network.write.begin() as connection:
        apply(connection, [Change("add", "service", "s3", device)], NOW)
        found = coa.live_sessions(
            connection, tenant="aurora", service="s3", class_key=KEY
        )

    assert {1, 2, 3, 4, 5} == {session.id for session in found}


def test_a_session_without_user_name_is_found_by_the_service_it_was_guided_to(
    network: Database, rows: Any
) -> None:
    """By circuit or address, as its accounting said; by Class where it has one. What is
    another's, or has ended, is left alone."""
    rows.add_sessions(
        {"id": 1, "user_name": None, "service": "s1"},
        {"id": 2, "user_name": None, "class_": issued(b"1" * 8, "s1"), "service": "s1"},
        {"id": 3, "user_name": None, "class_": issued(b"2" * 8, "s2"), "service": "s1"},
        {"id": 4, "user_name": None, "service": "s2"},
        {"id": 5, "user_name": None, "service": "s1", "state": "closed"},
        {"id": 6, "user_name": None},
    )
    with network.write.begin() as connection:
        numbers = coa.request_disconnect(
            connection, tenant="aurora", service="s1", **COMMON
        )
        told = [read_command(connection, number) for number in numbers]

    assert [1, 2] == sorted(command.session_id for command in told if command)


def test_the_sessions_on_one_line_are_ended_alone(network: Database, rows: Any) -> None:
    """A service that moves goes on where it moved to."""
    line = {"name": "l2", "area": "a", "circuit_id": "c2"}
    moving = {"name": "s1", "isp": "aurora", "line": "l2", "former_line": "l1"}
    changes = [
        Change("add", "line", "l2", line),
        Change("modify", "service", "s1", moving | {"user_names": ["u1"]}),
    ]
    rows.add_sessions(
        {"id": 1, "user_name": "u1", "nas_port_id": "c1"},
        {"id": 2, "user_name": "u1", "nas_port_id": "c2"},
        {"id": 3, "user_name": "u1", "agent_circuit_id": "c1"},
    )
    with network.write.begin() as connection:
        apply(connection, changes, NOW)
        numbers = coa.request_disconnect(
            connection, tenant="aurora", service="s1", line="l1", **COMMON
        )
        told = [read_command(connection, number) for number in numbers]

    assert [1, 3] == sorted(command.session_id for command in told if command)


def test_what_a_node_has_learned_the_others_hear(database: Database) -> None:
    """Each keeps what it had, and nothing is told twice."""
    with database.write.begin() as connection:
        assert {"bng1"} == share(connection, {"bng1"}, NOW)
        assert {"bng1", "bng2"} == share(connection, {"bng2"}, NOW)
        assert {"bng1", "bng2"} == share(connection, {"bng1"}, NOW + 1)


def test_a_foreign_service_is_as_unknown_as_one_that_is_not(network: Database) -> None:
    """Law 7: which of the two it is, is not told; the network's own sees all."""
    with network.write.begin() as connection:
        for service in ("s2", "nobody"):
            with pytest.raises(UnknownServiceError):
                request_coa(connection, tenant="aurora", service=service, **COMMON)
        assert [] == request_coa(connection, tenant="network", service="s2", **COMMON)


def test_a_tenant_sees_its_own_commands(network: Database, rows: Any) -> None:
    """And the network's own those of all."""
    rows.add_sessions({"id": 1, "user_name": "u1"}, {"id": 2, "user_name": "u2"})
    with network.write.begin() as connection:
        for tenant, service in (("aurora", "s1"), ("borealis", "s2")):
            coa.request_disconnect(connection, tenant=tenant, service=service, **COMMON)
        seen = {
            tenant: [
                c.service for c in list_commands(connection, tenant=tenant, limit=9)
            ]
            for tenant in ("aurora", "borealis", "network")
        }

    assert {"aurora": ["s1"], "borealis": ["s2"], "network": ["s2", "s1"]} == seen


def test_a_command_moves_once(network: Database, rows: Any) -> None:
    """Of two that saw the same state, one moves it; what is done is not unfinished."""
    rows.add_sessions({"id": 1, "user_name": "u1"})
    with network.write.begin() as connection:
        (number,) = request_coa(connection, tenant="aurora", service="s1", **COMMON)
        assert [number] == [c.id for c, _ in unfinished(connection, 10)]
        moved = [
            move(connection, number, before="queued", state=state)
            for state in ("gone", "sent")
        ]
        assert [True, False] == moved
        assert [] == unfinished(connection, 10)


def test_a_copy_position_is_kept_by_isp_and_journal(database: Database) -> None:
    """One that is behind does not hold another."""
    with database.write.begin() as connection:
        for isp, position in (("aurora", 7), ("borealis", 9), ("aurora", 8)):
            write_copy_position(connection, isp, "radius-0", position)
        assert {"radius-0": 8} == read_copy_positions(connection, "aurora")
        assert {"radius-0": 9} == read_copy_positions(connection, "borealis")


def test_places_are_free_when_their_sessions_are_over(
    database: Database, rows: Any
) -> None:
    """Closed, or never begun for long; a session that runs has begun."""
    rows.add_sessions(
        {"id": 1, "user_name": "u", "class_": issued(b"closed..", "s")}
        | {"state": "closed", "last_seen_at": NOW},
        {"id": 2, "user_name": "u", "class_": issued(b"running.", "s")},
    )
    places = [
        Place(token, "s", "bng1", "u", taken_at, seen=seen)
        for token, taken_at, seen in (
            (b"closed..", NOW, False),
            (b"running.", NOW, False),
            (b"neverbeg", NOW - BEGIN_SECONDS - 1, False),
            (b"justbegu", NOW - 1, False),
            (b"rolledup", NOW - BEGIN_SECONDS - 1, True),
        )
    ]
    with database.read.connect() as connection:
        found = settle(connection, places, class_key=KEY, now=NOW)

    assert {b"closed..", b"neverbeg"} == set(found.free)
    assert [b"running."] == found.begun


def claim(number: int, limit: int, place: str = "") -> Claim:
    """A claim on one service."""
    return Claim("s", limit, number.to_bytes(8), "bng1", place, "u")


def test_many_workers_take_exactly_the_places_there_are(tmp_path: Path) -> None:
    """Eight connections at once, fifty claims each, seven places."""
    results: list[bool | None] = []

    def work(worker: int) -> None:
        state = AccessState(tmp_path)
        for number in range(50):
            results.extend(state.take([claim(worker * 1000 + number, 7)], NOW))
        state.close()

    AccessState(tmp_path).close()
    workers = [threading.Thread(target=work, args=(w,)) for w in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert 400 == len(results)
    assert 7 == results.count(True)
    assert 393 == results.count(False)


def test_who_comes_again_from_his_place_takes_it_over(tmp_path: Path) -> None:
    """A router that was switched off is not locked out by its own last session."""
    state = AccessState(tmp_path)
    first, again, other = claim(1, 1, "p|m"), claim(2, 1, "p|m"), claim(3, 1, "q|m")

    assert [True, True, False] == state.take([first, again, other], NOW)
    assert [(2).to_bytes(8)] == [place.token for place in state.places(service="s")]
    assert 1 == state.release([(2).to_bytes(8)])
    assert [True] == state.take([other], NOW)
    state.close()


def test_places_outlive_their_process(tmp_path: Path) -> None:
    """A worker that is killed and begins again counts on."""
    first = AccessState(tmp_path)
    assert [True] == first.take([claim(1, 1)], NOW)
    second = AccessState(tmp_path)

    assert [False] == second.take([claim(2, 1)], NOW)
    first.close()
    second.close()


def test_nobody_is_let_in_uncounted(tmp_path: Path) -> None:
    """When the file cannot be written there is no answer, and the reason is said."""
    state = AccessState(tmp_path)
    state._connection.execute("PRAGMA query_only=1")

    assert [None] == state.take([claim(1, 1)], NOW)
    assert state.failure is not None
    state.close()
