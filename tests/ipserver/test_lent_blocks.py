"""A network that changes while addresses are lent: nobody loses one, nobody has two."""

from __future__ import annotations

from typing import Any

import pytest
from leasing import Leasing, network, pool

from config.network import Network
from ipserver.answer import Ack
from ipserver.over_allocation_command import Action, Result

ISPS = [
    {"name": "aurora"},
    {"name": "borealis", "lend_policy": "auto"},
    {"name": "corona"},
]
A = pool("a", "aurora", "10.0.0.0/26", burst=96)
B = pool("b", "borealis", "10.0.1.0/26", lending=32)
C = pool("c", "corona", "10.0.3.0/26")
RESERVE = {"name": "r", "prefixes": ["10.0.2.0/26"]}


def served(*pools: dict[str, Any], reserve: Any = ()) -> Network:
    """A network of these pools."""
    return network(isp=ISPS, pool=list(pools), reserve=list(reserve))


def change(server: Leasing, net: Network) -> None:
    """Apply another network to a server that runs."""
    server.network = net
    server.allocation.change_network(net, server.now)
    server.manager.agree(net, server.now)
    server.commit()
    assert [] == server.allocation.audit()


def lent(lender: str) -> Leasing:
    """A server of which pool a has borrowed a block, and uses it."""
    pools = (A, B, C)
    server = Leasing(served(*pools, reserve=[RESERVE] if lender == "r" else []))
    server.fill("a", 70)
    (loan,) = server.state.loans.values()
    assert (lender, "a") == (loan.lender, loan.borrower)
    return server


def borrowed(server: Leasing, first: int, last: int) -> dict[str, tuple[int, int]]:
    """The lines of pool a that have addresses of a block, and until when."""
    leases = ((line, server.leases[line]) for line in server.bound("a"))
    return {line: lease for line, lease in leases if first <= lease[0] <= last}


@pytest.mark.parametrize("lender", ["b", "r"])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_lender_s_prefix_may_grow(lender: str, restarts: bool) -> None:
    """The lent block stays with its borrower, whose clients go on."""
    server = lent(lender)
    (loan,) = server.state.loans.values()
    clients = borrowed(server, loan.first, loan.last)
    assert clients
    bigger = B | {"prefixes": ["10.0.1.0/25"]} if lender == "b" else B
    reserve = [RESERVE | {"prefixes": ["10.0.2.0/25"]}] if lender == "r" else []
    change(server, served(A, bigger, C, reserve=reserve))
    if restarts:
        server.restart()
    assert all(isinstance(server.renew(line), Ack) for line in clients)
    server.fill("b", 100)
    addresses = [address for address, ends in server.leases.values()]
    assert len(addresses) == len(set(addresses))
    assert Result.DONE == server.do(Action.RECALL, "network", target=loan.number)
    for line in server.bound("a"):
        server.release(line)
    server.tick(200)
    assert {} == server.state.loans
    assert [] == server.allocation.audit()


@pytest.mark.parametrize("lender", ["b", "r"])
@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_pool_that_is_gone_has_borrowed_comes_home(
    lender: str, restarts: bool
) -> None:
    """When the last lease in it has ended, and not days later; nobody has it before."""
    server = lent(lender)
    (loan,) = server.state.loans.values()
    clients = borrowed(server, loan.first, loan.last)
    ends = max(end for _, end in clients.values())
    net = served(B, C, reserve=[RESERVE] if lender == "r" else [])
    if restarts:
        server.network = net
        server.restart()
    else:
        change(server, net)
    while server.state.loans:
        assert server.now < ends + 1000
        server.tick(10)
        server.fill("b", 100)
        others = (lease[0] for line, lease in server.leases.items() if line[0] == "b")
        believed = {address for address, end in clients.values() if end > server.now}
        assert believed.isdisjoint(others)
    assert [] == server.allocation.audit()


def test_a_lent_block_stays_while_the_file_moves_its_prefix_about() -> None:
    """First to its borrower, then to a third pool: its borrower's clients go on."""
    server = lent("b")
    (loan,) = server.state.loans.values()
    clients = borrowed(server, loan.first, loan.last)
    lender = B | {"prefixes": ["10.0.4.0/26"]}
    change(
        server, served(A | {"prefixes": [*A["prefixes"], *B["prefixes"]]}, lender, C)
    )
    third = C | {"prefixes": [*C["prefixes"], *B["prefixes"]]}
    change(server, served(A, lender, third))
    assert all(isinstance(server.renew(line), Ack) for line in clients)


@pytest.mark.parametrize("heir", ["c", "r"])
def test_the_prefix_of_an_isp_that_leaves_is_its_heir_s_when_it_comes_home(
    heir: str,
) -> None:
    """The borrower keeps what it has borrowed until then."""
    server = lent("b")
    (loan,) = server.state.loans.values()
    clients = borrowed(server, loan.first, loan.last)
    prefixes = ["10.0.3.0/26", "10.0.1.0/26"]
    if heir == "c":
        net = served(A, C | {"prefixes": prefixes})
    else:
        net = served(A, C, reserve=[RESERVE | {"prefixes": ["10.0.1.0/26"]}])
    change(server, net)
    assert all(isinstance(server.renew(line), Ack) for line in clients)
    server.restart()
    assert all(isinstance(server.renew(line), Ack) for line in clients)
    assert Result.DONE == server.do(Action.RECALL, "network", target=loan.number)
    for line in server.bound("a"):
        server.release(line)
    server.tick(200)
    assert {} == server.state.loans
    assert heir == server.state.blocks[loan.first].holder
    assert 64 * (2 if heir == "c" else 1) == server.state.tally(heir).capacity
    if heir == "c":
        assert 122 == server.allocation.pool_usage("c").size
    assert [] == server.allocation.audit()


def test_a_block_cut_anew_while_its_loan_is_on_the_way_to_the_disk() -> None:
    """What was told of the old block does not touch the new one."""
    server = Leasing(served(A, B, C))
    server.fill("a", 61)
    server.bind("a-90", commit=False)
    (first,) = [first for first, block in server.state.blocks.items() if block.lent]
    steps = server.manager.take()
    server.network = network(
        isp=ISPS,
        pool=[A, C | {"prefixes": ["10.0.3.0/26", "10.0.1.0/26"]}],
        reserve=[],
        over_allocation=[{"block_prefix_length": 27}],
    )
    server.allocation.change_network(server.network, server.now)
    server.manager.agree(server.network, server.now)
    for step in steps:
        server.manager.durable(step, server.now)
    server.commit()
    server.tick(3)
    assert {} == server.state.loans
    assert first not in server.state.blocks
    assert 122 == server.allocation.pool_usage("c").size
    assert [] == server.allocation.audit()


@pytest.mark.parametrize("restarts", [False, True])
def test_a_promised_block_whose_prefix_goes_away_is_no_trouble(restarts: bool) -> None:
    """Whether the network's answer is awaited or the server starts anew."""
    server = Leasing(served(A, B, C), connects=False)
    server.fill("a", 61)
    server.bind("a-90")
    assert server.state.loans
    net = served(A, C)
    if restarts:
        server.network = net
        server.restart()
    else:
        change(server, net)
    server.tick(70)
    assert {} == server.state.loans
    assert [] == server.allocation.audit()
