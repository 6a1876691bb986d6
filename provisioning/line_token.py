"""A line token: proof, in a short string, that its bearer was on a line.

The walled garden gives it to who connects from the line, known by its lease; it is then
good on every channel, so nothing has to be typed. It is signed and not encrypted: it
says nothing that its bearer must not know.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

TOKEN_SECONDS: Final = 24 * 3600
"""A day: long enough to register in the evening what was connected in the morning."""

_SIGNATURE_OCTETS: Final = 16
_LENGTH: Final = 400


def issue(line: str, now: int, key: bytes) -> str:
    """Make the token of a line; ``now`` in epoch seconds."""
    payload = f"{now + TOKEN_SECONDS}:{line}".encode()
    sealed = _sign(payload, key) + payload
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def line_of(token: str, now: int, key: bytes) -> str | None:
    """Give the line that a token is good for; None when it is not, or no longer."""
    if len(token) > _LENGTH or not token.isascii():
        return None
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    signature, payload = sealed[:_SIGNATURE_OCTETS], sealed[_SIGNATURE_OCTETS:]
    if not hmac.compare_digest(signature, _sign(payload, key)):
        return None
    until, _, line = payload.decode().partition(":")
    return line if int(until) >= now else None


def _sign(payload: bytes, key: bytes) -> bytes:
    whole = hmac.digest(key, b"fairlane line token\0" + payload, hashlib.sha256)
    return whole[:_SIGNATURE_OCTETS]
