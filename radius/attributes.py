"""Attributes as people read them: for ``fairlane decode`` and traces, not the hot path.

The one decision here is what is wrong with the packet and what only with an attribute
(RFC 6929 section 2.8). Lengths that do not add up make the packet malformed, exactly
where ``radius.packet`` says so; a value that does not fit its type leaves the packet
alone, and is shown as its octets with a note. What nobody knows is shown as octets too.
Secrets are never shown, not even enciphered: a trace is pasted into tickets.

Depth is bounded by construction, without recursion: packet, vendor, sub-attribute.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from config.moment import moment
from config.radius_dictionary import Attribute, AttributeTables, tables
from radius.packet import (
    HEADER_OCTETS,
    MAXIMUM_ATTRIBUTES,
    MAXIMUM_OCTETS,
    Malformed,
    trim,
)

_VENDOR_SPECIFIC = 26
_MESSAGE_AUTHENTICATOR = 80
_MICROSOFT = 311
_MAXIMUM_TAG = 0x1F
_IPV6_BITS = 128

# Secrets that the dictionary does not mark as enciphered: answers to a challenge, which
# a dictionary attack opens, passwords, keys and what Cisco sends as plain text.
_SECRETS = frozenset(
    {
        (0, 3),  # CHAP-Password
        (0, 70),  # ARAP-Password
        (0, 84),  # ARAP-Challenge-Response
        *((_MICROSOFT, code) for code in (1, 3, 4, 5, 6, 12, 19, 20, 25, 26, 27)),
        (9, 249),  # Cisco-Subscriber-Password
        (4874, 9),  # ERX-Tunnel-Password
        (4874, 37),  # ERX-PPP-Password
        (14988, 7),  # Mikrotik-Wireless-Enc-Key
        (14988, 16),  # Mikrotik-Wireless-PSK
        (14988, 20),  # Mikrotik-Wireless-MPKey
    }
)
_EAP_MESSAGE = (0, 79)
_EAP_RESPONSE = 2
_EAP_CHALLENGED = frozenset({4, 17, 26})  # MD5-Challenge, LEAP, MS-CHAP-V2
_CISCO_AVPAIR = (9, 1)
_SECRET_PAIR = re.compile(
    rb"([^=*]*(?:password|secret|psk|-key)[^=*]*[=*])(.*)", re.DOTALL | re.IGNORECASE
)


class MalformedPacketError(Exception):
    """The lengths of a packet do not add up; ``offset`` says at which octet."""

    def __init__(self, reason: Malformed, offset: int) -> None:
        super().__init__(f"malformed packet: {reason} at octet {offset}")
        self.reason = reason
        self.offset = offset


class _InvalidValueError(Exception):
    """A value that does not fit its type."""


@dataclass(frozen=True, slots=True)
class DecodedAttribute:
    """One attribute as it is shown.

    ``name`` is the dictionary's, or ``Attr-N``, or ``Attr-26.VENDOR.N``. ``vendor`` is
    the enterprise number, 0 for the standard space; ``type`` the number in that space.
    ``value`` is a number, or text with everything unprintable escaped; a number with a
    name is its name. ``raw`` is the value's octets without the tag (secrets included:
    do not print it where ``hidden``). ``note`` says what is wrong with it, if anything.
    ``tag`` is that of RFC 2868, None where there is none; ``is_text`` tells text from
    addresses, names and octets, so that it can be quoted.
    """

    name: str
    vendor: int
    type: int
    value: str | int
    raw: bytes
    note: str | None = None
    tag: int | None = None
    hidden: bool = False
    is_text: bool = False


def attributes(
    packet: bytes, known: AttributeTables | None = None
) -> list[DecodedAttribute]:
    """Decode the attributes of a packet in their order; padding is ignored.

    Raises MalformedPacketError where the packet as a whole must be dropped (RFC 2865
    section 3, RFC 2866 section 5); never anything else, whatever the octets.
    """
    trimmed = trim(packet)
    if isinstance(trimmed, Malformed):
        # Both a short datagram and a wrong length show in the length field at 2.
        raise MalformedPacketError(trimmed, min(len(packet), 2))
    if len(trimmed) > MAXIMUM_OCTETS:
        # Here a packet may come from anywhere, not only from a bounded socket read.
        raise MalformedPacketError(Malformed.LONG, 2)
    lookup = tables() if known is None else known
    decoded: list[DecodedAttribute] = []
    for code, value in _split(trimmed):
        if code == _VENDOR_SPECIFIC:
            decoded += _vendor_specific(lookup, value)
        else:
            decoded.append(_decode(lookup, 0, code, value))
    return decoded


def _split(packet: bytes) -> list[tuple[int, bytes]]:
    end, place = len(packet), HEADER_OCTETS
    found: list[tuple[int, bytes]] = []
    authenticators = 0
    while place < end:
        length = packet[place + 1] if place + 1 < end else 0
        if length < 2 or place + length > end:
            raise MalformedPacketError(Malformed.ATTRIBUTE_LENGTH, place)
        code = packet[place]
        if code == 0:
            raise MalformedPacketError(Malformed.ATTRIBUTE_TYPE, place)
        if code == _MESSAGE_AUTHENTICATOR:
            authenticators += 1
            if length != 18:
                raise MalformedPacketError(
                    Malformed.MESSAGE_AUTHENTICATOR_LENGTH, place
                )
            if authenticators > 1:
                raise MalformedPacketError(Malformed.MESSAGE_AUTHENTICATOR_TWICE, place)
        if len(found) == MAXIMUM_ATTRIBUTES:
            raise MalformedPacketError(Malformed.TOO_MANY_ATTRIBUTES, place)
        found.append((code, packet[place + 2 : place + length]))
        place += length
    return found


def _vendor_specific(known: AttributeTables, value: bytes) -> list[DecodedAttribute]:
    # RFC 2865 section 5.26: a vendor and at least one octet.
    if len(value) < 5:
        note = f"invalid attribute: {len(value)} octets, at least 5 expected"
        return [_opaque("Vendor-Specific", 0, _VENDOR_SPECIFIC, value, note)]
    vendor = int.from_bytes(value[:4])
    parts: list[tuple[int, bytes]] = []
    place, end = 4, len(value)
    while place < end:
        length = value[place + 1] if place + 1 < end else 0
        if length < 2 or place + length > end:
            # Only recommended, that format: a vendor may do as it likes.
            name = known.vendor_names.get(vendor, str(vendor))
            note = f"opaque: no sub-attributes of vendor {name}"
            return [_opaque("Vendor-Specific", 0, _VENDOR_SPECIFIC, value, note)]
        parts.append((value[place], value[place + 2 : place + length]))
        place += length
    return [_decode(known, vendor, code, part) for code, part in parts]


def _opaque(
    name: str,
    vendor: int,
    code: int,
    value: bytes,
    note: str | None = None,
    tag: int | None = None,
) -> DecodedAttribute:
    return DecodedAttribute(name, vendor, code, _octets(value), value, note, tag)


def _decode(
    known: AttributeTables, vendor: int, code: int, value: bytes
) -> DecodedAttribute:
    entry = known.find(vendor, code)
    if entry is None:
        name = f"Attr-26.{vendor}.{code}" if vendor else f"Attr-{code}"
        return _opaque(name, vendor, code, value)
    tag, content, note = _untag(entry, value) if entry.has_tag else (None, value, None)
    hidden = _hide(entry, content)
    if hidden is not None:
        return DecodedAttribute(
            entry.name, vendor, code, hidden, content, note, tag, hidden=True
        )
    try:
        shown = _SHOW[entry.type](content)
    except _InvalidValueError as error:
        note = f"invalid attribute: {error}"
        return _opaque(entry.name, vendor, code, content, note, tag)
    if entry.values and isinstance(shown, int):
        shown = entry.values.get(shown, shown)
    return DecodedAttribute(
        entry.name,
        vendor,
        code,
        shown,
        content,
        note,
        tag,
        is_text=entry.type == "string",
    )


def _untag(entry: Attribute, value: bytes) -> tuple[int | None, bytes, str | None]:
    """Take the tag off a value (RFC 2868 section 3)."""
    if not value:
        return None, value, None
    if entry.type == "integer":
        if len(value) != 4:
            return None, value, None
        if value[0] > _MAXIMUM_TAG:
            return None, value, f"tag {value[0]:#04x} is above 0x1f"
        return value[0], b"\0" + value[1:], None
    # In text a first octet above 0x1f is text already; the salt of a secret always
    # follows a tag.
    if value[0] > _MAXIMUM_TAG:
        return None, value, None
    return value[0], value[1:], None


def _hide(entry: Attribute, value: bytes) -> str | None:
    key = (entry.vendor, entry.code)
    if entry.encrypted or key in _SECRETS:
        return f"<hidden, {len(value)} octets>"
    if key == _EAP_MESSAGE and len(value) > 4 and value[0] == _EAP_RESPONSE:
        # RFC 3748 section 4.1: the type is the fifth octet.
        return f"<hidden, {len(value)} octets>" if value[4] in _EAP_CHALLENGED else None
    if key == _CISCO_AVPAIR:
        pair = _SECRET_PAIR.fullmatch(value)
        if pair:
            return f"{_escape(pair[1])}<hidden, {len(pair[2])} octets>"
    return None


def _octets(value: bytes) -> str:
    return "0x" + value.hex()


def _escape(value: bytes) -> str:
    r"""Write octets as text of one line that cannot act on a terminal.

    UTF-8 that prints stays; every other octet, NUL too, is ``\xNN``, and a backslash is
    doubled, so that the octets can be told from the text.
    """
    shown = []
    for character in value.decode("utf-8", "surrogateescape"):
        if character == "\\":
            shown.append("\\\\")
        elif character.isprintable():
            shown.append(character)
        else:
            encoded = character.encode("utf-8", "surrogateescape")
            shown += [f"\\x{octet:02x}" for octet in encoded]
    return "".join(shown)


def _text(value: bytes) -> str:
    # RFC 2865 section 5: text of length zero is not sent.
    if not value:
        msg = "empty"
        raise _InvalidValueError(msg)
    return _escape(value)


def _sized(value: bytes, size: int) -> bytes:
    if len(value) != size:
        msg = f"{len(value)} octets, {size} expected"
        raise _InvalidValueError(msg)
    return value


def _number(size: int, *, signed: bool = False) -> Callable[[bytes], int]:
    def show(value: bytes) -> int:
        return int.from_bytes(_sized(value, size), signed=signed)

    return show


def _date(value: bytes) -> str:
    return moment(int.from_bytes(_sized(value, 4)))


def _prefix(value: bytes) -> str:
    """Show a prefix (RFC 3162 section 2.3, RFC 4818 section 3, RFC 8044 section 3.10).

    A reserved octet, the length in bits, then as many octets as are needed or more: a
    short tail is zero, but a bit beyond the length that is set is invalid.
    """
    if not 2 <= len(value) <= 18:
        msg = f"{len(value)} octets, 2 to 18 expected"
        raise _InvalidValueError(msg)
    bits = value[1]
    if bits > _IPV6_BITS:
        msg = f"prefix length {bits} is above {_IPV6_BITS}"
        raise _InvalidValueError(msg)
    address = int.from_bytes(value[2:].ljust(16, b"\0"))
    if address & ((1 << (_IPV6_BITS - bits)) - 1):
        msg = f"bits beyond the prefix length {bits} are set"
        raise _InvalidValueError(msg)
    return f"{ipaddress.IPv6Address(address)}/{bits}"


def _interface(value: bytes) -> str:
    _sized(value, 8)
    return ":".join(f"{int.from_bytes(value[i : i + 2]):x}" for i in range(0, 8, 2))


# Data type to how it is shown; total over config.radius_dictionary.TYPES.
_SHOW: dict[str, Callable[[bytes], str | int]] = {
    "byte": _number(1),
    "date": _date,
    "ether": lambda value: _sized(value, 6).hex(":"),
    "ifid": _interface,
    "integer": _number(4),
    "integer64": _number(8),
    "ipaddr": lambda value: str(ipaddress.IPv4Address(_sized(value, 4))),
    "ipv6addr": lambda value: str(ipaddress.IPv6Address(_sized(value, 16))),
    "ipv6prefix": _prefix,
    "octets": _octets,
    "short": _number(2),
    "signed": _number(4, signed=True),
    "string": _text,
}
