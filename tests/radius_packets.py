"""Accounting packets for tests: attributes by name, signed with a secret."""

from __future__ import annotations

import ipaddress
import struct

from radius.packet import accounting_request, attribute

SECRET = b"a secret of 24 octets ..."

_TEXT = {
    "user_name": 1,
    "called_station_id": 30,
    "calling_station_id": 31,
    "nas_identifier": 32,
    "acct_session_id": 44,
    "acct_multi_session_id": 50,
    "nas_port_id": 87,
}
_NUMBER = {
    "status": 40,
    "delay": 41,
    "input_octets": 42,
    "output_octets": 43,
    "session_seconds": 46,
    "input_packets": 47,
    "output_packets": 48,
    "terminate_cause": 49,
    "link_count": 51,
    "input_gigawords": 52,
    "output_gigawords": 53,
    "event_at": 55,
}
_ADDRESS = {"nas_ip_address": 4, "framed_ip_address": 8}


def attributes(**values: str | int | bytes | None) -> bytes:
    """Encode attributes; ``raw`` is appended as it is, None is left out."""
    encoded = b""
    for name, value in values.items():
        if value is None:
            continue
        if name == "raw":
            assert isinstance(value, bytes)
            encoded += value
        elif name in _TEXT:
            octets = value if isinstance(value, bytes) else str(value).encode()
            encoded += attribute(_TEXT[name], octets)
        elif name in _NUMBER:
            encoded += attribute(_NUMBER[name], struct.pack("!I", value))
        else:
            address = ipaddress.ip_address(str(value))
            encoded += attribute(_ADDRESS[name], address.packed)
    return encoded


def octets(direction: str, value: int | None) -> dict[str, int]:
    """Give a 64-bit counter as the two attributes of RFC 2869 section 5.1."""
    if value is None:
        return {}
    return {
        f"{direction}_octets": value & 0xFFFFFFFF,
        f"{direction}_gigawords": value >> 32,
    }


def packet(
    identifier: int = 1, secret: bytes = SECRET, **values: str | int | bytes | None
) -> bytes:
    """Make a signed Accounting-Request; a NAS identifier unless it names another."""
    if "nas_identifier" not in values and "nas_ip_address" not in values:
        values["nas_identifier"] = "bng1"
    return accounting_request(identifier, attributes(**values), secret)
