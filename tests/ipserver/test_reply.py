"""What a reply has in it, how long it is, and what gives way: RFC 2131, 2132, 3046."""

from __future__ import annotations

import pytest
from access_network import network
from dhcp_packets import DISCOVER, answer, ip, message, number, option
from hypothesis import given
from hypothesis import strategies as st

from config.addresses import Pool
from config.dhcp_options import RawOption
from config.network import Network
from config.plant import Area, Relay
from ipserver.answer import Lease
from ipserver.network_options import NetworkOptions, unleasable
from ipserver.reply import (
    Content,
    build,
    build_lease,
    size_limit,
    squeeze,
    times,
)


def pool(**fields: object) -> Network:
    """A network of one pool in one area, with the options of both."""
    area = fields.pop("area_options", {})
    relay = fields.pop("relay", "192.0.2.1")
    fields.setdefault("prefixes", ("10.0.0.0/24",))
    row = Pool(name="p", area="a", walled_garden=True, **fields)  # type: ignore[arg-type]
    return Network(
        area=(Area(name="a", **area),),  # type: ignore[arg-type]
        pool=(row,),
        relay=(Relay(name="r", area="a", giaddr=str(relay)),),
    )


def told(
    served: Network, wanted: bytes = b"", address: str = "10.0.0.9"
) -> dict[int, bytes]:
    """Give the options for an address of the pool."""
    tail = NetworkOptions(served).tail("p", number(address), wanted)
    request = message(DISCOVER)
    octets = build(request, Content(option(53, b"\2"), b"", 1472), tail)
    assert octets is not None
    return answer(octets).options


def test_options_of_the_pool_stand_before_those_of_its_area() -> None:
    """The area says what holds for all, the pool what differs."""
    served = pool(
        area_options={"dns_servers": ("192.0.2.53",), "mtu": 1500},
        mtu=1492,
        domain_name="p.example",
        domain_search=("a.example", "b.example"),
        ntp_servers=("192.0.2.123",),
        raw_options=(RawOption(code=43, value="0103616373"),),
    )

    expected = {
        53: b"\2",
        1: ip("255.255.255.0"),
        3: ip("10.0.0.1"),
        28: ip("10.0.0.255"),
        6: ip("192.0.2.53"),
        15: b"p.example",
        26: (1492).to_bytes(2),
        42: ip("192.0.2.123"),
        119: b"\1a\7example\0\1b\7example\0",
        43: b"\1\3acs",
    }
    assert expected == told(served)


def test_a_client_gets_what_it_asked_for_rfc_2132_section_9_8() -> None:
    """In its order, but for the mask, which stands before the router (section 3.3)."""
    served = pool(dns_servers=("192.0.2.53",), domain_name="p.example")

    assert [53, 1, 6, 3] == [*told(served, b"\x06\x03")]
    assert {53, 1, 3, 6} == told(served, b"\x06\x03").keys()


@pytest.mark.parametrize(
    ("relay", "routers", "expected"),
    [
        ("192.0.2.1", (), "10.0.0.1"),
        ("10.0.0.254", (), "10.0.0.254"),
        ("10.0.0.254", ("10.0.0.7", "10.9.9.9"), "10.0.0.7"),
    ],
)
def test_the_router_is_the_configured_one_the_relay_or_the_first_host(
    relay: str, routers: tuple[str, ...], expected: str
) -> None:
    """And no client is ever given its address."""
    served = pool(relay=relay, routers=routers)

    assert ip(expected) == told(served)[3]
    assert {number("10.0.0.0"), number("10.0.0.255"), number(expected)} <= unleasable(
        served
    )


def test_an_address_on_loan_has_its_own_mask_and_the_borrower_s_options() -> None:
    """The prefix is another pool's; all else is the pool's that answers."""
    served = pool(dns_servers=("192.0.2.53",))
    lent = Pool(name="q", area="a", walled_garden=True, prefixes=("10.1.0.0/20",))
    served = Network(area=served.area, relay=served.relay, pool=(*served.pool, lent))

    options = told(served, address="10.1.2.3")

    assert (ip("255.255.240.0"), ip("10.1.0.1")) == (options[1], options[3])
    assert ip("192.0.2.53") == options[6]


def test_small_prefixes_have_no_ends_rfc_3021() -> None:
    """/31 and /32 have neither network nor broadcast address."""
    served = pool(prefixes=("10.0.0.0/31", "10.0.1.1/32"))

    assert frozenset() == unleasable(served)
    assert 28 not in told(served, address="10.0.0.1")


def test_an_invented_request_list_costs_no_memory() -> None:
    """Tails are kept for a bounded number of them."""
    options = NetworkOptions(network())
    for place in range(10_000):
        options.tail("aurora-harbour", number("100.64.0.9"), place.to_bytes(3))

    assert len(options._tails) <= 4096


@pytest.mark.parametrize(
    ("maximum", "expected"),
    [
        (b"", 548),
        (b"\x02", 548),
        ((100).to_bytes(2), 548),
        ((576).to_bytes(2), 548),
        ((1000).to_bytes(2), 972),
        ((1500).to_bytes(2), 1472),
        ((65_535).to_bytes(2), 1472),
    ],
)
def test_the_size_of_a_reply_follows_option_57_rfc_2132_section_9_10(
    maximum: bytes, expected: int
) -> None:
    """At least 576 octets with headers, at most what fits into an Ethernet frame."""
    assert expected == size_limit(maximum)


def test_what_does_not_fit_goes_into_file_and_sname_rfc_2131_section_4_1() -> None:
    """Then it is left out, the least wanted first; option 82 is whole and last."""
    pieces = [option(code, bytes(50)) for code in range(200, 212)]
    echo = option(82, b"\1\4line")

    squeezed = squeeze(message(DISCOVER), Content(option(53, b"\2"), echo, 548), pieces)

    reply = answer(squeezed.octets)
    assert len(squeezed.octets) <= 548
    assert b"\3" == reply.options[52]
    assert [53, 52, 200, 201, 202, 203, 204, 82] == [*reply.options]
    assert (
        option(205, bytes(50)) + option(206, bytes(50)) + b"\xff"
        == reply.octets[108:213]
    )
    assert option(207, bytes(50)) + b"\xff" == reply.octets[44:97]
    assert squeezed.without_options
    assert not squeezed.without_agent


def test_an_agent_s_option_without_room_is_left_out_whole_rfc_3046_section_2_2() -> (
    None
):
    """Never cut, never in an overloaded field."""
    own = option(53, b"\2") + option(61, bytes(200))

    squeezed = squeeze(message(DISCOVER), Content(own, option(82, bytes(200)), 548), [])

    assert squeezed.without_agent
    assert 82 not in answer(squeezed.octets).options


@pytest.mark.parametrize("own", [250, 300, 306, 307, 310, 600])
def test_what_the_protocol_needs_is_in_the_reply_whatever_its_length(own: int) -> None:
    """More than a client said to take, rather than nothing."""
    needed = option(53, b"\2") + option(61, bytes(248)) * (own // 248)
    needed += option(224, bytes(max(0, own - len(needed) - 2)))
    pieces = [option(code, bytes(60)) for code in range(200, 204)]

    squeezed = squeeze(
        message(DISCOVER), Content(needed, option(82, b"x"), 548), pieces
    )

    assert needed == squeezed.octets[240 : 240 + len(needed)]
    assert b"\2" == answer(squeezed.octets).octets[:1]


@given(
    st.lists(st.tuples(st.integers(100, 200), st.binary(max_size=120)), max_size=20),
    st.binary(max_size=255),
    st.integers(548, 1472),
)
def test_every_reply_fits_and_can_be_read(
    options: list[tuple[int, bytes]], agent: bytes, limit: int
) -> None:
    """Whatever there is to say."""
    pieces = [option(code, content) for code, content in options]
    content = Content(option(53, b"\2"), option(82, agent), limit)
    octets = build(message(DISCOVER), content, b"".join(pieces))
    if octets is None:
        octets = squeeze(message(DISCOVER), content, pieces).octets

    assert 300 <= len(octets) <= limit
    assert agent == answer(octets).options.get(82, agent)


@given(
    st.binary(min_size=44, max_size=44),
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
    st.binary(max_size=300),
    st.binary(max_size=30),
)
def test_a_lease_is_built_in_one_go_as_any_reply_is(
    fields: bytes, address: int, seconds: int, more: bytes, tail: bytes, echo: bytes
) -> None:
    """The same octets, or left to the other where they are too many."""
    request = fields.ljust(240, b"\0")
    lease = Lease(address, "p", seconds, seconds // 2, seconds // 4, "")
    protocol, client = b"\x35\x01\x02\x36\x04\xc0\x00\x02\x01", fields[12:16]
    own = protocol + times(lease.seconds, lease.t1, lease.t2) + more
    content = Content(own, echo, size_limit(b""), address.to_bytes(4), client)

    expected = build(request, content, tail)
    built = build_lease(request, client, lease, protocol, more, tail, echo)
    assert built == expected
