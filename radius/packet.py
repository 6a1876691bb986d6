"""The lean RADIUS codec: what must be right for each packet, and not one step more.

On the accounting path a packet is checked (RFC 2865 section 3, RFC 2866 section 3),
journaled and answered without its attributes being decoded; so this module walks
lengths, signs and verifies, and builds replies. Reading attributes for people is
``radius.attributes``; for accounting it is ``radius.accounting``.

A packet whose lengths do not add up is malformed as a whole (RFC 6929 section 2.8); a
value that does not fit its type is the reader's business, not this module's.
"""

from __future__ import annotations

import _md5  # type: ignore[import-not-found]
import hmac
import struct
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from hashlib import _Hash

# The interpreter's own MD5 starts a third faster than OpenSSL's on 200 octets, and no
# FIPS policy of the host turns it off.
md5: Callable[[bytes], _Hash] = _md5.md5

HEADER_OCTETS = 20
MAXIMUM_OCTETS = 4096
MAXIMUM_ATTRIBUTES = 200
"""FreeRADIUS's default too: a real packet has thirty, 4096 octets could hold 2038."""

_MESSAGE_AUTHENTICATOR = 80
_PROXY_STATE = 33
_ZERO_AUTHENTICATOR = bytes(16)
_NOTABLE = frozenset({0, _PROXY_STATE, _MESSAGE_AUTHENTICATOR})


class Code(IntEnum):
    """Packet types, RFC 3575 section 2.1."""

    ACCESS_REQUEST = 1
    ACCESS_ACCEPT = 2
    ACCESS_REJECT = 3
    ACCOUNTING_REQUEST = 4
    ACCOUNTING_RESPONSE = 5
    ACCESS_CHALLENGE = 11
    STATUS_SERVER = 12
    DISCONNECT_REQUEST = 40
    DISCONNECT_ACK = 41
    DISCONNECT_NAK = 42
    COA_REQUEST = 43
    COA_ACK = 44
    COA_NAK = 45


class Malformed(StrEnum):
    """Why a datagram is no RADIUS packet; each is a label of the malformed counter."""

    SHORT = "short"
    LONG = "long"
    TRUNCATED = "truncated"
    ATTRIBUTE_LENGTH = "attribute_length"
    ATTRIBUTE_TYPE = "attribute_type"
    TOO_MANY_ATTRIBUTES = "too_many_attributes"
    MESSAGE_AUTHENTICATOR_LENGTH = "message_authenticator_length"
    MESSAGE_AUTHENTICATOR_TWICE = "message_authenticator_twice"


class Notable:
    """What a walk found that changes the answer: place of the signature, proxy states.

    ``message_authenticator`` is the offset of its value, 0 when absent;
    ``proxy_states`` are whole attributes in order (RFC 2865 section 5.33).
    """

    __slots__ = ("message_authenticator", "proxy_states")

    def __init__(self) -> None:
        self.message_authenticator = 0
        self.proxy_states = b""


NOTHING_NOTABLE = Notable()


def trim(datagram: bytes) -> bytes | Malformed:
    """Cut the padding off a datagram (RFC 2865 section 3), or say what is wrong."""
    size = len(datagram)
    if size < HEADER_OCTETS:
        return Malformed.SHORT
    length = datagram[2] << 8 | datagram[3]
    if length < HEADER_OCTETS:
        return Malformed.SHORT
    if length > MAXIMUM_OCTETS:
        return Malformed.LONG
    if length == size:
        return datagram
    if length > size:
        return Malformed.TRUNCATED
    return datagram[:length]


def walk(packet: bytes) -> Notable | Malformed:
    """Check that the attributes of a trimmed packet add up (RFC 2866 section 5).

    The loop is the hottest of the program: it only adds lengths, and leaves it to
    ``_note`` to look at the three types that matter.
    """
    end = len(packet)
    last = end - 1
    place = HEADER_OCTETS
    while place < last:
        length = packet[place + 1]
        if length < 2:
            return Malformed.ATTRIBUTE_LENGTH
        if packet[place] in _NOTABLE:
            return _walk_notable(packet)
        place += length
    if place != end:
        return Malformed.ATTRIBUTE_LENGTH
    # 200 attributes of two octets are the least that could break the cap.
    if end > HEADER_OCTETS + 2 * MAXIMUM_ATTRIBUTES:
        return _walk_notable(packet)
    return NOTHING_NOTABLE


def _walk_notable(packet: bytes) -> Notable | Malformed:
    end = len(packet)
    found = Notable()
    proxy_states = []
    place, count = HEADER_OCTETS, 0
    while place < end:
        length = packet[place + 1] if place + 1 < end else 0
        if length < 2 or place + length > end:
            return Malformed.ATTRIBUTE_LENGTH
        kind = packet[place]
        if kind == 0:
            return Malformed.ATTRIBUTE_TYPE
        if kind == _PROXY_STATE:
            proxy_states.append(packet[place : place + length])
        elif kind == _MESSAGE_AUTHENTICATOR:
            if length != 18:
                return Malformed.MESSAGE_AUTHENTICATOR_LENGTH
            if found.message_authenticator:
                return Malformed.MESSAGE_AUTHENTICATOR_TWICE
            found.message_authenticator = place + 2
        count += 1
        place += length
    if count > MAXIMUM_ATTRIBUTES:
        return Malformed.TOO_MANY_ATTRIBUTES
    found.proxy_states = b"".join(proxy_states)
    return found


def is_request_authentic(packet: bytes, secret: bytes) -> bool:
    """Say whether an accounting or CoA request was signed with this secret."""
    signed = packet[:4], _ZERO_AUTHENTICATOR, packet[20:], secret
    return hmac.compare_digest(md5(b"".join(signed)).digest(), packet[4:20])


_INNER, _OUTER = (bytes(octet ^ pad for octet in range(256)) for pad in (0x36, 0x5C))
_keyed: dict[bytes, tuple[_Hash, _Hash]] = {}
_KEYS_KEPT = 65_536


def hmac_md5(secret: bytes, octets: bytes) -> bytes:
    """Compute HMAC-MD5 (RFC 2104) from the key's two states, which are kept.

    A quarter of the time of ``hmac.digest``, which fetches MD5 from OpenSSL each time.
    """
    states = _keyed.get(secret)
    if states is None:
        key = (md5(secret).digest() if len(secret) > 64 else secret).ljust(64, b"\0")
        if len(_keyed) >= _KEYS_KEPT:
            _keyed.clear()
        states = md5(key.translate(_INNER)), md5(key.translate(_OUTER))
        _keyed[secret] = states
    inner, outer = states[0].copy(), states[1].copy()
    inner.update(octets)
    outer.update(inner.digest())
    return outer.digest()


def message_authenticator(
    packet: bytes, place: int, secret: bytes, authenticator: bytes
) -> bytes:
    """Compute the Message-Authenticator at ``place`` (RFC 3579 section 3.2).

    ``authenticator`` is what stands in for the header's field: zeros for accounting and
    CoA requests (RFC 5176 section 3.4), the request's own for the others.
    """
    blank = (
        packet[:4]
        + authenticator
        + packet[20:place]
        + _ZERO_AUTHENTICATOR
        + packet[place + 16 :]
    )
    return hmac_md5(secret, blank)


def is_message_authentic(packet: bytes, place: int, secret: bytes) -> bool:
    """Say whether the Message-Authenticator of a request holds."""
    own = packet[0] in {Code.ACCESS_REQUEST, Code.STATUS_SERVER}
    authenticator = packet[4:20] if own else _ZERO_AUTHENTICATOR
    return hmac.compare_digest(
        message_authenticator(packet, place, secret, authenticator),
        packet[place : place + 16],
    )


_HEADER = struct.Struct("!BBH")
_PLAIN_RESPONSES = [
    _HEADER.pack(Code.ACCOUNTING_RESPONSE, identifier, HEADER_OCTETS)
    for identifier in range(256)
]


def accounting_response(request: bytes, secret: bytes, proxy_states: bytes) -> bytes:
    """Build the answer to an accounting request or a Status-Server on its port.

    It carries the request's Proxy-States in their order and nothing else (RFC 2866
    section 4.2). It is a function of the request alone: answering a retransmission
    again gives the same octets, so no reply needs to be kept (RFC 5080 section 2.2.2).
    """
    if not proxy_states:
        header = _PLAIN_RESPONSES[request[1]]
        return header + md5(header + request[4:20] + secret).digest()
    header = _HEADER.pack(
        Code.ACCOUNTING_RESPONSE, request[1], HEADER_OCTETS + len(proxy_states)
    )
    signature = md5(header + request[4:20] + proxy_states + secret).digest()
    return header + signature + proxy_states


def attribute(kind: int, value: bytes) -> bytes:
    """Encode one attribute; a value of 1 to 253 octets (RFC 2865 section 5)."""
    if not 1 <= len(value) <= 253:
        msg = f"an attribute's value has 1 to 253 octets, not {len(value)}"
        raise ValueError(msg)
    return bytes((kind, len(value) + 2)) + value


def accounting_request(identifier: int, attributes: bytes, secret: bytes) -> bytes:
    """Build a signed Accounting-Request from attributes (RFC 2866 section 3)."""
    header = _HEADER.pack(
        Code.ACCOUNTING_REQUEST, identifier, HEADER_OCTETS + len(attributes)
    )
    signature = md5(header + _ZERO_AUTHENTICATOR + attributes + secret).digest()
    return header + signature + attributes


def is_response_authentic(response: bytes, request: bytes, secret: bytes) -> bool:
    """Say whether a response answers this request (RFC 2865 section 3)."""
    expected = md5(response[:4] + request[4:20] + response[20:] + secret).digest()
    return response[1] == request[1] and hmac.compare_digest(expected, response[4:20])
