"""``fairlane decode``: one RADIUS packet, from hexadecimal to something to read.

It shows what the daemon would see of the packet, and with the secret whether the
daemon would believe it. It needs no configuration, no daemon and no socket. Exit codes:
0 decoded, 1 malformed or the signature is wrong, 2 not hexadecimal.
"""

from __future__ import annotations

import json
import re
import sys

import click

from config.radius_dictionary import tables
from radius.attributes import DecodedAttribute, MalformedPacketError, attributes
from radius.packet import (
    HEADER_OCTETS,
    Code,
    Malformed,
    Notable,
    is_message_authentic,
    is_request_authentic,
    trim,
    walk,
)

_INPUT_CHARACTERS = 65536
"""No packet is longer, however it is spaced: 4096 octets are 8192 digits."""

_SEPARATORS = re.compile(r"0[xX]|[\s:,-]+")

CODE_NAMES = {
    Code.ACCESS_REQUEST: "Access-Request",
    Code.ACCESS_ACCEPT: "Access-Accept",
    Code.ACCESS_REJECT: "Access-Reject",
    Code.ACCOUNTING_REQUEST: "Accounting-Request",
    Code.ACCOUNTING_RESPONSE: "Accounting-Response",
    Code.ACCESS_CHALLENGE: "Access-Challenge",
    Code.STATUS_SERVER: "Status-Server",
    Code.DISCONNECT_REQUEST: "Disconnect-Request",
    Code.DISCONNECT_ACK: "Disconnect-ACK",
    Code.DISCONNECT_NAK: "Disconnect-NAK",
    Code.COA_REQUEST: "CoA-Request",
    Code.COA_ACK: "CoA-ACK",
    Code.COA_NAK: "CoA-NAK",
}
"""Packet types as RFC 3575 section 2.1 writes them."""

_SIGNED_REQUESTS = frozenset(
    {Code.ACCOUNTING_REQUEST, Code.DISCONNECT_REQUEST, Code.COA_REQUEST}
)
_RANDOM_REQUESTS = frozenset({Code.ACCESS_REQUEST, Code.STATUS_SERVER})

VALID, WRONG, ABSENT = "valid", "wrong", "absent"
RANDOM = "random, nothing to check"
NEEDS_REQUEST = "not checked: it depends on the request"
NO_SUCH_CODE = "not checked: unknown code"


@click.command("decode")
@click.argument("packet", metavar="HEX")
@click.option("--secret", help="Check the authenticators with this shared secret.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def decode(packet: str, secret: str | None, as_json: bool) -> None:
    """Show a RADIUS packet given as hexadecimal, or on standard input with -.

    Blanks, colons and 0x are ignored. Passwords and keys are not shown.
    """
    octets = _octets(sys.stdin.read(_INPUT_CHARACTERS) if packet == "-" else packet)
    try:
        decoded = attributes(octets, tables())
    except MalformedPacketError as error:
        click.echo(
            f"fairlane decode: {error.reason} at octet {error.offset}"
            f" of {len(octets)}: {_EXPLANATIONS[error.reason]}",
            err=True,
        )
        raise click.exceptions.Exit(1) from None
    checks = {} if secret is None else _check(octets, secret.encode())
    show = _show_json if as_json else _show_text
    show(octets, decoded, checks)
    if WRONG in checks.values():
        raise click.exceptions.Exit(1)


def _octets(text: str) -> bytes:
    try:
        return bytes.fromhex(_SEPARATORS.sub("", text))
    except ValueError:
        msg = "not hexadecimal"
        raise click.BadParameter(msg, param_hint="HEX") from None


def _code_name(code: int) -> str:
    return CODE_NAMES[Code(code)] if code in _CODES else f"Code-{code}"


def _check(octets: bytes, secret: bytes) -> dict[str, str]:
    """Check a packet known to be well formed (RFC 2866 section 3, RFC 3579 s3.2)."""
    packet = trim(octets)
    assert not isinstance(packet, Malformed)
    found = walk(packet)
    assert isinstance(found, Notable)
    code, place = packet[0], found.message_authenticator
    if code in _SIGNED_REQUESTS:
        authenticator = VALID if is_request_authentic(packet, secret) else WRONG
    elif code in _RANDOM_REQUESTS:
        authenticator = RANDOM
    else:
        authenticator = NEEDS_REQUEST if code in _CODES else NO_SUCH_CODE
    if not place:
        message = ABSENT
    elif code in _SIGNED_REQUESTS or code in _RANDOM_REQUESTS:
        message = VALID if is_message_authentic(packet, place, secret) else WRONG
    else:
        message = NEEDS_REQUEST if code in _CODES else NO_SUCH_CODE
    return {"authenticator": authenticator, "message_authenticator": message}


def _show_text(
    octets: bytes, decoded: list[DecodedAttribute], checks: dict[str, str]
) -> None:
    length = int.from_bytes(octets[2:4])
    click.echo(f"{_code_name(octets[0])} ({octets[0]}) Id {octets[1]} length {length}")
    click.echo(f"  Authenticator = 0x{octets[4:HEADER_OCTETS].hex()}")
    for attribute in decoded:
        click.echo(f"  {_line(attribute)}")
    if len(octets) > length:
        click.echo(f"  # {len(octets) - length} octets of padding ignored")
    if checks:
        click.echo(f"Authenticator: {checks['authenticator']}")
        click.echo(f"Message-Authenticator: {checks['message_authenticator']}")


def _line(attribute: DecodedAttribute) -> str:
    tag = f":{attribute.tag}" if attribute.tag else ""
    value: str | int = attribute.value
    if attribute.is_text:
        value = '"' + str(value).replace('"', '\\"') + '"'
    note = f"  # {attribute.note}" if attribute.note else ""
    return f"{attribute.name}{tag} = {value}{note}"


def _show_json(
    octets: bytes, decoded: list[DecodedAttribute], checks: dict[str, str]
) -> None:
    length = int.from_bytes(octets[2:4])
    fact = {
        "code": octets[0],
        "code_name": _code_name(octets[0]),
        "identifier": octets[1],
        "length": length,
        "authenticator": octets[4:HEADER_OCTETS].hex(),
        "padding": len(octets) - length,
        "attributes": [_fact(attribute) for attribute in decoded],
        "checks": checks or None,
    }
    click.echo(json.dumps(fact, ensure_ascii=False))


def _fact(attribute: DecodedAttribute) -> dict[str, str | int | None]:
    return {
        "name": attribute.name,
        "vendor": attribute.vendor,
        "type": attribute.type,
        "tag": attribute.tag,
        "value": attribute.value,
        "octets": None if attribute.hidden else attribute.raw.hex(),
        "note": attribute.note,
    }


_CODES = frozenset(Code)

# Every reason a packet is refused for, to the sentence a person needs.
_EXPLANATIONS = {
    Malformed.SHORT: "a packet has at least 20 octets, and says so",
    Malformed.LONG: "its length field is above 4096",
    Malformed.TRUNCATED: "its length field says more octets than there are",
    Malformed.ATTRIBUTE_LENGTH: "the attribute there is shorter than its header, or"
    " runs over the end",
    Malformed.ATTRIBUTE_TYPE: "there is no attribute 0",
    Malformed.TOO_MANY_ATTRIBUTES: "more than 200 attributes",
    Malformed.MESSAGE_AUTHENTICATOR_LENGTH: "a Message-Authenticator has 18 octets",
    Malformed.MESSAGE_AUTHENTICATOR_TWICE: "a packet has one Message-Authenticator",
}
