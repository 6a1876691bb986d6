"""What ``fairlane decode`` prints, and how it ends."""

from __future__ import annotations

import json
import struct

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from pyrad.packet import AcctPacket, AuthPacket, CoAPacket
from radius_cases import captured, needs_cases, packet, printed

from config.radius_dictionary import read
from daemon.commands.decode import _EXPLANATIONS, CODE_NAMES, decode
from radius.packet import Code, Malformed, accounting_request, attribute

SECRET = b"correct horse"


def _run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(decode, list(arguments), input=stdin)


def _start() -> bytes:
    return accounting_request(
        9, attribute(40, b"\0\0\0\1") + attribute(44, b'a"1\x07'), SECRET
    )


def test_a_packet_is_printed_header_first_and_one_attribute_a_line() -> None:
    """The form is that of a debugging server: names, types and quoted text."""
    octets = _start()
    result = _run(octets.hex())

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "Accounting-Request (4) Id 9 length 32",
        f"  Authenticator = 0x{octets[4:20].hex()}",
        "  Acct-Status-Type = Start",
        '  Acct-Session-Id = "a\\"1\\x07"',
    ]


def test_tags_notes_and_padding_are_printed() -> None:
    """What is wrong with an attribute stands behind it; padding is counted."""
    octets = accounting_request(
        1, attribute(64, b"\1\0\0\3") + attribute(5, b"ab"), SECRET
    )
    result = _run((octets + b"\0\0").hex())

    assert result.stdout.splitlines()[2:] == [
        "  Tunnel-Type:1 = L2TP",
        "  NAS-Port = 0x6162  # invalid attribute: 2 octets, 4 expected",
        "  # 2 octets of padding ignored",
    ]


@pytest.mark.parametrize(
    "write",
    [
        lambda octets: octets.hex().upper(),
        lambda octets: octets.hex(":"),
        lambda octets: octets.hex(" ", 2),
        lambda octets: "0x" + octets.hex(),
        lambda octets: octets.hex("\n", 16) + "\n",
        lambda octets: ", ".join(f"0x{octet:02x}" for octet in octets),
    ],
)
def test_hexadecimal_may_be_spaced_as_tools_space_it(write) -> None:  # type: ignore[no-untyped-def]
    """Blanks, colons, commas and 0x are ignored, as argument and on stdin."""
    octets = _start()
    plain = _run(octets.hex()).stdout

    assert _run(write(octets)).stdout == plain
    assert _run("-", stdin=write(octets)).stdout == plain


def test_json_prints_one_object_a_line() -> None:
    """Names, numbers and octets, for programs."""
    octets = _start()
    result = _run("--json", "--secret", SECRET.decode(), octets.hex())
    fact = json.loads(result.stdout)

    assert result.stdout.count("\n") == 1
    assert fact["attributes"].pop() == {
        "name": "Acct-Session-Id",
        "vendor": 0,
        "type": 44,
        "tag": None,
        "value": 'a"1\\x07',
        "octets": "61223107",
        "note": None,
    }
    assert fact["attributes"].pop()["value"] == "Start"
    assert fact == {
        "code": 4,
        "code_name": "Accounting-Request",
        "identifier": 9,
        "length": 32,
        "authenticator": octets[4:20].hex(),
        "padding": 0,
        "attributes": [],
        "checks": {"authenticator": "valid", "message_authenticator": "absent"},
    }


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_secrets_are_printed_in_no_form(form: list[str]) -> None:
    """A User-Password is counted; neither its octets nor the secret appear."""
    hidden = bytes(range(200, 216))
    octets = struct.pack("!BBH16x", 1, 1, 38) + attribute(2, hidden)
    result = _run(*form, "--secret", SECRET.decode(), octets.hex())

    assert "<hidden, 16 octets>" in result.stdout
    assert hidden.hex() not in result.stdout
    assert SECRET.decode() not in result.output


def test_a_wrong_secret_is_said_and_ends_with_1() -> None:
    """RFC 2866 section 3: the request authenticator tells the secret."""
    octets = _start()
    right = _run("--secret", SECRET.decode(), octets.hex())
    wrong = _run("--secret", "battery staple", octets.hex())

    assert right.exit_code == 0
    assert "Authenticator: valid" in right.stdout.splitlines()
    assert wrong.exit_code == 1
    assert "Authenticator: wrong" in wrong.stdout.splitlines()
    assert "Acct-Status-Type = Start" in wrong.stdout


@pytest.mark.parametrize("kind", [AuthPacket, AcctPacket, CoAPacket])
def test_message_authenticators_of_each_kind_of_request_are_checked(
    kind: type[AuthPacket | AcctPacket | CoAPacket],
) -> None:
    """RFC 3579 section 3.2, RFC 5176 section 3.4: pyrad signs, decode believes."""
    request = kind(secret=SECRET, dict=read(), id=3, message_authenticator=True)
    request.AddAttribute("User-Name", "nemo")
    octets = request.RequestPacket()
    altered = octets.replace(b"nemo", b"omen")

    checked = _run("--secret", SECRET.decode(), octets.hex())
    assert "Message-Authenticator: valid" in checked.stdout.splitlines()
    assert checked.exit_code == 0
    refused = _run("--secret", SECRET.decode(), altered.hex())
    assert "Message-Authenticator: wrong" in refused.stdout.splitlines()
    assert refused.exit_code == 1


def test_what_cannot_be_checked_is_said() -> None:
    """RFC 2865 section 3: a response is signed with the request's authenticator."""
    reply = struct.pack("!BBH16x", 5, 1, 20)
    strange = struct.pack("!BBH16x", 58, 1, 20)

    checked = _run("--secret", "x", reply.hex())
    assert "Authenticator: not checked: it depends on the request" in checked.stdout
    assert checked.exit_code == 0
    unknown = _run("--secret", "x", strange.hex())
    assert unknown.stdout.startswith("Code-58 (58) Id 1 length 20\n")
    assert "Authenticator: not checked: unknown code" in unknown.stdout


@pytest.mark.parametrize(
    ("octets", "complaint"),
    [
        ("", "short at octet 0 of 0"),
        ("04010015" + "00" * 16, "truncated at octet 2 of 20"),
        ("04010017" + "00" * 16 + "010062", "attribute_length at octet 20 of 23"),
    ],
)
def test_a_malformed_packet_names_reason_and_offset(
    octets: str, complaint: str
) -> None:
    """It ends with 1, the complaint is on stderr and stdout stays empty."""
    result = _run("-", stdin=octets)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(f"fairlane decode: {complaint}: ")


@pytest.mark.parametrize("text", ["xyz", "0401001", "04 01 0g", "é"])
def test_what_is_not_hexadecimal_ends_with_2(text: str) -> None:
    """A mistake in usage, not in the packet."""
    result = _run(text)

    assert result.exit_code == 2
    assert "not hexadecimal" in result.stderr


@given(st.binary(max_size=120), st.booleans())
def test_no_input_makes_it_fail_otherwise(octets: bytes, framed: bool) -> None:
    """Any octets end with 0 or 1, without a traceback."""
    if framed:
        octets = struct.pack("!BBH16x", 4, 1, 20 + len(octets)) + octets
    result = _run("--secret", "x", octets.hex())

    assert result.exit_code in {0, 1}
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_every_code_has_a_name_and_every_reason_an_explanation() -> None:
    """The tables are total."""
    assert set(CODE_NAMES) == set(Code)
    assert set(_EXPLANATIONS) == set(Malformed)


@needs_cases
@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("cisco_accounting", "nearbuy"),
        ("motorola_accounting", "nearbuy"),
        ("aruba_mac_auth", "nearbuy"),
        ("eap_request", "testing123"),
    ],
)
def test_real_packets_are_believed_with_their_secret(name: str, secret: str) -> None:
    """Accounting by its authenticator, access by its Message-Authenticator."""
    octets = packet(f"node-radius/{name}.packet").hex()

    right = _run("--secret", secret, octets)
    assert right.exit_code == 0
    assert "uthenticator: valid" in right.stdout
    assert _run("--secret", "other", octets).exit_code == 1


@needs_cases
def test_the_queries_of_rfc_5997_are_believed() -> None:
    """RFC 5997 section 6: Status-Server signed with xyzzy5461."""
    queries = [p for p in printed("rfc/rfc5997-s6.txt") if p[0] == Code.STATUS_SERVER]

    assert len(queries) == 3
    for octets in queries:
        result = _run("--secret", "xyzzy5461", octets.hex())
        assert "Message-Authenticator: valid" in result.stdout.splitlines()


@needs_cases
def test_captured_requests_to_change_sessions_are_believed() -> None:
    """RFC 5176 section 3.4: a Disconnect-Request, and a CoA-Request to port 1700."""
    disconnect = captured("tcpdump/RADIUS-RFC5176.pcap")[0]
    (change,) = captured("tcpdump/RADIUS-port1700.pcap")

    lines = _run("--secret", "testing123", disconnect.hex()).stdout.splitlines()
    assert lines[0].startswith("Disconnect-Request (40)")
    assert lines[-2:] == ["Authenticator: valid", "Message-Authenticator: valid"]
    lines = _run("--secret", "testing123", change.hex()).stdout.splitlines()
    assert lines[0].startswith("CoA-Request (43)")
    assert lines[-2:] == ["Authenticator: valid", "Message-Authenticator: absent"]


@needs_cases
def test_a_captured_request_signed_over_a_random_authenticator_is_not_believed() -> (
    None
):
    """RFC 5176 section 3.4: this CoA-Request was made like an Access-Request."""
    octets = captured("tcpdump/RADIUS-RFC5176.pcap")[3]
    result = _run("--secret", "testing123", octets.hex())

    assert result.stdout.startswith("CoA-Request (43)")
    assert "Authenticator: wrong" in result.stdout.splitlines()
    assert result.exit_code == 1
