"""What happens to requests and loans, story by story."""

from __future__ import annotations

from typing import Any

import pytest
from leasing import START, Leasing, network, pool, replayed
from msgspec import structs

from config.network import Network
from ipserver.answer import Ack, Park
from ipserver.block import TRANSITIONS as BLOCK_TRANSITIONS
from ipserver.block import BlockEvent, BlockState, NoSuchTransitionError
from ipserver.over_allocation_change import Change
from ipserver.over_allocation_command import Action, Command, Result
from ipserver.over_allocation_request import TERMINAL, RequestEvent, RequestState
from ipserver.over_allocation_request import TRANSITIONS as REQUEST_TRANSITIONS
from ipserver.space import CONDITIONS

OWN = 61
"""Addresses of a pool's /26 that can be leased: not its ends, not its router."""


def policy(**values: object) -> list[dict[str, object]]:
    """The network's one policy, with blocks of 16."""
    return [{"block_prefix_length": 28, **values}]


def isps(**borealis: object) -> list[dict[str, object]]:
    """Two ISPs, of which the lender has terms of its own."""
    return [{"name": "aurora"}, {"name": "borealis", **borealis}]


def ten_seconds(server: Leasing) -> None:
    """Let ten seconds pass, with one look at all pools in them."""
    server.jump(9)
    server.tick()


def test_the_tables_are_total_and_every_state_can_be_left_or_is_an_end() -> None:
    """Each state and event has an answer, each state but an end leads on."""
    assert len(BlockState) * len(BlockEvent) == len(BLOCK_TRANSITIONS)
    assert len(RequestState) * len(RequestEvent) == len(REQUEST_TRANSITIONS)
    assert set(BlockState) == set(CONDITIONS)
    left = {state for (state, _), to in BLOCK_TRANSITIONS.items() if to is not None}
    assert set(BlockState) == left
    assert set(BlockState) == set(filter(None, BLOCK_TRANSITIONS.values()))
    ended = {state for (state, _), to in REQUEST_TRANSITIONS.items() if to is not None}
    assert set(RequestState) - TERMINAL == ended


def test_what_must_not_happen_is_a_bug_and_said_so() -> None:
    """An event that the table does not have raises."""
    block = next(iter(Leasing(network()).state.blocks.values()))
    with pytest.raises(NoSuchTransitionError, match="drain of a block that is free"):
        block.follow(BlockEvent.DRAIN, START)


def test_a_parked_client_is_answered_when_the_block_is_there() -> None:
    """The first client too many waits for its block, and for nobody else's word."""
    server = Leasing(network())
    server.fill("a", OWN)
    parked = server.bind("a-90", commit=False)
    assert isinstance(parked, Park)
    assert not server.granted
    server.commit()
    assert [parked.request] == server.granted
    assert isinstance(server.bind("a-90"), Ack)


def test_who_comes_while_a_request_is_granted_waits_for_that_one() -> None:
    """The threshold asked, and the grant is on its way to the disk: who comes then is
    answered with it, and no second request is raised, by a client or by the clock.
    """
    server = Leasing(network())
    server.fill("a", OWN - 1)
    server.jump(1)
    server.manager.tick(server.now)
    (number,) = server.state.requests
    assert isinstance(server.bind("a-88", commit=False), Ack)  # the last one
    waiting = {server.bind("a-90", commit=False)}
    while not server.granted:
        steps = server.manager.take()
        waiting.add(server.bind("a-91", commit=False))
        server.manager.tick(server.now + 1)
        for step in steps:
            server.granted += server.manager.durable(step, server.now)
    assert {Park(str(number))} == waiting
    assert [str(number)] == server.granted
    assert number == server.state.last_request
    assert isinstance(server.bind("a-90"), Ack)


def test_nothing_is_leased_from_a_block_before_its_loan_is_durable() -> None:
    """I6: while the disk is slow the block is nobody's, and a death forgets it all."""
    server = Leasing(network())
    server.fill("a", OWN)
    assert isinstance(server.bind("a-90", commit=False), Park)
    assert not isinstance(server.bind("a-91", commit=False), Ack)
    server.restart()
    assert {} == server.state.loans
    assert isinstance(server.bind("a-90"), Ack)


def test_leases_in_a_borrowed_block_are_short() -> None:
    """Half of the notice of a recall, so that the block drains without a trick."""
    server = Leasing(network())
    server.fill("a", OWN)
    answer = server.bind("a-90")
    assert isinstance(answer, Ack)
    assert answer.lease.seconds <= 1800


def test_a_pool_at_its_cap_is_denied_and_waits_longer_each_time() -> None:
    """5, 10, 20 minutes; an ISP that asks without end gets as many decisions."""
    server = Leasing(network(pool=[pool("a", "aurora", "10.0.0.0/26")]))
    server.fill("a", OWN)
    for second in range(1300):
        server.tick()
        if second % 5 == 0:
            server.bind("a-90")
    denied = [
        (request.raised_at - START, request.reason, request.retry_after)
        for step in server.steps
        for request in step.change.requests
        if request.state is RequestState.DENIED
    ]
    waits = [wait for _, _, wait in denied]
    assert [300, 600, 1200] == waits
    assert {"cap"} == {reason for _, reason, _ in denied}


def test_other_terms_end_the_wait_after_a_denial() -> None:
    """The cap was in the way and is raised: the next client too many is served."""
    server = Leasing(network(pool=[pool("a", "aurora", "10.0.0.0/26")]))
    server.fill("a", OWN)
    server.bind("a-90")
    assert server.state.memory("a").denied_until > server.now + 200
    server.network = network(pool=[pool("a", "aurora", "10.0.0.0/26", burst=96)])
    server.allocation.change_network(server.network, server.now)
    server.manager.agree(server.network, server.now)
    server.tick()  # an ISP's requests are decided one a second
    assert isinstance(server.bind("a-90"), Ack)


def test_who_asks_without_end_never_holds_back_a_pool_below_its_guarantee() -> None:
    """A burster has taken all but the emergency slice; the guarantee is kept from
    that at once, and by recalls within the notice, with nobody asked (I5).
    """
    net = network(
        pool=[
            pool("a", "aurora", "10.0.0.0/26", burst=1000),
            pool("b", "borealis", "10.0.1.0/28", guaranteed=64),
        ],
        reserve=[{"name": "r", "prefixes": ["10.0.2.0/26"]}],
        over_allocation=policy(rationing_percent=0, emergency_percent=25),
    )
    server = Leasing(net)
    server.fill("a", OWN)
    for _ in range(200):
        server.tick()
        server.fill("a", 200)
    assert 48 == server.state.tally("a").borrowed
    for _ in range(560):
        server.fill("b", 60)
        ten_seconds(server)
        if server.state.tally("b").capacity >= 64:
            break
        for line in server.bound("a"):
            if server.leases[line][1] - server.now < 900:
                server.renew(line)
    assert server.state.tally("b").capacity >= 64


def test_two_bursters_come_to_equal_shares_and_a_late_guarantee_is_served() -> None:
    """Grants alternate by weighted share; who comes late gets what it was promised."""
    net = network(
        isp=[{"name": "aurora"}, {"name": "borealis"}, {"name": "cirrus"}],
        pool=[
            pool("a", "aurora", "10.0.0.0/27", burst=500),
            pool("b", "borealis", "10.0.1.0/27", burst=500),
            pool("c", "cirrus", "10.0.3.0/28", guaranteed=32),
        ],
        reserve=[{"name": "r", "prefixes": ["10.0.2.0/25"]}],
        over_allocation=policy(rationing_percent=0, emergency_percent=13),
    )
    server = Leasing(net)
    for _ in range(60):
        server.fill("a", 90)
        server.fill("b", 90)
        server.tick()
    a, b = (server.state.tally(name).borrowed for name in "ab")
    assert abs(a - b) <= 16, (a, b)
    assert a + b >= 96
    server.fill("c", 30)
    server.tick()
    assert 32 == server.state.tally("c").capacity


@pytest.mark.parametrize(("weight", "served"), [(1, "b"), (3, "a")])
def test_the_last_block_goes_to_the_smaller_share_by_weight(
    weight: int, served: str
) -> None:
    """Two pools run out in one second: 29 addresses at weight 3 are less than 13."""
    net = network(
        isp=[{"name": "aurora", "weight": weight}, {"name": "borealis"}],
        pool=[
            pool("a", "aurora", "10.0.0.0/27", burst=500),
            pool("b", "borealis", "10.0.1.0/28", burst=500),
        ],
        reserve=[{"name": "r", "prefixes": ["10.0.2.0/28"]}],
        over_allocation=policy(rationing_percent=0, emergency_percent=0),
    )
    server = Leasing(net)
    server.fill("a", 29)
    server.fill("b", 13)
    server.tick()
    assert {served: 16} == {
        name: server.state.tally(name).borrowed
        for name in "ab"
        if server.state.tally(name).borrowed
    }


@pytest.mark.parametrize(("earlier", "served"), [(60, "b"), (1500, "a")])
def test_who_waits_long_enough_comes_before_a_higher_class(
    earlier: int, served: str
) -> None:
    """One class up every ten minutes: one block comes home, and two wait for it."""
    net = network(
        isp=[
            {"name": "aurora"},
            {"name": "borealis", "priority": 1},
            {"name": "cirrus"},
        ],
        pool=[
            pool(name, tenant, f"10.0.{place}.0/28", burst=64)
            for place, (name, tenant) in enumerate(
                [("a", "aurora"), ("b", "borealis"), ("c", "cirrus")]
            )
        ],
        reserve=[{"name": "r", "prefixes": ["10.0.9.0/28"]}],
        over_allocation=policy(
            rationing_percent=0, emergency_percent=0, warn_percent=81
        ),
    )
    server = Leasing(net)

    def wait(seconds: int) -> None:
        for _ in range(0, seconds, 10):
            ten_seconds(server)
            for name in "abc":
                for line in server.bound(name):
                    if server.leases[line][1] - server.now < 600:
                        server.renew(line)

    server.fill("c", 14)
    (loan,) = server.state.loans
    assert Result.DONE == server.do(Action.RECALL, "network", target=loan)
    server.fill("a", 13)
    server.bind("a-90")
    wait(earlier)
    server.fill("b", 13)
    server.bind("b-90")
    waiting = {r.pool: r.state for r in server.state.requests.values()}
    assert {"a": RequestState.QUEUED, "b": RequestState.QUEUED} == waiting
    for line in server.bound("c"):
        server.release(line)
    wait(200)
    assert 16 == server.state.tally(served).borrowed


def test_a_high_mark_must_last_before_a_request_is_raised() -> None:
    """Half a minute; a pool that falls below the clearing mark begins anew."""
    server = Leasing(network())
    server.fill("a", 56)
    server.tick(30)
    assert {} == server.state.requests
    server.tick()
    assert 1 == server.state.last_request


def nobody_lends(**values: object) -> Leasing:
    """A server where only the reserve can help, and only if it is asked."""
    pools = [
        pool("a", "aurora", "10.0.0.0/26", burst=96),
        pool("b", "borealis", "10.0.1.0/26"),
    ]
    return Leasing(
        network(pool=pools, over_allocation=policy(reserve_auto_max=0, **values))
    )


def lent(server: Leasing) -> int:
    """Let pool a borrow a block of b, and give the loan's number."""
    server.fill("a", OWN + 5)
    (loan,) = [loan for loan in server.state.loans.values() if loan.lender == "b"]
    return loan.number


def lender_only(**values: object) -> Leasing:
    """A server where only the other ISP can help, with one block and no more."""
    pools = [
        pool("a", "aurora", "10.0.0.0/26", burst=96, lease_seconds=3600),
        pool("b", "borealis", "10.0.1.0/26", guaranteed=32, burst=96, lending=16),
    ]
    rows = {"pool": pools, "reserve": [], "over_allocation": policy()}
    return Leasing(network(**rows | values))


def test_a_lender_in_need_has_its_addresses_back_in_time() -> None:
    """I4: in the middle of a loan the lender fills up; the block is home within the
    notice and one lease, and no client was refused a renewal.
    """
    server = lender_only()
    number = lent(server)
    deadline = None
    for _ in range(570):
        server.fill("b", 60)
        ten_seconds(server)
        for line in server.bound("a"):
            if server.leases[line][1] - server.now < 600:
                assert isinstance(server.renew(line), Ack)
        loan = server.state.loans.get(number)
        if loan is None:
            break
        if loan.cause and deadline is None:
            deadline = server.now + 3600 + loan.lease_seconds
    assert deadline is not None
    assert number not in server.state.loans
    assert server.now <= deadline
    assert 64 == server.state.tally("b").capacity
    assert server.fill("b", OWN) > 44


def test_a_loan_goes_back_when_it_is_not_needed_and_nobody_asks_for_it_again() -> None:
    """I11: the return of a block raises no request within one lease time."""
    server = lender_only(
        pool=[
            pool("a", "aurora", "10.0.0.0/26", burst=96, lease_seconds=600),
            pool("b", "borealis", "10.0.1.0/26", lending=16),
        ]
    )
    number = lent(server)
    for line in server.bound("a")[20:]:
        server.release(line)
    raised = server.state.last_request
    for _ in range(750):
        ten_seconds(server)
        for line in server.bound("a"):
            if server.leases[line][1] - server.now < 300:
                server.renew(line)
    assert number not in server.state.loans
    assert raised == server.state.last_request
    assert 64 == server.state.tally("b").capacity


def test_what_is_given_back_by_word_goes_however_full_the_pool_is() -> None:
    """A return of the low mark is called off when the pool fills up; one that the
    borrower asked for waits for room, and goes with the term without any.
    """
    server = lender_only()
    number = lent(server)
    server.fill("a", OWN + 13)
    assert Result.DONE == server.do(Action.RETURN, "aurora", target=number)
    term = server.state.loans[number].term_ends_at
    while number in server.state.loans and server.now < term + 7200:
        server.jump(59)
        server.tick()
        for line in server.bound("a"):
            if server.leases[line][1] - server.now < 900:
                server.renew(line)
        if server.now < term - 3700:
            state = server.state.loans[number].state
            assert BlockState.RETURN_REQUESTED is state
    assert term - 3700 < server.now <= term + 7200
    assert 64 == server.state.tally("b").capacity


def test_a_lender_that_wants_to_be_asked_says_yes_by_its_own_word_only() -> None:
    """I10: neither the borrower nor the Network Provider can say it for the lender."""
    server = lender_only(isp=isps(lend_policy="ask"))
    server.fill("a", OWN)
    server.bind("a-90")
    (request,) = server.state.requests.values()
    assert RequestState.PENDING_APPROVAL is request.state
    for tenant in ("aurora", "network"):
        number = request.number
        assert Result.NOT_ASKED == server.do(Action.APPROVE, tenant, target=number)
    assert Result.DONE == server.do(Action.APPROVE, "borealis", target=request.number)
    assert RequestState.FULFILLED is server.ended(request.number).state
    words = [word for step in server.steps for word in step.change.approvals]
    assert [("borealis", "borealis-csr")] == [(w.party, w.actor) for w in words]
    assert all(word.inputs and word.policy for word in words)


def test_a_no_has_its_reason_in_words_and_the_time_to_ask_again() -> None:
    """Who refuses says why; the command is told what became of the request."""
    server = lender_only(isp=isps(lend_policy="ask"))
    server.fill("a", OWN)
    server.bind("a-90")
    (number,) = server.state.requests
    said = server.command(Action.DENY, "borealis", target=number, reason="no room")
    assert (Result.DONE, "denied") == (said.result, said.message)
    ended = server.ended(number)
    assert ("refused", 300) == (ended.reason, ended.retry_after)
    words = [word for step in server.steps for word in step.change.approvals]
    assert [("borealis", "no room")] == [(w.party, w.reason) for w in words]


def test_a_yes_that_comes_too_late_changes_nothing() -> None:
    """After the request was withdrawn, its approval is told that it is over."""
    server = lender_only(isp=isps(lend_policy="ask"))
    server.fill("a", OWN)
    server.bind("a-90")
    (number,) = server.state.requests
    assert Result.DONE == server.do(Action.CANCEL, "aurora", target=number)
    assert Result.OVER == server.do(Action.APPROVE, "borealis", target=number)
    assert {} == server.state.loans


def test_a_yes_after_the_blocks_are_gone_is_decided_anew() -> None:
    """The lender has leased them meanwhile: nothing is taken from its clients."""
    server = lender_only(isp=isps(lend_policy="ask"))
    server.fill("a", OWN)
    server.bind("a-90")
    (number,) = server.state.requests
    server.fill("b", OWN)
    assert Result.DONE == server.do(Action.APPROVE, "borealis", target=number)
    server.tick(3)
    assert {} == server.state.loans
    assert RequestState.DENIED is server.ended(number).state


@pytest.mark.parametrize(
    ("default", "state", "reason"),
    [
        ("deny", RequestState.DENIED, "timeout"),
        ("emergency_block", RequestState.FULFILLED, "granted_emergency"),
    ],
)
def test_silence_is_escalated_and_then_has_a_default(
    default: str, state: RequestState, reason: str
) -> None:
    """Twice the urgent patience of two minutes, then what the policy says."""
    server = nobody_lends(approval_default=default)
    server.fill("a", OWN)
    server.bind("a-90")
    for _ in range(250):
        server.bind("a-90")
        server.tick()
    ended = server.ended(1)
    assert (state, reason) == (ended.state, ended.reason)
    names = [event.name for step in server.steps for event in step.change.events]
    assert "request.escalated" in names


def test_a_part_is_granted_when_only_a_part_is_agreed_to() -> None:
    """The Network Provider approves one block of two."""
    server = nobody_lends()
    done = server.command(Action.RAISE, "aurora", pool="a", size=32)
    number = done.number
    server.do(Action.PARTIAL, "network", target=number, blocks=1)
    ended = server.ended(number)
    assert (RequestState.PARTIAL, 16) == (ended.state, ended.granted)


def test_the_network_step_that_never_answers_is_rolled_back_three_times() -> None:
    """After that the request has failed, and every block is at home."""
    server = Leasing(network(), connects=False)
    server.fill("a", OWN)
    server.bind("a-90")
    server.tick(200)
    failed = [
        request
        for step in server.steps
        for request in step.change.requests
        if request.state is RequestState.FAILED
    ]
    assert 1 == failed[0].number
    assert 3 == failed[0].attempts
    assert 64 == server.state.tally("r").owned


def test_a_command_is_applied_once() -> None:
    """The number that was applied is in the journal, with what it did."""
    server = Leasing(network())
    first = server.command(Action.RAISE, "aurora", pool="a", size=16)
    assert Result.DONE == first.result
    server.restart()
    assert 1 == server.state.command
    server.commands = 0
    with pytest.raises(AssertionError):  # the same number again: nothing is done
        server.command(Action.RAISE, "aurora", pool="a", size=16)


@pytest.mark.parametrize("tenant", ["aurora", "borealis", "network"])
def test_each_party_steers_what_is_its_own(tenant: str) -> None:
    """Who lends recalls, who borrows returns, the Network Provider may do both."""
    server = lender_only()
    number = lent(server)
    expected = {
        "aurora": (Result.FORBIDDEN, Result.DONE),
        "borealis": (Result.DONE, Result.FORBIDDEN),
        "network": (Result.DONE, Result.OVER),  # recalled already
    }
    recalled = server.do(Action.RECALL, tenant, target=number)
    returned = server.do(Action.RETURN, tenant, target=number)
    assert expected[tenant] == (recalled, returned)


def test_others_are_not_told_that_a_loan_exists() -> None:
    """To an ISP that is no party, there is no such loan."""
    server = lender_only(
        isp=[*isps(), {"name": "cirrus"}],
        pool=[
            pool("a", "aurora", "10.0.0.0/26", burst=96),
            pool("b", "borealis", "10.0.1.0/26", lending=16),
            pool("c", "cirrus", "10.0.3.0/26"),
        ],
    )
    number = lent(server)
    assert Result.UNKNOWN == server.do(Action.RECALL, "cirrus", target=number)


def test_a_converted_block_stays_with_its_new_owner() -> None:
    """Also after a restart, whatever the network file says of its prefix."""
    server = lender_only()
    number = lent(server)
    assert Result.DONE == server.do(Action.CONVERT, "network", target=number)
    server.restart()
    assert (80, 0, 0) == server.state.tally("a")
    assert (48, 0, 0) == server.state.tally("b")


def test_a_term_ends_and_goes_on_if_it_is_needed_and_the_lender_agrees() -> None:
    """At 80 % of the term the loan gets another."""
    server = lender_only()
    number = lent(server)
    term = server.state.loans[number].term_ends_at
    server.jump(6 * 86_400)
    server.fill("a", OWN + 5)
    server.tick(2)
    assert server.state.loans[number].term_ends_at > term


@pytest.mark.parametrize("jump", [3600, -3600, 400 * 86_400, -400 * 86_400])
def test_the_clock_may_be_set_while_it_is_down(jump: int) -> None:
    """An hour or 400 days: every block comes home in the time that it takes."""
    server = lender_only()
    number = lent(server)
    server.do(Action.RECALL, "borealis", target=number)
    server.now += jump
    server.restart()
    server.tick(3)
    for line in server.bound("a"):
        server.release(line)
    server.tick(200)
    assert {} == server.state.loans
    assert 64 == server.state.tally("b").capacity


@pytest.mark.parametrize("state", [BlockState.ATTRITION, BlockState.DRAINING])
@pytest.mark.parametrize("lender", ["b", "r"])
def test_a_start_knows_the_leases_of_a_block_on_its_way_home(
    state: BlockState, lender: str
) -> None:
    """I2: the borrower's clients keep what they have, as short as it was, and the block
    is not home before they are gone.
    """
    server = lender_only() if lender == "b" else Leasing(network())
    server.fill("a", OWN + 5)
    (loan,) = server.state.loans.values()
    for line in server.bound("a")[:30]:  # who is in the block has room elsewhere
        server.release(line)
    server.do(Action.RECALL, "network", target=loan.number)
    for _ in range(720):
        if server.state.blocks[loan.first].state is state:
            break
        ten_seconds(server)
        for line in server.bound("a"):
            if server.leases[line][1] - server.now < 600:
                server.renew(line)
    borrowers = {
        line
        for line in server.bound("a")
        if loan.first <= server.leases[line][0] <= loan.last
    }
    assert borrowers
    before = {line: server.leases[line][1] for line in borrowers}
    server.restart()
    usage = server.allocation.block_usage(server.state.blocks[loan.first])
    assert len(borrowers) == usage.leased
    server.jump(1)
    for line in borrowers:
        answer = server.renew(line)
        assert isinstance(answer, Ack)
        assert answer.lease.seconds <= loan.lease_seconds
        extended = server.leases[line][1] > before[line]
        assert extended is (state is BlockState.ATTRITION)
    server.tick(3)
    assert server.state.blocks[loan.first].state is state


def test_a_prefix_that_is_taken_out_ends_its_loans() -> None:
    """The network file is right: the loan is over, and nothing is left half done."""
    server = Leasing(network())
    server.fill("a", OWN + 5)
    assert server.state.loans
    server.network = network(reserve=[])
    server.allocation.change_network(server.network, server.now)
    server.manager.agree(server.network, server.now)
    server.commit()
    assert {} == server.state.loans
    assert (64, 0, 0) == server.state.tally("a")


def test_a_step_too_long_for_one_entry_is_several_in_one_block() -> None:
    """A thousand blocks at once: every part fits, and together they are the step."""
    names = [pool("a", "aurora", "10.0.0.0/26", burst=1 << 20)]
    rows = policy(blocks_per_request_max=1024, reserve_auto_max=1 << 20)
    server = Leasing(
        network(
            pool=names,
            reserve=[{"name": "r", "prefixes": ["10.64.0.0/17"]}],
            over_allocation=rows,
        )
    )
    done = server.command(Action.RAISE, "network", pool="a", size=1024 * 16)
    assert Result.DONE == done.result
    assert 1024 == len(server.state.loans)
    assert len(server.steps) > 4
    assert 65_535 >= max(len(step.body) for step in server.steps)
    again = replayed(server.journal)
    assert server.state.loans == again.loans


def test_a_command_waits_while_the_journal_is_behind() -> None:
    """Sixty-four steps that are not durable: nothing new is begun, nothing is lost."""
    server = Leasing(network())
    manager = server.manager
    for number in range(1, 65):
        command = Command(number, "network", "csr", Action.RECALL, target=9)
        assert manager.carry_out(command, server.now) is not None
    late = Command(65, "network", "csr", Action.RAISE, pool="a", size=16)
    assert manager.carry_out(late, server.now) is None
    assert 64 == server.state.command
    server.commit()
    assert manager.carry_out(late, server.now) is not None


def asked(burst: int = 96) -> Leasing:
    """A server where the other ISP wants to be asked, and is: by request 1."""
    return served_by_consent("ask", burst=burst)


def served_by_consent(consent: str, *, burst: int = 96, **lender: object) -> Leasing:
    """A full pool a, and pool b of whom it may borrow."""
    net = consenting(consent, burst=burst, **lender)
    server = Leasing(net)
    server.fill("a", OWN)
    server.bind("a-90")
    server.tick()
    return server


def consenting(consent: str, *, burst: int = 96, **lender: object) -> Network:
    """Two pools without a reserve; b's ISP lends as ``consent`` says."""
    return network(
        reserve=[],
        over_allocation=policy(loan_seconds=20_000),
        isp=isps(lend_policy=consent),
        pool=[
            pool("a", "aurora", "10.0.0.0/26", burst=burst),
            pool("b", "borealis", "10.0.1.0/26", **{"lending": 64} | lender),
        ],
    )


def change(server: Leasing, net: Network) -> None:
    """Apply another network."""
    server.network = net
    server.allocation.change_network(net, server.now)
    server.manager.agree(net, server.now)
    server.commit()


def test_a_yes_after_the_cap_was_lowered_gives_nothing_above_it() -> None:
    """I3: neither the block that was agreed to nor, by any chance, all there are."""
    server = asked()
    server.do(Action.APPROVE, "borealis", target=1)
    server.fill("a", 77)
    server.bind("a-95")
    server.tick()
    assert 16 == server.state.tally("a").borrowed
    change(server, consenting("ask", burst=0))
    server.do(Action.APPROVE, "borealis", target=2)
    server.tick(3)
    assert 1 == len(server.state.loans)
    assert "cap" == server.ended(2).reason


def test_a_yes_after_the_pool_is_gone_is_too_late() -> None:
    """Nothing is lent to nobody."""
    server = asked()
    (_, lender) = consenting("ask").pool
    gone = network(
        reserve=[],
        isp=isps(lend_policy="ask"),
        pool=[pool("b", "borealis", "10.0.1.0/26", lending=64)],
    )
    assert lender.name == gone.pool[0].name
    change(server, gone)
    server.do(Action.APPROVE, "borealis", target=1)
    server.tick(2)
    assert {} == server.state.loans
    assert RequestState.FAILED is server.ended(1).state


def test_who_agreed_is_not_asked_again_when_the_network_step_failed() -> None:
    """The second try needs no second yes, which could not be said any more."""
    server = asked()
    tries: list[int] = []

    def connect(number: int, _: object) -> bool:
        tries.append(number)
        return len(tries) > 1

    server.manager._connect = connect
    server.do(Action.APPROVE, "borealis", target=1)
    server.tick(2)
    assert [1, 1] == tries
    assert RequestState.FULFILLED is server.ended(1).state


def test_an_agreed_loan_that_cannot_be_reached_fails_after_three_times() -> None:
    """And not by the time-out of those who were asked, half an hour later."""
    server = asked()
    server.manager._connect = lambda *_: False
    server.do(Action.APPROVE, "borealis", target=1)
    server.tick(5)
    ended = server.ended(1)
    assert (RequestState.FAILED, "unreachable") == (ended.state, ended.reason)
    assert {} == server.state.loans


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (RequestState.CANCELLED, "withdrawn"),
        (RequestState.FAILED, "unreachable"),
        (RequestState.EXPIRED, "waited_too_long"),
    ],
)
def test_what_ends_with_nothing_is_not_asked_for_again_at_once(
    state: RequestState, reason: str
) -> None:
    """As after a denial: the pool is as full as before, and would ask the same."""
    server = asked()
    request = server.state.requests[1]
    if state is RequestState.CANCELLED:
        server.do(Action.CANCEL, "aurora", target=1)
    elif state is RequestState.FAILED:
        server.manager._connect = lambda *_: False
        server.do(Action.APPROVE, "borealis", target=1)
    else:
        options: dict[str, Any] = {"options": (), "raised_at": server.now - 86_400}
        waiting = structs.replace(request, state=RequestState.QUEUED, **options)
        server.state.apply(Change(int(server.now), requests=(waiting,)))
    server.tick(5)
    ended = server.ended(1)
    assert (state, reason, 300) == (ended.state, ended.reason, ended.retry_after)

    server.bind("a-91")
    server.tick(290)
    assert {} == server.state.requests
    server.bind("a-91")
    server.tick(10)
    assert [2] == [*server.state.requests]
    server.do(Action.CANCEL, "aurora", target=2)
    assert 600 == server.ended(2).retry_after


@pytest.mark.parametrize("cause", ["return", "term"])
def test_a_lender_below_its_guarantee_does_not_wait_for_a_loan_that_ends_by_itself(
    cause: str,
) -> None:
    """I5: one that its borrower gives back waits for room, one that runs out for its
    term: days; the lender has its addresses after one lease and a while of rest.
    """
    server = served_by_consent("auto")
    (number,) = server.state.loans
    server.fill("a", 77)
    if cause == "return":
        server.do(Action.RETURN, "aurora", target=number)
        assert BlockState.RETURN_REQUESTED is server.state.loans[number].state
    else:
        inside = range(server.state.loans[number].first, 1 << 32)
        near = server.state.loans[number].term_starts_at + 16_000
        while server.now < near + 10:
            ten_seconds(server)
            for line in server.bound("a"):
                if server.leases[line][1] - server.now < 600:
                    server.renew(line)
                if server.now > near - 20 and server.leases[line][0] not in inside:
                    server.release(line)
        assert BlockState.ATTRITION is server.state.loans[number].state
    change(server, consenting("auto", guaranteed=64))
    server.fill("b", 60)
    server.bind("b-90")
    began = server.now
    while server.state.tally("b").capacity < 64:
        assert server.now < began + 1800 + 120 + 60
        server.bind("b-90")
        ten_seconds(server)
        for line in server.bound("a"):
            if server.leases[line][1] - server.now < 600:
                server.renew(line)
    assert 64 == server.state.tally("b").capacity


@pytest.mark.parametrize("jump", [-3600, -400 * 86_400])
def test_a_recall_goes_on_in_its_time_after_the_clock_was_set_back(jump: int) -> None:
    """The borrower's clients renew as ever: its notice and a lease, and no more."""
    server = lender_only()
    number = lent(server)
    server.do(Action.RECALL, "borealis", target=number)
    server.now += jump
    for line, (address, ends) in server.leases.items():
        server.leases[line] = address, ends + jump
    server.restart()
    began = server.now
    while number in server.state.loans:
        assert server.now < began + 3600 + 1800 + 120 + 60
        ten_seconds(server)
        for line in server.bound("a"):
            if server.leases[line][1] - server.now < 900:
                server.renew(line)


def test_a_denial_ends_in_its_time_after_the_clock_was_set_back() -> None:
    """The pool asks again after five minutes, and not after four hundred days."""
    server = served_by_consent("never")
    assert 300 == server.state.memory("a").denied_until - server.now + 1
    server.now -= 400 * 86_400
    server.restart()
    assert 300 == server.state.memory("a").denied_until - server.now


def test_a_term_begins_anew_when_it_would_begin_in_the_future() -> None:
    """A loan ends after its term even if it was made by a clock that was set back."""
    server = served_by_consent("auto")
    (number,) = server.state.loans
    server.now -= 400 * 86_400
    server.restart()
    loan = server.state.loans[number]
    assert server.now + 20_000 >= loan.term_ends_at
