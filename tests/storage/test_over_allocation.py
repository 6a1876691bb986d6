"""The over-allocation in SQL: what the journal says is what a start finds."""

from __future__ import annotations

from typing import Any

import pytest
from leasing import START, Leasing, network, pool
from msgspec import to_builtins
from sqlalchemy import delete

from ipserver import over_allocation_change, records
from ipserver.over_allocation_command import Action
from ipserver.over_allocation_state import State
from services import overallocation
from services.overallocation import CommandRefusedError
from storage.database import Database
from storage.network import Change, apply
from storage.over_allocation import apply_bodies, decisions_of, load_state
from storage.over_allocation_inbox import pending
from storage.tables import network_object


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
    assert "2026-09-21T14:13:20Z" == whole["raised_at"]
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


def told(database: Database, server: Leasing) -> None:
    """Have the ledger write what the journal has from now on, and forget it."""
    with database.write.begin() as connection:
        apply_bodies(connection, bodies(server))
    server.journal.clear()


def pools_of(database: Database, **isps: str) -> None:
    """Have the network say whose the pools are."""
    changes = [
        Change("add", "pool", row.name, to_builtins(row) | {"isp": isps[row.name]})
        for row in network().pool
    ]
    with database.write.begin() as connection:
        connection.execute(delete(network_object))
        apply(connection, changes, START)


def loans_of(database: Database, tenant: str) -> list[tuple[Any, ...]]:
    """What a tenant is shown of loans from pool b to pool a."""
    names = ("owner", "holder", "lender_tenant", "borrower_tenant")
    with database.read.connect() as connection:
        rows = overallocation.loans(connection, tenant=tenant)
    return [tuple(row[name] for name in names) for row in rows]


def test_an_open_loan_is_seen_by_who_has_its_pools_now(database: Database) -> None:
    """An ISP that sold its pool has no part in it any more; when it is over, the
    history is of those who agreed."""
    server = Leasing(network(reserve=[]))
    pools_of(database, a="aurora", b="borealis")
    server.fill("a", 70)
    told(database, server)
    agreed = ("borealis", "aurora")
    assert [("borealis", "aurora", *agreed)] == loans_of(database, "borealis")

    pools_of(database, a="cirrus", b="doldrum")
    now = [("doldrum", "cirrus", *agreed)]
    seen = {tenant: loans_of(database, tenant) for tenant in (*agreed, "cirrus")}
    assert {"borealis": [], "aurora": [], "cirrus": now} == seen
    assert now == loans_of(database, "doldrum") == loans_of(database, "network")
    with database.write.begin() as connection:
        steer = {"actor": "csr", "action": Action.RECALL, "loan": 1, "now": START}
        with pytest.raises(CommandRefusedError, match="there is no loan 1"):
            overallocation.steer_loan(
                connection, tenant="borealis", client_key="k", **steer
            )
        overallocation.steer_loan(connection, tenant="doldrum", client_key="k", **steer)

    server.do(Action.RECALL, "network", target=1)
    for line in server.bound("a"):
        server.release(line)
    server.tick(200)
    assert not server.state.loans
    told(database, server)
    assert [(None, None, *agreed)] == loans_of(database, "aurora")
    assert [] == loans_of(database, "cirrus")


def test_of_the_newest_an_isp_sees_its_own(database: Database) -> None:
    """A limit counts what it may see, and not what others asked for."""
    server = borrowing()

    def newest(tenant: str) -> list[int]:
        told(database, server)
        with database.read.connect() as connection:
            rows = overallocation.requests(connection, tenant=tenant, limit=1)
        return [row["number"] for row in rows]

    assert [2] == newest("aurora")
    server.do(Action.RAISE, "borealis", pool="b", size=16)
    assert [3] == newest("borealis")
    assert [2] == newest("aurora")


def test_a_number_is_told_to_its_parties_alone(database: Database) -> None:
    """Whether it waits or has ended: to others there is no such request. Who was asked
    is told that its word comes too late."""
    server = borrowing()
    server.do(Action.CANCEL, "aurora", target=2)
    told(database, server)
    word = {"actor": "csr", "action": Action.DENY, "now": START, "client_key": "k"}
    with database.write.begin() as connection:
        for number in (1, 2, 99):
            with pytest.raises(CommandRefusedError) as refused:
                overallocation.decide_request(
                    connection, tenant="cirrus", request=number, **word
                )
            assert "unknown" == refused.value.code
            assert f"there is no request {number}" == str(refused.value)
        overallocation.decide_request(connection, tenant="borealis", request=2, **word)


def test_who_is_asked_is_not_told_of_the_others(database: Database) -> None:
    """Which lenders there are beside it, what they could spare and what they said is
    for the one who asks and the Network Provider."""
    isps = [{"name": n, "lend_policy": "ask"} for n in ("aurora", "borealis", "cirrus")]
    pools = [
        pool("a", "aurora", "10.0.0.0/26", burst=96),
        pool("b", "borealis", "10.0.1.0/26", lending=32),
        pool("c", "cirrus", "10.0.3.0/26", lending=32),
    ]
    server = Leasing(network(isp=isps, pool=pools, reserve=[]))
    server.fill("a", 61)
    server.bind("a-90")
    server.do(Action.DENY, "cirrus", target=1, reason="none of your business")

    def seen(tenant: str) -> tuple[list[str], list[str], list[str], list[str]]:
        told(database, server)
        with database.read.connect() as connection:
            shown = overallocation.request(connection, tenant=tenant, number=1)
            (listed,) = overallocation.requests(connection, tenant=tenant)
        assert shown is not None
        assert listed.items() <= shown.items()
        sources = [option["source"] for option in listed["options"]]
        words = [word["party"] for word in shown["approvals"]]
        return sources, listed["parties"], words, listed["blocks"]

    assert (["b"], ["borealis"], ["cirrus"], []) == seen("aurora") == seen("network")
    assert (["b"], ["borealis"], [], []) == seen("borealis")
    assert ([], [], ["cirrus"], []) == seen("cirrus")
    server.do(Action.APPROVE, "borealis", target=1)
    *_, blocks = seen("borealis")
    assert len(blocks) == 1
    assert ([], [], ["cirrus"], []) == seen("cirrus")


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
