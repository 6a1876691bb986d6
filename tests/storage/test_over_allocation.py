"""The over-allocation in SQL: what the journal says is what a start finds."""

from __future__ import annotations

from typing import Any

import pytest
from leasing import START, Leasing, network

from ipserver import over_allocation_change, records
from ipserver.over_allocation_command import Action
from ipserver.over_allocation_state import State
from services import overallocation
from services.overallocation import CommandRefusedError
from storage.database import Database
from storage.over_allocation import apply_bodies, decisions_of, load_state
from storage.over_allocation_inbox import pending


def bodies(server: Leasing) -> list[bytes]:
    """The records of the over-allocation in a journal."""
    return [
        body
        for octets in server.journal
        for kind, body in records.frames(octets)
        if kind == over_allocation_change.KIND
    ]


def borrowing() -> Leasing:
    """A server whose pool a has borrowed, and has a request with the lender."""
    server = Leasing(
        network(
            isp=[{"name": "aurora"}, {"name": "borealis", "lend_policy": "ask"}],
            reserve=[{"name": "r", "prefixes": ["10.0.2.0/28"]}],
            over_allocation=[
                {"block_prefix_length": 28, "emergency_percent": 0}
                | {"rationing_percent": 0}
            ],
        )
    )
    server.fill("a", 90)
    server.tick(2)
    return server


def facts(state: State) -> dict[str, Any]:
    """What a state remembers of what is not at home."""
    return {
        "blocks": {first: b for first, b in state.blocks.items() if b.lent},
        "requests": state.requests,
        "loans": state.loans,
        "approvals": state.approvals,
        "pools": state.pools,
        "last": (state.last_request, state.last_loan),
    }


def test_a_start_finds_what_the_journal_told(database: Database) -> None:
    """One by one or all at once, applied to the end or with the tail read behind."""
    server = borrowing()
    told = bodies(server)
    half = len(told) // 2
    for body in told[:half]:
        with database.write.begin() as connection:
            apply_bodies(connection, [body])
    with database.read.connect() as connection:
        state = load_state(connection)
    for body in told[half:]:
        state.apply(over_allocation_change.decode(body))
    assert facts(server.state) == facts(state)

    with database.write.begin() as connection:
        apply_bodies(connection, told[half:])
    with database.read.connect() as connection:
        assert facts(server.state) == facts(load_state(connection))


def test_a_decision_is_kept_with_all_that_it_was_made_from(database: Database) -> None:
    """I8: made again from what is stored, it is the same."""
    server = borrowing()
    with database.write.begin() as connection:
        apply_bodies(connection, bodies(server))
    with database.read.connect() as connection:
        found = decisions_of(connection, 1)
    made = [d for step in server.steps for d in step.change.decisions if d.request == 1]
    assert found
    assert made == found
    assert [d.inputs for d in found] == [d.snapshot.digest() for d in found]


def test_each_party_sees_what_concerns_it(database: Database) -> None:
    """An ISP its own requests and those that want its word; no other's inputs."""
    server = borrowing()
    with database.write.begin() as connection:
        apply_bodies(connection, bodies(server))
    with database.read.connect() as connection:
        seen = {
            tenant: [
                (row["number"], row["state"])
                for row in overallocation.requests(connection, tenant=tenant)
            ]
            for tenant in ("network", "aurora", "borealis", "cirrus")
        }
        loans = {
            tenant: len(overallocation.loans(connection, tenant=tenant))
            for tenant in seen
        }
        (asked,) = seen["borealis"]
        shown = overallocation.request(connection, tenant="borealis", number=asked[0])
        whole = overallocation.request(connection, tenant="network", number=asked[0])
    assert (2, "pending_approval") == asked
    assert [(1, "fulfilled"), asked] == seen["network"] == seen["aurora"]
    assert [] == seen["cirrus"]
    assert {"network": 1, "aurora": 1, "borealis": 0, "cirrus": 0} == loans
    assert shown is not None
    assert "decisions" not in shown
    assert whole is not None
    assert whole["decisions"][0]["snapshot"]["pool"] == "a"


def test_who_had_a_word_sees_what_came_of_it(database: Database) -> None:
    """Also when nobody's word is wanted any more: the reason, and that it was said."""
    server = borrowing()
    (number,) = server.state.requests
    server.do(Action.DENY, "borealis", target=number, reason="none to spare")
    with database.write.begin() as connection:
        apply_bodies(connection, bodies(server))
    with database.read.connect() as connection:
        (listed,) = overallocation.requests(connection, tenant="borealis")
        shown = overallocation.request(connection, tenant="borealis", number=number)
        other = overallocation.request(connection, tenant="cirrus", number=number)
    assert shown is not None
    assert ("denied", "refused") == (listed["state"], shown["reason"])
    assert "none to spare" == shown["approvals"][0]["reason"]
    assert "decisions" not in shown
    assert other is None


def raised(connection: Any, key: str, size: int = 16) -> overallocation.Sent:
    """Ask for addresses under a key."""
    return overallocation.raise_request(
        connection,
        tenant="aurora",
        actor="csr",
        client_key=key,
        pool="a",
        size=size,
        reason="",
        now=START,
    )


def test_a_command_has_a_number_a_key_and_a_result(database: Database) -> None:
    """The same key is the same command, another's use of it is refused."""
    server = Leasing(network())
    with database.write.begin() as connection:
        first, second = raised(connection, "k"), raised(connection, "k")
        with pytest.raises(CommandRefusedError, match="another command"):
            raised(connection, "k", size=32)
        third = raised(connection, "l")
    assert first == second
    assert first.number < third.number
    assert first.result is None

    with database.read.connect() as connection:
        commands = pending(connection, 0)
    assert [Action.RAISE, Action.RAISE] == [command.action for command in commands]
    for command in commands:
        server.manager.carry_out(command, server.now)
    server.commit()
    with database.write.begin() as connection:
        apply_bodies(connection, bodies(server))
    with database.read.connect() as connection:
        done = overallocation.outcome(connection, tenant="aurora", number=first.number)
        assert None is overallocation.outcome(
            connection, tenant="borealis", number=first.number
        )
        assert load_state(connection).command == third.number
        assert [] == pending(connection, third.number)
    assert done is not None
    assert ("done", 1) == (done.result, done.object_number)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"client_key": ""}, "bad_client_key"),
        ({"client_key": "k" * 129}, "bad_client_key"),
        ({"reason": "r" * 501}, "bad_reason"),
        ({"blocks": 1}, "bad_blocks"),
        ({"action": Action.PARTIAL}, "bad_blocks"),
        ({"action": Action.RECALL}, "bad_action"),
    ],
)
def test_bad_commands_are_refused_with_a_stable_code(
    database: Database, values: dict[str, Any], code: str
) -> None:
    """Nothing of them is in the inbox."""
    good = {"action": Action.APPROVE, "client_key": "k", "request": 1}
    with database.write.begin() as connection:
        with pytest.raises(CommandRefusedError) as refused:
            overallocation.decide_request(
                connection, tenant="aurora", actor="csr", now=START, **(good | values)
            )
        assert [] == pending(connection, 0)
    assert code == refused.value.code
