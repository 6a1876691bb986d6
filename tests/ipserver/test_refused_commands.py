"""What people ask of requests and loans and do not get: told in whole sentences."""

from __future__ import annotations

from leasing import Leasing, network, pool

from ipserver.over_allocation_command import Action, Result

OWN = 61


def asking() -> Leasing:
    """A pool that is full and asks its lender, who wants to be asked."""
    isps = [{"name": "aurora"}, {"name": "borealis", "lend_policy": "ask"}]
    server = Leasing(network(isp=isps, reserve=[]))
    server.fill("a", OWN)
    server.bind("a-90")
    return server


def refused(server: Leasing, action: Action, tenant: str, **values: object) -> str:
    """The words of a refusal, behind its code."""
    said = server.command(action, tenant, **values)
    assert said.result != Result.DONE
    return f"{said.result}: {said.message}"


def test_a_word_on_a_request_that_does_not_count_says_whose_does() -> None:
    """Who is not asked, who has spoken, and a request that waits for nobody."""
    server = asking()
    (number,) = server.state.requests
    said = refused(server, Action.APPROVE, "aurora", target=number)
    assert (
        f"not_asked: aurora is not asked in request {number}: it waits for borealis"
        == said
    )
    assert "unknown: there is no request 99" == refused(
        server, Action.DENY, "network", target=99
    )
    server.command(Action.CANCEL, "aurora", target=number)
    gone = f"over: request {number} has ended, and waits for no word"
    for action, tenant in ((Action.DENY, "borealis"), (Action.CANCEL, "aurora")):
        assert gone == refused(server, action, tenant, target=number)


def test_a_party_has_one_word_and_is_told_so() -> None:
    """Its first one counts, while the others are waited for."""
    isps = [{"name": "aurora"}, {"name": "borealis", "lend_policy": "ask"}]
    policy = [{"block_prefix_length": 28, "reserve_auto_max": 1}]
    server = Leasing(network(isp=isps, over_allocation=policy))
    server.fill("a", OWN)
    server.bind("a-90")
    (number,) = server.state.requests
    assert Result.DONE == server.do(Action.DENY, "borealis", target=number)
    assert (
        f"not_asked: borealis has said deny to request {number} already: its first word"
        " counts"
    ) == refused(server, Action.APPROVE, "borealis", target=number)


def test_who_may_not_steer_a_loan_is_told_who_may() -> None:
    """The borrower does not recall, the lender does not return; what goes back is not
    called back, and a loan that there never was is not known."""
    server = asking()
    (request,) = server.state.requests
    server.command(Action.APPROVE, "borealis", target=request)
    (number,) = server.state.loans
    assert (
        f"forbidden: aurora cannot recall loan {number}: borealis and network can"
        == refused(server, Action.RECALL, "aurora", target=number)
    )
    assert (
        f"forbidden: borealis cannot return loan {number}: aurora and network can"
        == refused(server, Action.RETURN, "borealis", target=number)
    )
    assert Result.DONE == server.do(Action.RETURN, "aurora", target=number)
    state = server.state.loans[number].state
    said = refused(server, Action.RETURN, "aurora", target=number)
    assert f"over: loan {number} is {state}, from where return does nothing" == said
    assert "unknown: there is no loan 99" == refused(
        server, Action.RECALL, "network", target=99
    )


def test_a_pool_that_may_not_ask_now_is_told_why() -> None:
    """After a denial it waits; a pool of another is not asked for."""
    server = asking()
    (request,) = server.state.requests
    server.command(Action.DENY, "borealis", target=request)
    assert (
        "backing_off: pool 'a' asked a moment ago and got nothing: ask again in 300 s"
        == refused(server, Action.RAISE, "aurora", pool="a")
    )
    assert "forbidden: pool 'b' is of borealis, not of aurora" == refused(
        server, Action.RAISE, "aurora", pool="b"
    )
    assert "unknown: there is no pool 'z'" == refused(
        server, Action.RAISE, "aurora", pool="z"
    )


def test_an_isp_with_all_the_open_requests_it_may_have_is_told_so() -> None:
    """Not to ask again in 0 seconds."""
    isps = [{"name": "aurora"}, {"name": "borealis", "lend_policy": "ask"}]
    pools = [
        pool("a", "aurora", "10.0.0.0/26", burst=96),
        pool("c", "aurora", "10.0.3.0/26", burst=96),
        pool("b", "borealis", "10.0.1.0/26", lending=32),
    ]
    policy = [{"block_prefix_length": 28, "pending_max": 1}]
    server = Leasing(network(isp=isps, pool=pools, reserve=[], over_allocation=policy))
    assert Result.DONE == server.do(Action.RAISE, "aurora", pool="a", size=16)
    assert (
        "backing_off: aurora has as many open requests as it may: wait for an answer,"
        " or withdraw one"
    ) == refused(server, Action.RAISE, "aurora", pool="c")
