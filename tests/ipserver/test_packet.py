"""What a datagram says, and why it says nothing: RFC 2131, RFC 2132, RFC 3396."""

from __future__ import annotations

import pytest
from dhcp_cases import captured, needs_cases, relayed
from dhcp_packets import (
    ACK,
    DISCOVER,
    INFORM,
    LEASEQUERY,
    NAK,
    OFFER,
    REQUEST,
    message,
    option,
)
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP

from ipserver.packet import Malformed, Query, read


def options_of(octets: bytes) -> dict[int, bytes]:
    """Read a message that is well-formed."""
    query = read(octets, 16)
    assert isinstance(query, Query), query
    return query.options


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", Malformed.SHORT),
        (message(DISCOVER)[:239], Malformed.SHORT),
        (message(OFFER, op=2), Malformed.OP),
        (message(DISCOVER).replace(b"\x63\x82\x53\x63", b"\x63\x82\x53\x64"), "cookie"),
        (message(DISCOVER)[:2] + b"\x11" + message(DISCOVER)[3:], "hardware_length"),
        (message(DISCOVER, hops=17), Malformed.HOPS),
        (message(None), Malformed.MESSAGE_TYPE),
        (message(DISCOVER, option(53, b"\1")), Malformed.MESSAGE_TYPE),
        (message(None, option(53, b"\1\1")), Malformed.MESSAGE_TYPE),
        (message(None, option(53, b"")), Malformed.MESSAGE_TYPE),
        *(
            (message(kind), Malformed.NOT_A_REQUEST)
            for kind in (OFFER, ACK, NAK, 0, 99)
        ),
        (message(DISCOVER, hardware=b""), Malformed.NO_IDENTITY),
        (
            message(DISCOVER, option(61, bytes(200)) + option(61, bytes(56))),
            Malformed.CLIENT_IDENTIFIER,
        ),
    ],
)
def test_what_is_no_request_has_its_reason_rfc_2131_section_2(
    octets: bytes, reason: Malformed
) -> None:
    """Each malformation is a value, never an exception."""
    assert reason == read(octets, 16)


def test_no_hardware_address_is_legal_with_a_client_identifier_rfc_4390() -> None:
    """hlen 0 with option 61 names the client well enough."""
    assert (
        b"\1abc" == options_of(message(REQUEST, option(61, b"\1abc"), hardware=b""))[61]
    )


def test_a_lease_query_by_address_names_nobody_rfc_4388_section_6_3() -> None:
    """The one message in which both may be absent."""
    assert isinstance(read(message(LEASEQUERY, hardware=b""), 16), Query)


def test_a_repeated_option_is_concatenated_rfc_3396_section_7() -> None:
    """In the order of the fields: options, file, sname (section 5)."""
    octets = message(
        DISCOVER,
        option(52, b"\3") + option(60, b"one ") + option(60, b"two "),
        file=option(60, b"three ") + b"\xff",
        sname=option(60, b"four") + b"\xff",
    )

    assert b"one two three four" == options_of(octets)[60]


@pytest.mark.parametrize(
    ("overload", "expected"),
    [(1, b"file"), (2, b"sname"), (3, b"filesname"), (0, None), (4, None)],
)
def test_overloaded_fields_are_read_as_option_52_says_rfc_2132_section_9_3(
    overload: int, expected: bytes | None
) -> None:
    """Values 1, 2 and 3; any other means that they are not options."""
    octets = message(
        DISCOVER,
        option(52, bytes((overload,))),
        file=option(60, b"file") + b"\xff",
        sname=option(60, b"sname") + b"\xff",
    )

    assert expected == options_of(octets).get(60)


def test_an_overload_within_an_overloaded_field_leads_nowhere() -> None:
    """Each field is read once: no recursion, no loop."""
    octets = message(
        DISCOVER,
        option(52, b"\1"),
        file=option(52, b"\3") + b"\xff",
        sname=option(60, b"hidden") + b"\xff",
    )

    assert 60 not in options_of(octets)


@pytest.mark.parametrize(
    ("rest", "truncated"),
    [
        (b"", False),
        (b"\x3d", True),
        (b"\x3d\x09abc", True),
        (b"\0\0\0", False),
        (b"\xff\x3d\x09abc", False),
    ],
)
def test_a_truncated_last_option_keeps_the_earlier_ones(
    rest: bytes, truncated: bool
) -> None:
    """A missing END and padding are no truncation; what is behind END is nothing."""
    query = read(message(DISCOVER, option(55, b"\1\3") + rest, end=b""), 16)

    assert isinstance(query, Query)
    assert truncated == query.truncated
    assert b"\1\3" == query.options[55]
    assert 61 not in query.options


def test_an_option_without_content_is_an_option() -> None:
    """Zero length: RFC 2132 section 2 allows it in general."""
    assert b"" == options_of(message(DISCOVER, option(80, b"")))[80]


@given(st.binary(max_size=600))
def test_any_octets_behind_the_cookie_are_read_without_an_exception(
    junk: bytes,
) -> None:
    """Hostile options end in a query or a reason."""
    assert isinstance(read(message(INFORM, junk, end=b""), 16), Query | Malformed)


@given(st.binary(max_size=400))
def test_any_octets_at_all_are_read_without_an_exception(junk: bytes) -> None:
    """Hostile headers too."""
    assert isinstance(read(junk, 16), Query | Malformed)


@given(
    st.lists(
        st.tuples(st.integers(1, 254).filter(lambda c: c not in (52, 53)), st.binary()),
        max_size=12,
        unique_by=lambda item: item[0],
    )
)
def test_options_come_back_as_they_were_written(items: list[tuple[int, bytes]]) -> None:
    """Content longer than 255 octets comes in pieces (RFC 3396 section 6)."""
    encoded = b"".join(
        b"".join(
            option(code, content[at : at + 255])
            for at in range(0, max(len(content), 1), 255)
        )
        for code, content in items
    )

    assert {53: b"\1"} | dict(items) == options_of(message(DISCOVER, encoded))


def oracle(octets: bytes) -> dict[str, object]:
    """Read the header with scapy."""
    packet = BOOTP(octets)
    return {
        "xid": packet.xid,
        "giaddr": packet.giaddr,
        "ciaddr": packet.ciaddr,
        "chaddr": bytes(packet.chaddr),
    }


@needs_cases
def test_relayed_packets_of_real_networks_are_read_as_scapy_reads_them() -> None:
    """Option by option, those that scapy keeps as octets or addresses."""
    from scapy.layers.dhcp import DHCP, DHCPRevOptions

    read_ones = 0
    for octets in relayed():
        query = read(octets, 16)
        if not isinstance(query, Query):
            continue
        read_ones += 1
        theirs = BOOTP(octets)[DHCP].options
        codes = {
            (DHCPRevOptions[o[0]][0] if isinstance(o[0], str) else o[0])
            for o in theirs
            if isinstance(o, tuple)
            and (o[0] in DHCPRevOptions or isinstance(o[0], int))
        }
        assert codes <= query.options.keys()
        assert octets[4:8] == oracle(octets)["xid"].to_bytes(4)  # type: ignore[attr-defined]
    assert read_ones


@needs_cases
def test_captured_packets_and_crashers_are_read_without_an_exception() -> None:
    """Every DHCPv4 payload that others captured, at any length."""
    packets = captured() + relayed()

    assert packets
    for octets in packets:
        for end in range(0, len(octets) + 1, 7):
            assert isinstance(read(octets[:end], 16), Query | Malformed)
