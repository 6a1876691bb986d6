"""Short strings that only we can have made: signed, not encrypted.

They say nothing that their bearer must not know. Each use has a label of its own, so
that a token of one is none of another.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Final

_SIGNATURE_OCTETS: Final = 16
_LENGTH: Final = 400


def seal(label: str, said: str, key: bytes) -> str:
    """Make a token that says something."""
    payload = said.encode()
    sealed = _sign(label, payload, key) + payload
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def said_by(label: str, token: str, key: bytes) -> str | None:
    """Give what a token says; None for one that we did not make for this use."""
    if len(token) > _LENGTH or not token.isascii():
        return None
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except (binascii.Error, ValueError):
        return None
    signature, payload = sealed[:_SIGNATURE_OCTETS], sealed[_SIGNATURE_OCTETS:]
    if not hmac.compare_digest(signature, _sign(label, payload, key)):
        return None
    return payload.decode()


def _sign(label: str, payload: bytes, key: bytes) -> bytes:
    whole = hmac.digest(key, f"fairlane {label}\0".encode() + payload, hashlib.sha256)
    return whole[:_SIGNATURE_OCTETS]
