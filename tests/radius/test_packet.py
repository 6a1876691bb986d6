"""The lean codec against the RFCs, and against pyrad as an independent reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket, Packet
from radius_packets import SECRET, packet

from radius import packet as codec
from radius.access_reply import access_reply
from radius.packet import Code, Malformed, Notable

_ATTRIBUTES = st.lists(
    st.tuples(st.integers(1, 255), st.binary(min_size=1, max_size=60)), max_size=30
)


def encode(attributes: list[tuple[int, bytes]]) -> bytes:
    """Encode attributes but for Message-Authenticator, which has its own tests."""
    return b"".join(codec.attribute(t, v) for t, v in attributes if t != 80)


@given(st.integers(0, 255), _ATTRIBUTES)
def test_a_packet_round_trips_and_pyrad_reads_the_same(
    identifier: int, attributes: list[tuple[int, bytes]]
) -> None:
    """What we sign, pyrad verifies; Proxy-States come out whole and in order."""
    built = codec.accounting_request(identifier, encode(attributes), SECRET)

    trimmed = codec.trim(built + b"padding")
    found = codec.walk(built)

    assert built == trimmed
    assert isinstance(found, Notable)
    assert found.proxy_states == encode([a for a in attributes if a[0] == 33])
    assert codec.is_request_authentic(built, SECRET)
    peer = AcctPacket(packet=built, secret=SECRET, dict=Dictionary())
    assert peer.VerifyAcctRequest()


@given(st.integers(0, 255), _ATTRIBUTES)
def test_pyrad_accepts_our_response(
    identifier: int, attributes: list[tuple[int, bytes]]
) -> None:
    """RFC 2866 section 3: the Response Authenticator, Proxy-States and nothing else."""
    request = codec.accounting_request(identifier, encode(attributes), SECRET)
    states = codec.walk(request)
    assert isinstance(states, Notable)

    response = codec.accounting_response(request, SECRET, states.proxy_states)

    peer = AcctPacket(packet=request, secret=SECRET, dict=Dictionary())
    reply = Packet(packet=response, secret=SECRET, dict=Dictionary())
    assert peer.VerifyReply(reply, response)
    assert Code.ACCOUNTING_RESPONSE == response[0]
    assert states.proxy_states == response[20:]
    assert codec.is_response_authentic(response, request, SECRET)


@given(st.binary(max_size=5000))
def test_junk_is_parsed_or_refused_and_nothing_else(junk: bytes) -> None:
    """No input raises, and every loop ends."""
    trimmed = codec.trim(junk)
    if isinstance(trimmed, bytes):
        assert isinstance(codec.walk(trimmed), Notable | Malformed)


@given(_ATTRIBUTES, st.data())
def test_a_damaged_packet_is_parsed_or_refused(
    attributes: list[tuple[int, bytes]], data: st.DataObject
) -> None:
    """The same for packets that are nearly right, where the walk goes far."""
    built = bytearray(codec.accounting_request(1, encode(attributes), SECRET))
    for _ in range(data.draw(st.integers(1, 4))):
        built[data.draw(st.integers(0, len(built) - 1))] = data.draw(
            st.integers(0, 255)
        )
    trimmed = codec.trim(bytes(built))
    if isinstance(trimmed, bytes):
        assert isinstance(codec.walk(trimmed), Notable | Malformed)


def with_length(octets: bytes, length: int) -> bytes:
    """Give a datagram another length in its header."""
    return octets[:2] + length.to_bytes(2) + octets[4:]


@pytest.mark.parametrize(
    ("datagram", "reason"),
    [
        (b"\x04\x01\x00\x14" + bytes(15), Malformed.SHORT),
        (with_length(packet(), 19), Malformed.SHORT),
        (with_length(packet() + bytes(4096), 4097), Malformed.LONG),
        (b"\x04\x01" + (4097).to_bytes(2) + bytes(4093), Malformed.LONG),
        (with_length(packet(), 4000), Malformed.TRUNCATED),
    ],
)
def test_a_length_that_cannot_be_is_malformed_rfc_2865_section_3(
    datagram: bytes, reason: Malformed
) -> None:
    """Under 20, over 4096 or more than there is: silently discarded."""
    assert reason is codec.trim(datagram)


def test_padding_is_cut_off_and_not_hashed_rfc_2865_section_3() -> None:
    """Octets behind the length are padding."""
    built = packet()

    assert built == codec.trim(built + bytes(7))


def raw(attributes: bytes) -> bytes:
    """Make a packet of attributes as they are."""
    return codec.accounting_request(1, attributes, SECRET)


_MA = codec.attribute(80, bytes(16))


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        (b"\x01\x01", Malformed.ATTRIBUTE_LENGTH),
        (b"\x01\x00", Malformed.ATTRIBUTE_LENGTH),
        (b"\x01\x05ab", Malformed.ATTRIBUTE_LENGTH),
        (b"\x01\x03a\x01", Malformed.ATTRIBUTE_LENGTH),
        (b"\x21\x03a\x21\x09a", Malformed.ATTRIBUTE_LENGTH),
        (b"\x00\x03a", Malformed.ATTRIBUTE_TYPE),
        (b"\x01\x03a" * 201, Malformed.TOO_MANY_ATTRIBUTES),
        (codec.attribute(80, bytes(15)), Malformed.MESSAGE_AUTHENTICATOR_LENGTH),
        (_MA + _MA, Malformed.MESSAGE_AUTHENTICATOR_TWICE),
    ],
)
def test_attributes_that_do_not_add_up_are_malformed_rfc_2866_section_5(
    attributes: bytes, reason: Malformed
) -> None:
    """The entire request is discarded, never read in part."""
    assert reason is codec.walk(raw(attributes))


def test_two_hundred_attributes_are_taken() -> None:
    """The cap is past what any NAS sends."""
    assert isinstance(codec.walk(raw(b"\x01\x03a" * 200)), Notable)


def test_a_vendor_attribute_of_length_nought_inside_is_opaque() -> None:
    """A sub-attribute of no length loops nobody: vendors' insides are not walked."""
    assert isinstance(codec.walk(raw(b"\x1a\x08\x00\x00\x0d\xe9\x01\x00")), Notable)


def test_zero_authenticator_is_not_authentic_rfc_5080_section_2_2_3() -> None:
    """An accounting request with an all-zero authenticator is discarded."""
    built = packet()

    assert not codec.is_request_authentic(built[:4] + bytes(16) + built[20:], SECRET)


def test_another_octet_or_secret_is_not_authentic_rfc_2866_section_3() -> None:
    """The authenticator covers every octet and the secret."""
    built = packet(user_name="a")

    assert not codec.is_request_authentic(built, b"another secret")
    assert not codec.is_request_authentic(built[:-1] + b"\0", SECRET)


def test_an_empty_value_is_never_encoded_rfc_2865_section_5() -> None:
    """Text and strings of no length are omitted, not sent."""
    with pytest.raises(ValueError, match="1 to 253"):
        codec.attribute(1, b"")


def test_the_answer_to_status_server_is_signed_first_rfc_5997() -> None:
    """On the authentication port: Access-Accept, Message-Authenticator first."""
    request = b"\x0c\x07\x00\x14" + bytes(range(16))
    proxy_state = codec.attribute(33, b"hop")

    reply = access_reply(codec.Code.ACCESS_ACCEPT, request, SECRET, b"", proxy_state)

    assert (Code.ACCESS_ACCEPT, 7, 80) == (reply[0], reply[1], reply[20])
    assert proxy_state == reply[38:]
    assert codec.is_response_authentic(reply, request, SECRET)
    expected = codec.message_authenticator(
        reply[:4] + request[4:20] + reply[20:], 22, SECRET, request[4:20]
    )
    assert expected == reply[22:38]
