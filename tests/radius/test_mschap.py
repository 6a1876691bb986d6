"""MS-CHAPv2 against the examples in the RFCs."""

from __future__ import annotations

import pytest
from access_site import CHALLENGE, NT_RESPONSE, PEER

from radius import mschap

RESPONSE = b"\x07\x00" + PEER + bytes(8) + NT_RESPONSE


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (b"", "31d6cfe0d16ae931b73c59d7e0c089c0"),
        (b"a", "bde52cb31de33e46245e05fbdbd6fb24"),
        (b"abc", "a448017aaf21d8525fc10ae87aa6729d"),
        (b"message digest", "d9130a8164549fe818874806e1c7014b"),
        (b"1234567890" * 8, "e33b4ddc9c38f2199c3e7b164fcc0536"),
    ],
)
def test_md4_gives_the_digests_of_rfc_1320(text: bytes, digest: str) -> None:
    """RFC 1320 appendix A.5, and a text of more than one block."""
    assert digest == mschap.md4(text).hex()


def test_the_example_of_rfc_2759_section_9_2_is_right() -> None:
    """User, password, challenges, response and success are the RFC's."""
    nt_hash = mschap.password_hash("clientPass")
    proof = mschap.check_response(RESPONSE, CHALLENGE, b"User", nt_hash)

    assert "44EBBA8D5312B8D611474411F56989AE" == nt_hash.hex().upper()
    assert proof is not None
    assert b"S=407A5589115FD0D6209F510FE9C04566932CDA56" == proof.success


def test_the_keys_are_those_of_rfc_3079_section_3_5_3() -> None:
    """The server of the RFC is the NAS: what it sends with is its send key."""
    nt_hash = mschap.password_hash("clientPass")
    proof = mschap.check_response(RESPONSE, CHALLENGE, b"User", nt_hash)

    assert proof is not None
    assert "8B7CDC149B993A1BA118CB153F56DCCB" == proof.send_key.hex().upper()
    assert proof.send_key != proof.receive_key


def test_a_domain_before_the_user_is_not_hashed_rfc_2759_section_8_2() -> None:
    """``DOMAIN\\User`` proves the same as ``User``."""
    nt_hash = mschap.password_hash("clientPass")

    assert mschap.check_response(RESPONSE, CHALLENGE, b"HOME\\User", nt_hash)


def test_any_other_password_user_or_challenge_is_wrong() -> None:
    """Nothing but the right four values together is a proof."""
    right = mschap.password_hash("clientPass")
    for challenge, user, nt_hash in (
        (CHALLENGE, b"User", mschap.password_hash("clientpass")),
        (CHALLENGE, b"user", right),
        (bytes(16), b"User", right),
    ):
        assert mschap.check_response(RESPONSE, challenge, user, nt_hash) is None
