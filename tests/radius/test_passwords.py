"""User-Password, CHAP-Password and salted values."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st
from pyrad.packet import AuthPacket

from radius.passwords import (
    hide_password,
    hide_salted,
    is_chap_right,
    reveal_password,
    reveal_salted,
)

_SECRETS = st.binary(min_size=1, max_size=64)
_AUTHENTICATORS = st.binary(min_size=16, max_size=16)


def test_the_example_of_rfc_2865_section_7_1_is_revealed() -> None:
    """User nemo's password at 192.168.1.16, hidden with the secret xyzzy5461."""
    authenticator = bytes.fromhex("0f403f9473978057bd83d5cb98f4227a")
    hidden = bytes.fromhex("0dbe708d93d413ce3196e43f782a0aee")

    assert b"arctangent" == reveal_password(hidden, b"xyzzy5461", authenticator)
    assert hidden == hide_password(b"arctangent", b"xyzzy5461", authenticator)


@given(st.binary(max_size=128), _SECRETS, _AUTHENTICATORS)
def test_pyrad_reads_what_we_hide_rfc_2865_section_5_2(
    password: bytes, secret: bytes, authenticator: bytes
) -> None:
    """The padding is cut off on the other side, and the rest is the password."""
    hidden = hide_password(password, secret, authenticator)
    pyrads = AuthPacket(secret=secret, authenticator=authenticator)

    assert len(hidden) % 16 == 0
    assert 16 <= len(hidden) <= 128
    assert password.rstrip(b"\0") == reveal_password(hidden, secret, authenticator)
    text = password.rstrip(b"\0")
    assert hidden == pyrads.PwCrypt(text) if text else True


@given(
    st.binary(min_size=1, max_size=200),
    _SECRETS,
    _AUTHENTICATORS,
    st.integers(0, 0x7FFF),
)
def test_salted_values_come_back_rfc_2868_section_3_5(
    value: bytes, secret: bytes, authenticator: bytes, salt: int
) -> None:
    """The first bit of the salt is set, and the value is whole."""
    hidden = hide_salted(value, secret, authenticator, salt)

    assert hidden[0] & 0x80
    assert value == reveal_salted(hidden, secret, authenticator)


def test_what_is_no_salted_value_is_not_revealed() -> None:
    """A length that no padding gives, or one that says more than there is."""
    assert reveal_salted(bytes(17), b"s", bytes(16)) is None
    assert reveal_salted(b"", b"s", bytes(16)) is None


def test_chap_is_md5_of_ident_password_and_challenge_rfc_2865_section_5_3() -> None:
    """One octet of ident, then the digest."""
    challenge = bytes(range(16))
    digest = hashlib.md5(b"\x16" + b"secret" + challenge).digest()

    assert is_chap_right(b"\x16" + digest, challenge, b"secret")
    assert not is_chap_right(b"\x17" + digest, challenge, b"secret")
