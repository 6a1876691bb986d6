"""What an Accounting-Request reports, line by line of RFC 2866 and its followers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from radius_packets import SECRET, packet

from radius.accounting import Refusal, Refused, Report, describe, read_report
from radius.packet import accounting_request, attribute

ARRIVED = 1_700_000_000


def read(octets: bytes) -> Report | Refused:
    """Read a packet that arrived at ``ARRIVED``."""
    return read_report(
        octets, nas="bng1", received_at=ARRIVED, max_clock_skew_seconds=300
    )


def report(**values: str | int | bytes | None) -> Report:
    """Read an Interim-Update with these values."""
    made = read(packet(**{"status": 3, "acct_session_id": "A", **values}))
    assert isinstance(made, Report)
    return made


@given(st.binary(max_size=400))
def test_whatever_adds_up_is_a_report_or_refused(junk: bytes) -> None:
    """No value of any attribute raises."""
    attributes = b"".join(
        attribute(1 + junk[i] % 200, junk[i : i + 1 + junk[i] % 20])
        for i in range(0, len(junk), 7)
    )
    made = read(accounting_request(1, attributes, SECRET))

    assert isinstance(made, Report | Refused)
    if isinstance(made, Report):
        describe(made.standing)


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (packet(acct_session_id="A"), Refusal.STATUS_TYPE),
        (
            packet(status=3, acct_session_id="A", raw=attribute(40, bytes(4))),
            Refusal.STATUS_TYPE,
        ),
        (packet(status=3), Refusal.SESSION_ID),
        (
            packet(status=3, acct_session_id="A", raw=attribute(44, b"B")),
            Refusal.SESSION_ID,
        ),
        (
            packet(status=3, acct_session_id="A", nas_identifier=None),
            Refusal.NAS_IDENTITY,
        ),
        *[
            (
                packet(status=3, acct_session_id="A", raw=attribute(t, bytes(16))),
                Refusal.FORBIDDEN_ATTRIBUTE,
            )
            for t in (2, 3, 18, 24)
        ],
        *[
            (packet(status=s, acct_session_id="A"), Refusal.NOT_A_SESSION)
            for s in (9, 10, 11, 12, 13, 14, 15, 99)
        ],
    ],
)
def test_what_breaks_rfc_2866_section_4_1_counts_for_nothing(
    octets: bytes, reason: Refusal
) -> None:
    """It is on record and answered, and refused here with its reason."""
    made = read(octets)

    assert isinstance(made, Refused)
    assert reason is made.reason


@pytest.mark.parametrize("identity", [{"nas_ip_address": "192.0.2.1"}, {}])
def test_either_nas_identity_does_rfc_2866_section_4_1(
    identity: dict[str, str],
) -> None:
    """NAS-Identifier or NAS-IP-Address, and which it was is kept."""
    expected = identity.get("nas_ip_address", "bng1")

    assert expected == describe(report(**identity).standing).nas_identity


def test_event_timestamp_is_believed_within_bounds_rfc_2869_section_5_3() -> None:
    """A clock that is a little ahead is; one from another year is not."""
    assert ARRIVED + 300 == report(event_at=ARRIVED + 300).event_at
    assert ARRIVED - 86400 == report(event_at=ARRIVED - 86400, delay=5).event_at
    for wrong in (ARRIVED + 301, ARRIVED - 8 * 86400, 0):
        made = report(event_at=wrong, delay=5)
        assert (ARRIVED - 5, False) == (made.event_at, made.event_reported)


def test_delay_is_taken_off_the_arrival_rfc_2866_section_5_2() -> None:
    """All three times are there to be told apart."""
    made = report(delay=30)

    assert (ARRIVED, 30, ARRIVED - 30) == (
        made.received_at,
        made.delay_seconds,
        made.event_at,
    )


def test_gigawords_are_the_upper_half_rfc_2869_section_5_1() -> None:
    """Each direction for itself."""
    made = report(input_octets=5, input_gigawords=2, output_octets=7)

    assert (2 * 2**32 + 5, 7, True) == (
        made.input_octets,
        made.output_octets,
        made.gigawords,
    )


def test_what_no_line_can_carry_is_no_counter() -> None:
    """A counter of 2^60 octets is noise, and must not break who stores it."""
    made = report(input_octets=1, input_gigawords=1 << 28, output_octets=7)
    other = report(output_octets=1, output_gigawords=1 << 28, input_octets=7)

    assert (None, 7) == (made.input_octets, made.output_octets)
    assert (7, None) == (other.input_octets, other.output_octets)


def test_an_id_that_is_no_text_stays_readable_and_distinct() -> None:
    """No database takes a zero octet in text, nor what is not UTF-8."""
    made = report(acct_session_id=b"A\0\xff1")

    assert "A\\x00\\xff1" == made.acct_session_id


def test_an_absent_counter_is_none() -> None:
    """Absent is not zero; a value of the wrong size is absent (RFC 6929 2.8)."""
    made = report(raw=attribute(42, b"\0\1"), output_octets=0)

    assert (None, 0) == (made.input_octets, made.output_octets)


def test_terminate_cause_is_kept_even_when_unknown_rfc_2866_section_5_10() -> None:
    """1 to 18 and whatever else a NAS invents."""
    assert [1, 18, 4711] == [
        report(terminate_cause=c).terminate_cause for c in (1, 18, 4711)
    ]


def test_every_class_is_kept_whole_rfc_2865_section_5_25() -> None:
    """Opaque octets with NULs, all of them, in order."""
    classes = attribute(25, b"\0one\0") + attribute(25, b"two")

    assert classes == describe(report(raw=classes).standing).class_


def test_embedded_nul_is_legal_and_kept_apart_rfc_2865_section_5() -> None:
    """Two names that differ behind a NUL are two names."""
    one, other = (
        describe(report(user_name=name).standing).user_name
        for name in (b"a\0b", b"a\0c")
    )
    assert one != other


PREFIX = bytes((0, 56)) + bytes.fromhex("20010db800000100")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (PREFIX, "2001:db8:0:100::/56"),
        (bytes((0, 0)), "::/0"),
        (bytes((0, 64)) + bytes.fromhex("20010db8"), "2001:db8::/64"),
        (bytes((0, 129)) + bytes(16), None),
        (b"\0", None),
        (bytes(19), None),
        (bytes((0, 56)) + bytes.fromhex("20010db800000101"), None),
    ],
)
def test_a_prefix_is_read_or_invalid_rfc_8044_section_3_10(
    value: bytes, text: str | None
) -> None:
    """2 to 18 octets, a short tail zero, no bit behind the prefix (RFC 4818 s3)."""
    description = describe(report(raw=attribute(123, value)).standing)

    assert text == description.delegated_ipv6_prefixes


def test_several_prefixes_and_addresses_are_all_kept_rfc_6911() -> None:
    """IPv6 sessions have more than one of a kind."""
    address = bytes.fromhex("20010db8" + "00" * 11 + "01")
    raw = (
        attribute(97, bytes((0, 64)) + bytes.fromhex("20010db800000001"))
        + attribute(97, bytes((0, 64)) + bytes.fromhex("20010db800000002"))
        + attribute(168, address)
        + attribute(96, bytes(7) + b"\1")
    )

    description = describe(report(raw=raw).standing)

    assert "2001:db8:0:1::/64 2001:db8:0:2::/64" == description.framed_ipv6_prefixes
    assert "2001:db8::1" == description.framed_ipv6_addresses
    assert "0000:0000:0000:0001" == description.framed_interface_id


def vendor(body: bytes) -> bytes:
    """Make a DSL Forum attribute."""
    return attribute(26, struct.pack("!I", 3561) + body)


def test_circuit_and_remote_id_are_read_rfc_4679_section_3_3() -> None:
    """Both in one attribute or each in its own; what does not parse is opaque."""
    raw = (
        vendor(b"\x01\x00") + attribute(26, b"\x00") + vendor(b"\x01\x05eth\x02\x04cp")
    )
    description = describe(report(raw=raw).standing)

    assert ("eth", "cp") == (description.agent_circuit_id, description.agent_remote_id)


def test_multilink_is_kept_rfc_2866_section_5_11() -> None:
    """Acct-Multi-Session-Id and Acct-Link-Count tell the links of one bundle."""
    description = describe(report(acct_multi_session_id="M", link_count=2).standing)

    assert ("M", 2) == (description.acct_multi_session_id, description.link_count)


def test_station_ids_and_ports_stay_as_sent() -> None:
    """Normalising what a NAS sent breaks what is sent back to it."""
    description = describe(
        report(calling_station_id="00-1A.2b:ssid", nas_port_id="ge-0/0/1:7").standing
    )

    assert ("00-1A.2b:ssid", "ge-0/0/1:7") == (
        description.calling_station_id,
        description.nas_port_id,
    )
