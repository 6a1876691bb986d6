"""What was offered a moment ago is bound as if all of it had been decided again."""

from __future__ import annotations

from typing import Any

from access_network import Site, network
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from config.network import Network
from config.over_allocation import OverAllocation
from ipserver.answer import Ack, Answer, Offer
from ipserver.ask import Message

LINES = 5


def town() -> Network:
    """Three lines with two addresses, two without a service, and few addresses."""
    return network(
        lines=LINES,
        served=3,
        prefix="100.64.0.0/29",
        home={"addresses": 2, "excess": "walled_garden"},
        over_allocation=(
            # Else the lease gets shorter as the pool fills up: an offer stands.
            OverAllocation(warn_percent=100),
        ),
    )


def without_jitter(answer: Answer) -> Answer:
    """What an answer says but for T1 and T2, which are drawn."""
    if isinstance(answer, Offer | Ack):
        return replace(answer, lease=replace(answer.lease, t1=0, t2=0))
    return answer


step = st.tuples(
    st.sampled_from([Message.DISCOVER, Message.SELECTING, *Message, Message.SELECTING]),
    st.integers(0, LINES - 1),
    st.integers(1, 2),
    st.sampled_from(["own", "own", "own", "another's", "none"]),
    st.sampled_from([b"", b"", b"id"]),
    st.sampled_from([0, 0, 600]),
    st.sampled_from([0, 1, 1, 40, 4000]),
)


@given(st.lists(step, max_size=60))
def test_an_offer_that_is_remembered_binds_as_one_that_is_not(
    steps: list[tuple[Any, ...]],
) -> None:
    """The same answers and records, whether terms are remembered or read again."""
    quick, slow = Site(town()), Site(town())
    offered: dict[tuple[int, int], int] = {}
    for message, line, mac, whose, client_id, seconds, passed in steps:
        other = (line + 1) % LINES
        address = {
            "own": offered.get((line, mac), 0),
            "another's": offered.get((other, mac), 0),
            "none": 0,
        }[whose]
        answers = []
        slow.allocation.change_network(town(), slow.now)  # which forgets all terms
        for site in (quick, slow):
            site.now += passed
            answers.append(
                site.ask(
                    message,
                    f"line-{line}",
                    mac,
                    address=address,
                    client_id=client_id,
                    seconds=seconds,
                    unicast=message is Message.RENEWING,
                )
            )
        assert without_jitter(answers[0]) == without_jitter(answers[1])
        if isinstance(answers[0], Offer):
            offered[line, mac] = answers[0].lease.address
    assert quick.records == slow.records
    assert not quick.allocation.audit()


def test_an_offer_is_not_bound_for_a_network_that_changed_since() -> None:
    """The line has lost its service between the two."""
    site = Site(network())
    offer = site.discover("line-0", 1)
    assert isinstance(offer, Offer)
    site.allocation.change_network(network(served=0), site.now)
    answer = site.ask(Message.SELECTING, "line-0", 1, address=offer.lease.address)
    assert not isinstance(answer, Ack)
