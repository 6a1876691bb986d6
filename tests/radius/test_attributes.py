"""What is shown of a packet's attributes, and when a packet is malformed."""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyrad.packet import AcctPacket
from radius_cases import CASES, captured, needs_cases, packet, printed

from config.radius_dictionary import TYPES, Attribute, read, tables
from radius import attributes as module
from radius.attributes import DecodedAttribute, MalformedPacketError, attributes
from radius.packet import Malformed, attribute, trim, walk

_PYRAD = read()


def _packet(octets: bytes, code: int = 4) -> bytes:
    return struct.pack("!BBH16x", code, 7, 20 + len(octets)) + octets


def _vsa(vendor: int, octets: bytes) -> bytes:
    return attribute(26, vendor.to_bytes(4) + octets)


def _one(octets: bytes) -> DecodedAttribute:
    (decoded,) = attributes(_packet(octets))
    return decoded


def _octets_of(text: str) -> bytes:
    """Undo the escapes of text, in a way of our own."""
    pieces = re.split(r"(\\\\|\\x[0-9a-f]{2})", text)
    return b"".join(
        b"\\"
        if piece == "\\\\"
        else bytes.fromhex(piece[2:])
        if piece.startswith("\\x")
        else piece.encode()
        for piece in pieces
    )


# Malformed packets: the lengths do not add up.


@pytest.mark.parametrize(
    ("octets", "reason", "offset"),
    [
        (b"", Malformed.SHORT, 0),
        (b"\x04\x01\x00\x14" + bytes(15), Malformed.SHORT, 2),
        (b"\x04\x01\x00\x13" + bytes(16), Malformed.SHORT, 2),
        (b"\x04\x01\x00\x15" + bytes(16), Malformed.TRUNCATED, 2),
        (b"\x04\x01\x10\x01" + bytes(4093), Malformed.LONG, 2),
        (_packet(b"\x01"), Malformed.ATTRIBUTE_LENGTH, 20),
        (_packet(b"\x01\x00"), Malformed.ATTRIBUTE_LENGTH, 20),
        (_packet(b"\x01\x01"), Malformed.ATTRIBUTE_LENGTH, 20),
        (_packet(b"\x01\x03a\x02\x09b"), Malformed.ATTRIBUTE_LENGTH, 23),
        (_packet(b"\x00\x03a"), Malformed.ATTRIBUTE_TYPE, 20),
        (_packet(b"\x21\x03a" * 201), Malformed.TOO_MANY_ATTRIBUTES, 620),
        (
            _packet(b"\x50\x11" + bytes(15)),
            Malformed.MESSAGE_AUTHENTICATOR_LENGTH,
            20,
        ),
        (
            _packet((b"\x50\x12" + bytes(16)) * 2),
            Malformed.MESSAGE_AUTHENTICATOR_TWICE,
            38,
        ),
    ],
)
def test_a_packet_whose_lengths_do_not_add_up_says_what_and_where(
    octets: bytes, reason: Malformed, offset: int
) -> None:
    """RFC 2865 section 3, RFC 2866 section 5: the whole packet is malformed."""
    with pytest.raises(MalformedPacketError) as caught:
        attributes(octets)

    assert (reason, offset) == (caught.value.reason, caught.value.offset)


def test_two_hundred_attributes_are_not_too_many() -> None:
    """The bound is 200 attributes, inclusive."""
    assert len(attributes(_packet(b"\x21\x03a" * 200))) == 200


def test_padding_after_the_length_is_ignored() -> None:
    """RFC 2865 section 3: octets beyond the length are padding."""
    octets = _packet(attribute(1, b"nemo"))

    assert attributes(octets) == attributes(octets + b"\x00\x00\xff")


@given(st.binary(max_size=300) | st.binary(max_size=300).map(_packet))
@example(_packet(b"\x1a\x08\x00\x00\x00\x09\x01\x00"))
@example(_packet(b"\x1a\x02\x1a\x03\x00"))
def test_junk_is_decoded_or_malformed_and_nothing_else(octets: bytes) -> None:
    """Whatever the octets, the lean codec and this one agree on what is malformed."""
    trimmed = trim(octets)
    refused = isinstance(trimmed, Malformed) or isinstance(walk(trimmed), Malformed)
    try:
        decoded = attributes(octets)
    except MalformedPacketError as error:
        place = error.offset
        assert refused
        assert 0 <= place <= len(octets)
    else:
        assert not refused
        assert all(str(entry.value).isprintable() for entry in decoded)


_KNOWN = [entry for entry in tables().standard if entry and entry.code != 80]
_KNOWN += [entry for many in tables().vendors.values() for entry in many.values()]


@given(st.sampled_from(_KNOWN), st.binary(max_size=40))
def test_a_value_of_any_size_leaves_the_packet_alone(
    entry: Attribute, value: bytes
) -> None:
    """RFC 6929 section 2.8: an invalid attribute is noted, its neighbour is shown."""
    sub = bytes((entry.code, len(value) + 2)) + value
    coded = _vsa(entry.vendor, sub) if entry.vendor else sub
    if entry.code == 26 and not entry.vendor:
        return
    first, second = attributes(_packet(coded + attribute(1, b"nemo")))

    assert entry.name == first.name
    assert second.value == "nemo"


# Unknown and opaque.


def test_an_unknown_attribute_is_kept_as_octets() -> None:
    """RFC 6929 section 2.8: unknown attributes are no error."""
    decoded = _one(attribute(222, b"\x00\xff"))

    assert (decoded.name, decoded.value, decoded.note) == ("Attr-222", "0x00ff", None)


def test_an_unknown_vendor_attribute_is_kept_as_octets() -> None:
    """A vendor nobody here knows still shows vendor, number and octets."""
    decoded = _one(_vsa(99999, b"\x07\x04ab"))

    assert (decoded.name, decoded.value) == ("Attr-26.99999.7", "0x6162")
    assert (decoded.vendor, decoded.type, decoded.raw) == (99999, 7, b"ab")


def test_several_vendor_attributes_in_one_are_shown_one_by_one() -> None:
    """RFC 2865 section 5.26: multiple sub-attributes may be in one attribute."""
    decoded = attributes(_packet(_vsa(3561, b"\x01\x05lag\x02\x04ab")))

    assert [(entry.name, entry.value) for entry in decoded] == [
        ("Agent-Circuit-Id", "lag"),
        ("Agent-Remote-Id", "ab"),
    ]


@pytest.mark.parametrize(
    "inside", [b"\x01", b"\x01\x00", b"\x01\x01a", b"\x01\x09a", b"\x01\x03ab"]
)
def test_a_vendor_attribute_without_sub_attributes_is_opaque(inside: bytes) -> None:
    """RFC 2865 section 5.26: the inner format is only recommended; no loop on 0."""
    decoded = _one(_vsa(9, inside))

    assert decoded.name == "Vendor-Specific"
    assert b"\x00\x00\x00\x09" + inside == decoded.raw
    assert decoded.note == "opaque: no sub-attributes of vendor Cisco"


def test_a_vendor_attribute_too_short_for_its_vendor_is_invalid() -> None:
    """RFC 2865 section 5.26: the length is at least 7."""
    decoded = _one(b"\x1a\x06\x00\x00\x00\x09")

    assert decoded.note == "invalid attribute: 4 octets, at least 5 expected"


# Values, by type.


@pytest.mark.parametrize(
    ("code", "value", "shown"),
    [
        (4, b"\xc0\xa8\x01\x10", "192.168.1.16"),
        (5, b"\x00\x00\x00\x03", 3),
        (40, b"\x00\x00\x00\x03", "Interim-Update"),
        (40, b"\x00\x00\x00\x63", 99),
        (55, b"\x00\x00\x00\x00", "1970-01-01T00:00:00Z"),
        (55, b"\xff\xff\xff\xff", "2106-02-07T06:28:15Z"),
        (25, b"a\x00b", "0x610062"),
        (89, b"\x00", "0x00"),
        (95, bytes(15) + b"\x01", "::1"),
        (96, b"\x02\x11\x22\xff\xfe\x33\x44\x55", "211:22ff:fe33:4455"),
        (124, b"\xff" * 8, 2**64 - 1),
    ],
)
def test_a_value_is_shown_by_its_type(
    code: int, value: bytes, shown: str | int
) -> None:
    """RFC 8044 section 3: each data type has one way to be shown."""
    decoded = _one(attribute(code, value))

    assert (shown, None) == (decoded.value, decoded.note)


@pytest.mark.parametrize("code", [4, 5, 40, 55, 95, 96, 124])
def test_a_value_of_the_wrong_size_is_an_invalid_attribute(code: int) -> None:
    """RFC 6929 section 2.8: it is kept as octets, with a note."""
    decoded = _one(attribute(code, b"abc"))

    assert decoded.value == "0x616263"
    assert decoded.note is not None
    assert decoded.note.startswith("invalid attribute: 3 octets, ")


def test_empty_text_is_an_invalid_attribute() -> None:
    """RFC 2865 section 5: text of length zero must not be sent."""
    assert _one(b"\x01\x02").note == "invalid attribute: empty"


def test_every_type_of_the_dictionary_can_be_shown() -> None:
    """The table of types is total."""
    assert set(module._SHOW) == TYPES


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("0000", "::/0"),
        ("0040 20010db8 0a0b12f0", "2001:db8:a0b:12f0::/64"),
        ("0040 20010db8 0a0b12f0 00000000 00000000", "2001:db8:a0b:12f0::/64"),
        ("0038 20010db8 000000", "2001:db8::/56"),
        ("0040 2001", "2001::/64"),
        ("0080 20010db8 00000000 00000000 00000001", "2001:db8::1/128"),
        ("0723 20010db8 e0", "2001:db8:e000::/35"),
    ],
)
def test_a_prefix_needs_no_more_octets_than_it_has_bits(value: str, shown: str) -> None:
    """RFC 3162 section 2.3, RFC 4818 section 3: a short tail is zero."""
    for code in (97, 123):
        decoded = _one(attribute(code, bytes.fromhex(value)))

        assert (shown, None) == (decoded.value, decoded.note)


@pytest.mark.parametrize(
    ("value", "note"),
    [
        ("00", "1 octets, 2 to 18 expected"),
        ("0040" + "00" * 17, "19 octets, 2 to 18 expected"),
        ("0081" + "00" * 16, "prefix length 129 is above 128"),
        ("0020 20010db8 01", "bits beyond the prefix length 32 are set"),
        ("0023 20010db8 f0", "bits beyond the prefix length 35 are set"),
        ("0000 80", "bits beyond the prefix length 0 are set"),
    ],
)
def test_a_prefix_that_breaks_the_rules_is_an_invalid_attribute(
    value: str, note: str
) -> None:
    """RFC 8044 section 3.10: length up to 128, and no bit set beyond it."""
    assert (
        f"invalid attribute: {note}" == _one(attribute(97, bytes.fromhex(value))).note
    )


def test_text_cannot_act_on_a_terminal() -> None:
    """Escapes, line ends, NUL and right-to-left marks are shown as octets."""
    text = "a\x00b\x1b[2J\r\n\\\u202eé".encode() + b"\xff"

    shown = r"a\x00b\x1b[2J\x0d\x0a\\\xe2\x80\xaeé\xff"
    assert shown == _one(attribute(1, text)).value


@given(st.binary(min_size=1, max_size=253))
def test_escaped_text_keeps_every_octet(octets: bytes) -> None:
    """What is shown can be turned back into what was sent."""
    assert octets == _octets_of(str(_one(attribute(1, octets)).value))


# Tags, RFC 2868 section 3.


@pytest.mark.parametrize(
    ("code", "value", "tag", "shown", "note"),
    [
        (64, b"\x00\x00\x00\x03", 0, "L2TP", None),
        (64, b"\x01\x00\x00\x03", 1, "L2TP", None),
        (64, b"\x20\x00\x00\x03", None, 0x20000003, "tag 0x20 is above 0x1f"),
        (81, b"\x05lan", 5, "lan", None),
        (81, b"lan", None, "lan", None),
        (81, b"\x00lan", 0, "lan", None),
        (64, b"\x01\x03", None, "0x0103", "invalid attribute: 2 octets, 4 expected"),
    ],
)
def test_a_tag_is_told_from_the_value(
    code: int, value: bytes, tag: int | None, shown: str | int, note: str | None
) -> None:
    """RFC 2868 section 3: the first octet up to 0x1f of a tunnel attribute."""
    decoded = _one(attribute(code, value))

    assert (tag, shown, note) == (decoded.tag, decoded.value, decoded.note)


# Secrets.


@pytest.mark.parametrize(
    "octets",
    [
        attribute(2, b"hunter2hunter2!!"),
        attribute(3, b"\x16hunter2hunter2!!"),
        attribute(69, b"\x01\x80\x01hunter2hunter2!!"),
        attribute(79, b"\x02\x01\x00\x16\x04\x10hunter2hunter2!!"),
        _vsa(311, b"\x01\x12hunter2hunter2!!"),
        _vsa(311, b"\x10\x12hunter2hunter2!!"),
        _vsa(311, b"\x11\x12hunter2hunter2!!"),
        _vsa(311, b"\x19\x12hunter2hunter2!!"),
        _vsa(9, b"\x01\x2dvpdn:l2tp-tunnel-password=hunter2hunter2!!!"),
        _vsa(9, b"\xf9\x09hunter2"),
        _vsa(14988, b"\x10\x09hunter2"),
        _vsa(4874, b"\x25\x09hunter2"),
    ],
)
def test_secrets_are_not_shown(octets: bytes) -> None:
    """Passwords, answers to challenges and keys are counted, not printed."""
    decoded = _one(octets)

    assert decoded.hidden
    assert re.search(r"<hidden, \d+ octets>$", str(decoded.value))
    assert "hunter2" not in str(decoded.value)
    assert b"hunter2".hex() not in str(decoded.value)


def test_what_is_no_secret_is_shown() -> None:
    """Message-Authenticator, CHAP-Challenge and other name=value pairs are facts."""
    shown = attributes(
        _packet(
            attribute(80, bytes(16))
            + attribute(60, b"c")
            + _vsa(9, b"\x01\x0bip:a=pool")
        )
    )

    assert [entry.value for entry in shown] == ["0x" + "00" * 16, "0x63", "ip:a=pool"]


# pyrad as an independent oracle.

_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(min_size=1, max_size=40).filter(
        lambda text: text.encode("utf-8", "replace")[0] > 0x1F
    ),
    "octets": st.binary(min_size=1, max_size=40).filter(lambda v: v[:2] != b"0x"),
    "integer": st.integers(0, 2**32 - 1),
    "integer64": st.integers(0, 2**64 - 1),
    "date": st.integers(0, 2**32 - 1),
    "ipaddr": st.ip_addresses(v=4).map(str),
    "ipv6addr": st.ip_addresses(v=6).map(str),
    "ipv6prefix": st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(
        lambda pair: f"{pair[0]}/{pair[1]}"
    ),
    "ifid": st.binary(min_size=8, max_size=8),
}
_SHOWN = [
    entry
    for entry in _KNOWN
    if not entry.encrypted
    and (entry.vendor, entry.code) not in module._SECRETS
    and (entry.vendor, entry.code) not in {(0, 26), (0, 79), (9, 1)}
]


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[Attribute, Any, int | None]:
    entry = draw(st.sampled_from(_SHOWN))
    value = draw(_VALUES[entry.type])
    tag = draw(st.none() | st.integers(1, 31)) if entry.has_tag else None
    if entry.has_tag and entry.type == "integer":
        value &= 0xFFFFFF
    return entry, value, tag


@given(st.lists(_pairs(), min_size=1, max_size=12, unique_by=lambda pair: pair[0].name))
def test_what_pyrad_encodes_is_decoded_to_the_same_values(
    pairs: list[tuple[Attribute, Any, int | None]],
) -> None:
    """pyrad, with the same dictionary, and this decoder read the same packet alike."""
    theirs = AcctPacket(dict=_PYRAD, secret=b"s", id=1)
    for entry, value, tag in pairs:
        name = entry.name if tag is None else f"{entry.name}:{tag}"
        theirs.AddAttribute(name, value)
    octets = theirs.RequestPacket()
    again = AcctPacket(dict=_PYRAD, secret=b"s", packet=octets)
    decoded = attributes(octets)

    assert [entry.name for entry, _, _ in pairs] == [entry.name for entry in decoded]
    for ours, (entry, _, tag) in zip(decoded, pairs, strict=True):
        assert ours.note is None
        assert (ours.tag or None) == tag
        (expected,) = again[entry.name]
        assert _comparable(entry, expected) == (
            _octets_of(str(ours.value)) if entry.type == "string" else ours.value
        )


def _comparable(entry: Attribute, value: Any) -> Any:
    """Put what pyrad gives into the form that is shown."""
    match entry.type:
        case "string":
            return value.encode() if isinstance(value, str) else value
        case "octets":
            return "0x" + value.hex()
        case "date":
            return f"{datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return value


# What other people captured.

_LINE = re.compile(r"^\t  .* Attribute \((\d+)\), length: (\d+), Value: ?(.*)$")
_PLAIN = {1, 4, 5, 8, 12, 18, 30, 31, 61, 6, 57, 95, 97}
_OTHERWISE = {"Unknown": None, "#3": "3", "NAS Select": "255.255.255.254"}


@needs_cases
@pytest.mark.parametrize(
    ("capture", "dissection"),
    [
        ("RADIUS", "radius"),
        ("RADIUS-RFC3162", "radius-rfc3162"),
        ("RADIUS-RFC4675", "radius-rfc4675"),
        ("RADIUS-RFC5176", "radius-rfc5176"),
        ("RADIUS-RFC5176-2", "radius-rfc5176-2"),
        ("RADIUS-RFC5580", "radius-rfc5580"),
        ("RADIUS-port1700", "radius-port1700"),
        ("radius_rfc5447", "radius_rfc5447"),
    ],
)
def test_a_capture_is_read_as_tcpdump_reads_it(capture: str, dissection: str) -> None:
    """Numbers, lengths and plain values of tcpdump's own expected output."""
    lines = (CASES / f"tcpdump/{dissection}-v.out").read_text().splitlines()
    expected = [found.groups() for line in lines if (found := _LINE.match(line))]
    decoded = [
        entry
        for octets in captured(f"tcpdump/{capture}.pcap")
        for entry in attributes(octets)
    ]

    assert expected
    assert [(int(code), int(size)) for code, size, _ in expected] == [
        (entry.type, len(entry.raw) + 2) for entry in decoded
    ]
    for entry, (_, _, value) in zip(decoded, expected, strict=True):
        if "(invalid)" in value:
            assert entry.note is not None
        elif entry.type in _PLAIN:
            assert _OTHERWISE.get(value, value) == str(entry.value)


@needs_cases
def test_tcpdumps_locations_causes_and_vlans_are_read_alike() -> None:
    """RFC 5580 section 4.1, RFC 5176 section 3.5 and RFC 4675 section 2.1."""
    (location,) = captured("tcpdump/RADIUS-RFC5580.pcap")
    (causes,) = captured("tcpdump/RADIUS-RFC5176-2.pcap")
    vlans = attributes(captured("tcpdump/RADIUS-RFC4675.pcap")[1])

    assert attributes(location)[0].value == "0namespace TADIG"
    assert [entry.value for entry in attributes(causes)[2:]] == [
        "Residual-Session-Context-Removed",
        209,
    ]
    assert (ord("1") << 24 | 123, "1vlanname") == (vlans[0].value, vlans[2].value)


@needs_cases
@pytest.mark.parametrize("name", ["radius_attr_asan", "radius_rfc5447_invalid_length"])
def test_captured_crashers_are_malformed(name: str) -> None:
    """What crashed or fooled a dissector is refused for its length."""
    for octets in captured(f"tcpdump/{name}.pcap"):
        with pytest.raises(MalformedPacketError, match="truncated"):
            attributes(octets)


@needs_cases
def test_a_class_with_nuls_is_kept_whole() -> None:
    """A real Interim-Update with a binary Class and unknown vendor attributes."""
    request, response = captured("arkime/radius.pcap")
    by_name = {entry.name: entry for entry in attributes(request)}

    assert b"\x00" in by_name["Class"].raw
    assert by_name["Acct-Status-Type"].value == "Interim-Update"
    assert by_name["Acct-Session-Time"].value == 177620
    assert "Attr-26.14823.5" in by_name
    assert attributes(response) == []


@needs_cases
def test_real_accounting_packets_are_read() -> None:
    """Cisco and Motorola Starts; their neighbour that must be dropped is malformed."""
    cisco = {a.name: a.value for a in attributes(_case("cisco_accounting"))}
    motorola = {a.name: a.value for a in attributes(_case("motorola_accounting"))}

    assert (cisco["Tunnel-Type"], cisco["Tunnel-Private-Group-Id"]) == ("VLAN", "5")
    assert cisco["Acct-Session-Id"] == "4fecc41e/7c:c5:37:ff:f8:af/9"
    assert motorola["Event-Timestamp"] == "2012-10-10T14:35:53Z"
    with pytest.raises(MalformedPacketError, match="long"):
        attributes(_case("invalid_register"))


def _case(name: str) -> bytes:
    return packet(f"node-radius/{name}.packet")


@needs_cases
def test_the_examples_of_rfc_2865_are_read() -> None:
    """RFC 2865 section 7; its seventh packet is misprinted: a State that overruns."""
    examples = printed("rfc/rfc2865-s7.txt")
    first = [(entry.name, entry.value) for entry in attributes(examples[0])]

    assert first == [
        ("User-Name", "nemo"),
        ("User-Password", "<hidden, 16 octets>"),
        ("NAS-IP-Address", "192.168.1.16"),
        ("NAS-Port", 3),
    ]
    for number, octets in enumerate(examples, 1):
        if number == 7:
            with pytest.raises(MalformedPacketError, match="attribute_length"):
                attributes(octets)
        else:
            attributes(octets)
