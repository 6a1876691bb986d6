"""Passwords as they are stored: hashed where PAP is enough, sealed where it is not.

PAP brings the password itself, so an argon2id hash is all that has to be kept. CHAP and
MS-CHAP bring a function of it, so it must be there: then it is sealed with AES-256-GCM,
bound to its ISP and service, so that a sealed password copied to another row does not
open. Both forms are text, for ``password_hash`` and ``password_sealed`` of a service.
"""

from __future__ import annotations

import base64
import binascii

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_SEALED = "aesgcm1$"
NONCE_OCTETS = 12

# A subscriber's password is checked when a line comes up, and after an outage all lines
# do. 8 MiB and one pass took 7.4 ms of CPU on the machine of decision 15, the
# recommended 64 MiB and three passes 287 ms.
_HASHER = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1)


def hash_password(password: str) -> str:
    """Hash a password with a random salt: argon2id in PHC form."""
    return _HASHER.hash(password)


def is_hash_of(password_hash: str, password: bytes) -> bool:
    """Say whether a hash is of this password; for a thread: it takes milliseconds."""
    try:
        return _HASHER.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def seal_password(
    key: bytes, *, isp: str, service: str, password: str, nonce: bytes
) -> str:
    """Seal a password; ``nonce`` is 12 random octets, never used before."""
    sealed = AESGCM(key).encrypt(nonce, password.encode(), _bound_to(isp, service))
    return _SEALED + base64.b64encode(nonce + sealed).decode()


def unseal_password(key: bytes, isp: str, service: str, sealed: str) -> bytes | None:
    """Open a sealed password; None for what this key did not seal for this service."""
    if not sealed.startswith(_SEALED):
        return None
    try:
        octets = base64.b64decode(sealed[len(_SEALED) :], validate=True)
        nonce, body = octets[:NONCE_OCTETS], octets[NONCE_OCTETS:]
        return AESGCM(key).decrypt(nonce, body, _bound_to(isp, service))
    except (binascii.Error, InvalidTag, ValueError):
        return None


def _bound_to(isp: str, service: str) -> bytes:
    return b"fairlane password\0" + isp.encode() + b"\0" + service.encode()
