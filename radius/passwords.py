"""User-Password and CHAP-Password: hidden, revealed and compared.

Hiding is MD5 as a stream cipher (RFC 2865 section 5.2), with a salt for what an answer
carries (RFC 2868 section 3.5, RFC 2548 section 2.4.2). It is done on whole numbers of
16 octets, not octet by octet, because a PAP request pays for it each time.
"""

from __future__ import annotations

import hmac

from radius.packet import md5

LONGEST = 128
"""Octets of a User-Password at most (RFC 2865 section 5.2)."""


def _stream(octets: bytes, secret: bytes, start: bytes, *, hiding: bool) -> bytes:
    done, previous = [], start
    for place in range(0, len(octets), 16):
        block = octets[place : place + 16]
        key = md5(secret + previous).digest()
        turned = (int.from_bytes(block) ^ int.from_bytes(key)).to_bytes(16)
        previous = turned if hiding else block
        done.append(turned)
    return b"".join(done)


def hide_password(password: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """Hide a User-Password; ValueError for one that is longer than 128 octets."""
    if len(password) > LONGEST:
        msg = f"a User-Password has at most {LONGEST} octets"
        raise ValueError(msg)
    padded = password.ljust(max(16, -(-len(password) // 16) * 16), b"\0")
    return _stream(padded, secret, authenticator, hiding=True)


def reveal_password(hidden: bytes, secret: bytes, authenticator: bytes) -> bytes:
    """Reveal a User-Password of 16 to 128 octets; the padding of NULs is cut off."""
    return _stream(hidden, secret, authenticator, hiding=False).rstrip(b"\0")


def hide_salted(value: bytes, secret: bytes, authenticator: bytes, salt: int) -> bytes:
    """Hide a value of an answer: salt of two octets, then length and value, hidden.

    ``salt`` is 0 to 32767 and differs within one packet; its first bit is set here
    (RFC 2868 section 3.5).
    """
    plain = bytes((len(value),)) + value
    padded = plain.ljust(-(-len(plain) // 16) * 16, b"\0")
    salted = (0x8000 | salt).to_bytes(2)
    return salted + _stream(padded, secret, authenticator + salted, hiding=True)


def reveal_salted(hidden: bytes, secret: bytes, authenticator: bytes) -> bytes | None:
    """Reveal what ``hide_salted`` hid; None when it cannot be that."""
    if len(hidden) < 18 or len(hidden) % 16 != 2:
        return None
    plain = _stream(hidden[2:], secret, authenticator + hidden[:2], hiding=False)
    return plain[1 : 1 + plain[0]] if plain[0] < len(plain) else None


def is_chap_right(chap_password: bytes, challenge: bytes, password: bytes) -> bool:
    """Compare a CHAP-Password of 17 octets (RFC 2865 section 5.3)."""
    expected = md5(chap_password[:1] + password + challenge).digest()
    return hmac.compare_digest(expected, chap_password[1:])
