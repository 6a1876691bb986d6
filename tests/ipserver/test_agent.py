"""Option 82: opaque octets, a few words understood, echoed whole (RFC 3046)."""

from __future__ import annotations

import pytest
from dhcp_cases import needs_cases, relayed
from dhcp_packets import agent, ip, option
from hypothesis import given
from hypothesis import strategies as st

from ipserver.agent import AgentReader, Relayed, encode
from ipserver.ask import Agent
from ipserver.packet import Query, read


def reading(content: bytes) -> Relayed:
    """Read one option's content."""
    return AgentReader().read(content)


def test_the_ids_of_a_line_are_opaque_octets_rfc_3046_section_2_2() -> None:
    """Circuit id, remote id, and the subscriber id of RFC 3993."""
    content = agent(b"ge-0/0/1:101", b"\0\xff", option(6, b"sub-1"))

    expected = Agent(content, b"ge-0/0/1:101", b"\0\xff", b"sub-1")
    assert expected == reading(content).agent


@given(st.binary(max_size=600))
def test_whatever_a_relay_says_is_read_and_echoed_whole(content: bytes) -> None:
    """RFC 3046 section 2.2: verbatim, even what breaks off (RFC 3396 where long)."""
    relayed = reading(content)

    assert content == relayed.agent.octets
    if relayed.vpn is None:
        assert encode(82, content) == relayed.echo


def test_of_a_repeated_sub_option_the_first_counts() -> None:
    """A second relay's words do not overrule those of the one next to the client."""
    assert b"near" == reading(agent(b"near") + agent(b"far")).agent.circuit_id


def test_link_selection_is_an_address_rfc_3527_section_3() -> None:
    """Four octets that are not all zero."""
    assert ip("192.0.2.1") == reading(option(5, ip("192.0.2.1"))).link
    assert b"" == reading(option(5, b"abc")).link
    assert b"" == reading(option(5, bytes(4))).link


def test_server_override_is_an_address_rfc_5107_section_4() -> None:
    """The address that option 54 of the reply has."""
    assert ip("192.0.2.9") == reading(option(11, ip("192.0.2.9"))).override


def test_relay_port_is_seen_and_echoed_rfc_8357_section_4_2() -> None:
    """It has no content."""
    relayed = reading(agent(b"x", more=option(19, b"")))

    assert relayed.port
    assert encode(82, agent(b"x", more=option(19, b""))) == relayed.echo


@pytest.mark.parametrize(
    ("content", "echoed"),
    [
        (option(151, b"\0red") + option(152, b""), option(151, b"\0red")),
        (option(1, b"x") + option(152, b""), option(1, b"x") + option(152, b"")),
    ],
)
def test_vss_control_is_taken_out_when_the_vpn_is_honoured_rfc_6607_section_8(
    content: bytes, echoed: bytes
) -> None:
    """Left in, it tells the relay that nobody looked at the VPN."""
    assert encode(82, echoed) == reading(content).echo


def test_what_breaks_off_ends_the_reading_and_keeps_what_came_before() -> None:
    """A length that overruns hides what is behind it."""
    assert b"x" == reading(agent(b"x") + b"\2\xff" + b"abc").agent.circuit_id


@needs_cases
def test_real_relays_are_echoed_octet_for_octet() -> None:
    """DOCSIS and access gear that ISC's users captured."""
    contents = [
        query.options[82]
        for query in (read(octets, 255) for octets in relayed())
        if isinstance(query, Query) and 82 in query.options
    ]

    assert contents
    assert [encode(82, c) for c in contents] == [reading(c).echo for c in contents]
