"""The Class attribute that Fairlane issues, so that accounting names its service.

A NAS returns Class unmodified in every Accounting-Request (RFC 2865 section 5.25), so
use is guided by what was authorised, not by a User-Name that may have moved since. To
the NAS it is opaque. Its octets::

    3  "FL1"
    8  token: random, one for each Access-Accept; names the reservation of a session
    4  issued_at: epoch seconds
    n  the service's name in UTF-8
    8  BLAKE2s over all before, keyed with the site's class key

The signature keeps apart what we issued from Class values that other servers or an
operator's hand put there; who knows the NAS's secret could replay one, and no more.
"""

from __future__ import annotations

import hmac
import struct
from hashlib import blake2s
from typing import Final, NamedTuple

_MARK: Final = b"FL1"
_HEAD: Final = struct.Struct("!3s8sI")
_SIGNATURE: Final = 8
TOKEN_OCTETS: Final = 8
NAME_OCTETS: Final = 253 - _HEAD.size - _SIGNATURE
"""Octets that a service's name may have (``config.access_checks`` says so)."""


class ClassToken(NamedTuple):
    """What a Class of ours says; ``issued_at`` in epoch seconds."""

    token: bytes
    issued_at: int
    service: str


def issue(key: bytes, token: bytes, issued_at: int, service: bytes) -> bytes:
    """Make the value of a Class attribute for a service's name in UTF-8."""
    body = _HEAD.pack(_MARK, token, issued_at & 0xFFFFFFFF) + service
    return body + _sign(key, body)


def _sign(key: bytes, body: bytes) -> bytes:
    return blake2s(body, key=key, digest_size=_SIGNATURE).digest()


def read(key: bytes, value: bytes) -> ClassToken | None:
    """Read a Class value; None for one that we did not issue."""
    if len(value) <= _HEAD.size + _SIGNATURE or not value.startswith(_MARK):
        return None
    body, signature = value[:-_SIGNATURE], value[-_SIGNATURE:]
    if not hmac.compare_digest(_sign(key, body), signature):
        return None
    _, token, issued_at = _HEAD.unpack_from(body)
    try:
        return ClassToken(token, issued_at, body[_HEAD.size :].decode())
    except UnicodeDecodeError:
        return None


def find(key: bytes, attributes: bytes | None) -> ClassToken | None:
    """Find our token among whole Class attributes, as a session's row keeps them."""
    whole = attributes or b""
    place = 0
    while place + 2 <= len(whole):
        behind = place + max(2, whole[place + 1])
        token = read(key, whole[place + 2 : behind])
        if token is not None:
            return token
        place = behind
    return None
