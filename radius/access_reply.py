"""Access-Accept, -Reject and -Challenge: the Message-Authenticator first, always.

Every answer to an access packet is signed, whatever the request was, and the signature
is its first attribute, so that no prefix chosen by an attacker stands before it
(CVE-2024-3596). The request's Proxy-States come last, in their order (RFC 2865 section
5.33).
"""

from __future__ import annotations

import struct

from radius.packet import HEADER_OCTETS, MAXIMUM_OCTETS, hmac_md5, md5

_HEADER = struct.Struct("!BBH16s")
_BLANK = b"\x50\x12" + bytes(16)
_OVERHEAD = HEADER_OCTETS + len(_BLANK)


def access_reply(
    code: int, request: bytes, secret: bytes, attributes: bytes, proxy_states: bytes
) -> bytes:
    """Build and sign an answer; no octets when it would be longer than a packet."""
    tail = attributes + proxy_states
    length = _OVERHEAD + len(tail)
    if length > MAXIMUM_OCTETS:
        return b""
    head = _HEADER.pack(code, request[1], length, request[4:20])
    signature = hmac_md5(secret, head + _BLANK + tail)
    body = b"\x50\x12" + signature + tail
    return head[:4] + md5(head + body + secret).digest() + body
