"""Lending where its rules meet: caps that fall, guarantees that rise, many lenders."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from leasing import Leasing, network, pool

from config.network import Network
from ipserver.answer import Ack
from ipserver.block import BlockState
from ipserver.holdings import terms_of
from ipserver.over_allocation_change import Change
from ipserver.over_allocation_command import Action, Result
from ipserver.over_allocation_request import RequestState

OWN = 61
"""Addresses of a pool's /26 that can be leased: not its ends, not its router."""


def policy(**values: object) -> list[dict[str, object]]:
    """The network's one policy, with blocks of 16."""
    return [{"block_prefix_length": 28, **values}]


def change(server: Leasing, net: Network) -> None:
    """Apply the network file again."""
    server.network = net
    server.allocation.change_network(net, server.now)
    server.manager.agree(net, server.now)
    server.commit()


def let(server: Leasing, seconds: int) -> None:
    """Let time pass, with clients that renew as they do."""
    for _ in range(seconds // 60):
        server.jump(59)
        server.tick()
        for line in list(server.leases):
            if 0 < server.leases[line][1] - server.now < 900:
                server.renew(line)


def one_lender(owner: str = "borealis", **values: object) -> Leasing:
    """A server where only the other ISP can help, with one block."""
    return Leasing(lender_network(owner, **values))


def lender_network(owner: str = "borealis", **values: object) -> Network:
    """Two pools; the second lends a block of 16. A third ISP has no part in it."""
    pools = [
        pool("a", "aurora", "10.0.0.0/26", burst=96, lease_seconds=3600),
        pool("b", owner, "10.0.1.0/26", guaranteed=32, burst=96, lending=16),
    ]
    isps: list[dict[str, Any]] = [
        {"name": "aurora"},
        {"name": "borealis", **values},
        {"name": "cirrus"},
    ]
    return network(pool=pools, isp=isps, reserve=[], over_allocation=policy())


def test_many_lenders_do_not_hide_the_reserve() -> None:
    """A guarantee is kept from it, however many pools could spare more."""
    pools = [pool("a", "aurora", "10.0.0.0/28", guaranteed=32, burst=96)]
    pools += [
        pool(f"l{n}", "borealis", f"10.1.{n}.0/24", lending=128) for n in range(33)
    ]
    server = Leasing(network(pool=pools))
    server.fill("a", 20)
    server.tick(3)
    assert ["r"] == [loan.lender for loan in server.state.loans.values()]


def test_small_prefixes_do_not_hide_the_blocks_that_can_be_lent() -> None:
    """Blocks shorter than the network's are not lent; the others beside them are."""
    lender = pool("b", "borealis", "10.0.1.0/26", lending=32)
    lender["prefixes"] += [f"10.0.9.{first}/29" for first in (0, 8, 16)]
    borrower = pool("a", "aurora", "10.0.0.0/26", burst=96)
    server = Leasing(
        network(pool=[borrower, lender], reserve=[], over_allocation=policy())
    )
    assert OWN + 5 == server.fill("a", OWN + 5)
    assert ["b"] == [loan.lender for loan in server.state.loans.values()]


def test_a_pool_above_a_lowered_cap_gives_back_once_and_not_every_second() -> None:
    """I3 and I11: what is called off again and again is written again and again; it
    waits for room, and with the term it goes.
    """
    server = Leasing(network())
    for _ in range(20):
        server.fill("a", 100)
        server.tick()
    before = pool("b", "borealis", "10.0.1.0/26", guaranteed=32, burst=96, lending=32)
    lowered = pool("a", "aurora", "10.0.0.0/26", guaranteed=32, burst=32)
    change(server, network(pool=[lowered, before]))
    server.steps.clear()
    server.tick(60)
    names = [event.name for step in server.steps for event in step.change.events]
    assert 1 == names.count("loan.return_requested")
    assert 0 == names.count("loan.reactivated")
    assert len(server.bound("a")) > 64
    let(server, 8 * 86_400)
    assert server.state.tally("a").capacity <= 64


def test_an_extension_gives_a_term_to_a_loan_that_runs_out() -> None:
    """The lender says yes when bindings have stopped already: it is not undone."""
    server = one_lender(lend_policy="ask")
    server.fill("a", OWN)
    server.bind("a-90")
    (request,) = server.state.requests
    server.do(Action.APPROVE, "borealis", target=request)
    server.fill("a", OWN + 5)
    (number,) = server.state.loans
    while server.state.loans[number].state is not BlockState.ATTRITION:
        let(server, 60)
    assert Result.DONE == server.do(Action.EXTEND, "borealis", target=number)
    server.tick(5)
    loan = server.state.loans[number]
    assert (BlockState.ACTIVE, "") == (loan.state, loan.cause)
    assert loan.term_ends_at > server.now + 6 * 86_400
    assert server.state.blocks[loan.first].not_after == loan.term_ends_at


def test_a_lender_cannot_extend_what_its_borrower_gives_back() -> None:
    """Nobody is made to go on with a loan, and to pay for it."""
    server = one_lender()
    server.fill("a", OWN + 5)
    (number,) = server.state.loans
    assert Result.DONE == server.do(Action.RETURN, "aurora", target=number)
    assert Result.OVER == server.do(Action.EXTEND, "borealis", target=number)
    assert "return" == server.state.loans[number].cause


def asked_only(guaranteed: int, **values: object) -> Network:
    """A reserve that gives nothing by itself but to a guarantee."""
    pools = [
        pool("a", "aurora", "10.0.0.0/26", guaranteed=guaranteed, burst=96),
        pool("b", "borealis", "10.0.1.0/26"),
    ]
    return network(pool=pools, over_allocation=policy(reserve_auto_max=0, **values))


def test_a_guarantee_does_not_wait_for_people_that_were_asked_before() -> None:
    """A pool that comes below it while a request is with people is served at once."""
    server = Leasing(asked_only(0))
    server.fill("a", OWN)
    server.bind("a-90")
    (request,) = server.state.requests.values()
    assert RequestState.PENDING_APPROVAL is request.state
    change(server, asked_only(96))
    server.tick(2)
    assert RequestState.FULFILLED is server.ended(request.number).state
    assert {"r"} == {loan.lender for loan in server.state.loans.values()}


def test_a_guarantee_is_not_behind_its_isp_s_other_requests() -> None:
    """So many open requests as an ISP may have do not bar a pool that is entitled."""
    pools = [pool(f"p{n}", "aurora", f"10.0.{n}.0/28", burst=96) for n in range(3)]
    pools[2]["guaranteed"] = 32
    server = Leasing(
        network(
            pool=pools,
            isp=[{"name": "aurora"}],
            reserve=[{"name": "r", "prefixes": ["10.0.200.0/26"]}],
            over_allocation=policy(reserve_auto_max=0, pending_max=2),
        )
    )
    for place in range(3):
        server.fill(f"p{place}", 13)
        server.bind(f"p{place}-50")
        server.tick(2)
    assert ["p0", "p1"] == [r.pool for r in server.state.requests.values()]
    assert ["p2"] == [loan.borrower for loan in server.state.loans.values()]


def test_a_guarantee_that_is_no_whole_block_is_kept_by_one() -> None:
    """I5: blocks change hands, not addresses, so the last one is given whole."""
    rows = pool("a", "aurora", "10.0.0.0/26", guaranteed=72)
    server = Leasing(
        network(pool=[rows], isp=[{"name": "aurora"}], over_allocation=policy())
    )
    assert 72 == server.fill("a", 72)
    assert 80 == server.state.tally("a").capacity


def test_a_guarantee_is_kept_by_a_lender_where_nothing_comes_back() -> None:
    """The reserve's last block was converted: who agreed beforehand lends."""
    pools = [
        pool("a", "aurora", "10.0.0.0/26", guaranteed=80, burst=96),
        pool("b", "borealis", "10.0.1.0/26", lending=32),
        pool("c", "cirrus", "10.0.3.0/26", burst=96),
    ]
    isps = [{"name": name} for name in ("aurora", "borealis", "cirrus")]
    reserve = [{"name": "r", "prefixes": ["10.0.2.0/28"]}]
    server = Leasing(
        network(
            pool=pools,
            isp=isps,
            reserve=reserve,
            over_allocation=policy(emergency_percent=0, rationing_percent=0),
        )
    )
    server.fill("c", OWN + 1)
    (number,) = server.state.loans
    assert Result.DONE == server.do(Action.CONVERT, "network", target=number)
    server.tick()
    assert OWN + 5 == server.fill("a", OWN + 5)
    assert ["b"] == [loan.lender for loan in server.state.loans.values()]


@pytest.mark.parametrize(
    ("tenant", "action", "result"),
    [
        ("borealis", Action.RECALL, Result.UNKNOWN),
        ("cirrus", Action.RECALL, Result.DONE),
        ("aurora", Action.RETURN, Result.DONE),
    ],
)
def test_who_has_a_pool_now_steers_its_loans(
    tenant: str, action: Action, result: Result
) -> None:
    """I10: an ISP that sold its pool has no word in it any more."""
    server = one_lender()
    server.fill("a", OWN + 5)
    (number,) = server.state.loans
    change(server, lender_network("cirrus"))
    assert result == server.do(action, tenant, target=number)


def test_others_are_not_told_that_a_request_exists() -> None:
    """To an ISP that is neither asking nor asked there is no such request."""
    server = one_lender(lend_policy="ask")
    server.fill("a", OWN)
    server.bind("a-90")
    (number,) = server.state.requests
    assert Result.UNKNOWN == server.do(Action.APPROVE, "cirrus", target=number)
    assert Result.NOT_ASKED == server.do(Action.APPROVE, "aurora", target=number)
    assert Result.DONE == server.do(Action.DENY, "borealis", target=number)


def test_a_lease_is_as_long_as_its_area_says_where_its_pool_does_not() -> None:
    """The low mark lasts for one lease: of the time that clients get."""
    net = network(area=[{"name": "harbour", "lease_seconds": 86_400}])
    holders = terms_of(net).holders
    assert 86_400 == holders["a"].lease_seconds
    assert 3600 == terms_of(network()).holders["a"].lease_seconds


def test_nobody_comes_into_a_block_that_is_found_empty_before_that_is_durable() -> None:
    """An old client is late, a new one comes, while the record is on its way to the
    disk: the block is closed afterwards, with nobody in it.
    """
    server = one_lender()
    server.fill("a", OWN + 5)
    (number,) = server.state.loans
    loan = server.state.loans[number]
    inside = range(loan.first, loan.last + 1)
    late = [line for line, lease in server.leases.items() if lease[0] in inside]
    for line in set(server.bound("a")) - set(late):
        server.release(line)
    assert Result.DONE == server.do(Action.RECALL, "borealis", target=number)
    server.jump(loan.lease_seconds + 1)
    server.manager.tick(server.now)
    assert BlockState.QUARANTINE is server.state.loans[number].state
    assert not isinstance(server.renew(late[0]), Ack)
    server.fill("a", OWN + 5)
    assert not {server.leases[line][0] for line in server.bound("a")} & {*inside}
    server.commit()
    assert [] == server.allocation.audit()


def test_a_converted_block_of_a_pool_that_is_gone_is_lent_when_it_is_empty() -> None:
    """It is the reserve's again, and its clients have their leases for a while."""
    pools = [
        pool("a", "aurora", "10.0.0.0/26", burst=96),
        pool("c", "cirrus", "10.0.3.0/26", burst=96),
    ]
    rows: dict[str, Any] = {
        "isp": [{"name": "aurora"}, {"name": "cirrus"}],
        "reserve": [{"name": "r", "prefixes": ["10.0.2.0/28"]}],
        "over_allocation": policy(emergency_percent=0, rationing_percent=0),
    }
    server = Leasing(network(pool=pools, **rows))
    server.fill("c", OWN + 5)
    (number,) = server.state.loans
    assert Result.DONE == server.do(Action.CONVERT, "network", target=number)
    change(server, network(pool=pools[:1], **rows))
    assert OWN == server.fill("a", OWN + 1)
    server.tick(3)
    assert {} == server.state.loans
    let(server, 8 * 3600)
    assert OWN + 1 == server.fill("a", OWN + 1)
    assert ["a"] == [loan.borrower for loan in server.state.loans.values()]


@pytest.mark.parametrize("borrower", [True, False])
def test_a_block_at_rest_survives_a_clock_set_back_and_another_prefix(
    borrower: bool,
) -> None:
    """After such a start leases that were over may count again: nobody extends them,
    and the block goes home when they have ended.
    """
    server = one_lender()
    server.fill("a", OWN + 5)
    (number,) = server.state.loans
    block = server.state.blocks[server.state.loans[number].first]
    server.now += 2000
    assert Result.DONE == server.do(Action.RECALL, "borealis", target=number)
    server.tick(2)
    assert BlockState.QUARANTINE is server.state.loans[number].state
    server.now -= 5000
    server.restart()
    assert server.allocation.block_usage(block).leased
    net = lender_network()
    rows = [
        msgspec.structs.replace(row, prefixes=("10.0.1.0/27", "10.0.1.32/27"))
        for row in net.pool
        if row.name == "b"
    ]
    kept = [row for row in net.pool if row.name == "a" and borrower]
    services = [s for s in net.service if borrower or s.isp != "aurora"]
    net = msgspec.structs.replace(net, pool=(*kept, *rows), service=tuple(services))
    change(server, net)
    assert server.fill("b", OWN) <= OWN - 16
    let(server, 3 * 3600)
    assert number not in server.state.loans
    assert 64 == server.state.tally("b").capacity
    assert [] == server.allocation.audit()


def test_who_is_asked_is_asked_for_all_that_a_request_grew_to() -> None:
    """Its time to answer stays; who has answered has answered for what it was asked."""
    server = Leasing(asked_only(0))
    server.fill("a", OWN)
    server.bind("a-90")
    (request,) = server.state.requests.values()
    assert (16, 1) == (request.size, request.options[0].blocks)
    server.tick(100)
    assert Result.DONE == server.do(Action.RAISE, "aurora", pool="a", size=32)
    (amended,) = server.state.requests.values()
    assert (32, 2) == (amended.size, amended.options[0].blocks)
    assert (request.since, request.state) == (amended.since, amended.state)
    assert amended.inputs != request.inputs
    server.do(Action.APPROVE, "network", target=request.number)
    assert (32, 32) == (
        server.ended(request.number).granted,
        server.state.tally("a").borrowed,
    )


@pytest.mark.parametrize("queued", [False, True])
def test_a_request_of_a_pool_that_is_sold_ends_and_its_heir_asks_anew(
    queued: bool,
) -> None:
    """What others agreed to, they agreed to for who asked them."""
    server = one_lender(lend_policy="ask")
    server.fill("a", OWN)
    server.bind("a-90")
    (request,) = server.state.requests.values()
    if queued:
        values: dict[str, Any] = {"state": RequestState.QUEUED, "options": ()}
        waiting = msgspec.structs.replace(request, **values)
        server.state.apply(Change(int(server.now), requests=(waiting,)))
    rows = [
        msgspec.structs.replace(row, isp="cirrus") if row.name == "a" else row
        for row in server.network.pool
    ]
    change(server, msgspec.structs.replace(server.network, pool=tuple(rows)))
    server.tick(40)
    ended = server.ended(request.number)
    assert (RequestState.CANCELLED, "pool_sold", "aurora") == (
        ended.state,
        ended.reason,
        ended.tenant,
    )
    (anew,) = server.state.requests.values()
    assert ("a", "cirrus") == (anew.pool, anew.tenant)
    assert Result.UNKNOWN == server.do(Action.CANCEL, "aurora", target=anew.number)


def test_who_sold_a_pool_that_it_was_asked_about_has_no_word_any_more() -> None:
    """I10: its heir is asked instead."""
    server = one_lender(lend_policy="ask")
    server.fill("a", OWN)
    server.bind("a-90")
    (number,) = server.state.requests
    sold = lender_network("cirrus")
    isps = tuple(msgspec.structs.replace(row, lend_policy="ask") for row in sold.isp)
    change(server, msgspec.structs.replace(sold, isp=isps))
    server.tick(2)
    assert Result.UNKNOWN == server.do(Action.APPROVE, "borealis", target=number)
    assert Result.DONE == server.do(Action.APPROVE, "cirrus", target=number)
    assert ["cirrus"] == [x.lender_tenant for x in server.state.loans.values()]
