"""MS-CHAPv2 (RFC 2759) as RADIUS carries it (RFC 2548), and its MPPE keys (RFC 3079).

MD4 is written here, because the OpenSSL of today has it only among what is switched
off; single DES is what ``cryptography`` still has, as TripleDES with three equal keys.
Nothing here is secure by today's measure: it is what PPP subscribers' devices speak.
"""

from __future__ import annotations

import hmac
import struct
from hashlib import sha1
from typing import NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

RESPONSE_OCTETS = 50
"""Ident, flags, peer challenge (16), reserved (8), NT-Response (24)."""

_MASK = 0xFFFFFFFF
_MAGIC_1 = b"Magic server to client signing constant"
_MAGIC_2 = b"Pad to make it do more than one iteration"
_MASTER_MAGIC = b"This is the MPPE Master Key"
_CLIENT_SENDS = (
    b"On the client side, this is the send key; on the server side, it is the receive "
    b"key."
)
_CLIENT_RECEIVES = (
    b"On the client side, this is the receive key; on the server side, it is the send "
    b"key."
)
_PAD_1, _PAD_2 = bytes(40), b"\xf2" * 40

# RFC 1320: for each round its constant, the shifts, and which word each step takes.
_ROUNDS = (
    (0, (3, 7, 11, 19), tuple(range(16))),
    (
        0x5A827999,
        (3, 5, 9, 13),
        (0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
    ),
    (
        0x6ED9EBA1,
        (3, 9, 11, 15),
        (0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15),
    ),
)


def md4(octets: bytes) -> bytes:
    """Compute the MD4 digest (RFC 1320)."""
    padded = octets + b"\x80" + bytes((55 - len(octets)) % 64)
    padded += struct.pack("<Q", len(octets) * 8)
    state = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
    for block in struct.iter_unpack("<16I", padded):
        a, b, c, d = state
        for number, (constant, shifts, order) in enumerate(_ROUNDS):
            for step, word in enumerate(order):
                if number == 0:
                    mixed = (b & c) | (~b & d)
                elif number == 1:
                    mixed = (b & c) | (b & d) | (c & d)
                else:
                    mixed = b ^ c ^ d
                total = (a + mixed + block[word] + constant) & _MASK
                shift = shifts[step & 3]
                turned = (total << shift | total >> (32 - shift)) & _MASK
                a, b, c, d = d, turned, b, c
        parts = zip(state, (a, b, c, d), strict=True)
        state = tuple((old + new) & _MASK for old, new in parts)  # type: ignore[assignment]
    return struct.pack("<4I", *state)


def password_hash(password: str) -> bytes:
    """Give NtPasswordHash (RFC 2759 section 8.3), the MD4 of UTF-16."""
    return md4(password.encode("utf-16-le"))


def _des(key: bytes, block: bytes) -> bytes:
    bits = int.from_bytes(key)
    # Seven octets become eight: seven bits each, and a parity bit that nobody reads.
    spread = bytes((bits >> shift & 0x7F) << 1 for shift in range(49, -1, -7))
    encryptor = Cipher(TripleDES(spread * 3), modes.ECB()).encryptor()  # noqa: S305
    return encryptor.update(block)


def challenge_response(challenge: bytes, nt_hash: bytes) -> bytes:
    """Give ChallengeResponse (RFC 2759 section 8.5): 24 octets for a challenge of 8."""
    padded = nt_hash.ljust(21, b"\0")
    return b"".join(_des(padded[i : i + 7], challenge) for i in (0, 7, 14))


def challenge_hash(peer: bytes, authenticator: bytes, user: bytes) -> bytes:
    """Give ChallengeHash (RFC 2759 section 8.2); a ``DOMAIN\\`` is not in it."""
    name = user.rpartition(b"\\")[2]
    return sha1(peer + authenticator + name, usedforsecurity=False).digest()[:8]


class Proof(NamedTuple):
    """What a right response earns: the success message and both keys of the NAS."""

    success: bytes
    """MS-CHAP2-Success without its ident: ``S=`` and 40 hexadecimal digits."""
    send_key: bytes
    receive_key: bytes


def check_response(
    response: bytes, challenge: bytes, user: bytes, nt_hash: bytes
) -> Proof | None:
    """Check an MS-CHAP2-Response of 50 octets against a challenge of 16.

    None when it is wrong (RFC 2759 section 8, RFC 2548 section 2.3.2).
    """
    peer, answer = response[2:18], response[26:50]
    hashed = challenge_hash(peer, challenge, user)
    if not hmac.compare_digest(challenge_response(hashed, nt_hash), answer):
        return None
    hash_hash = md4(nt_hash)
    signed = _sha1(hash_hash, answer, _MAGIC_1)
    text = _sha1(signed, hashed, _MAGIC_2).hex().upper()
    # RFC 3079 section 3.4: keys of 128 bits, named as the client sees them.
    master = _sha1(hash_hash, answer, _MASTER_MAGIC)[:16]
    return Proof(
        b"S=" + text.encode(),
        _sha1(master, _PAD_1, _CLIENT_RECEIVES, _PAD_2)[:16],
        _sha1(master, _PAD_1, _CLIENT_SENDS, _PAD_2)[:16],
    )


def _sha1(*parts: bytes) -> bytes:
    return sha1(b"".join(parts), usedforsecurity=False).digest()


def failure(ident: int, challenge: bytes) -> bytes:
    """Give MS-CHAP-Error (RFC 2548 section 2.1.5): 691, and no second try."""
    text = f"E=691 R=0 C={challenge.hex().upper()} V=3 M=Authentication failed"
    return bytes((ident,)) + text.encode()
