"""The Class that we issue, and only that, is read back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from radius import class_token
from radius.packet import attribute

KEY = bytes(range(32))
_NAMES = st.text(min_size=1, max_size=50)
_TOKENS = st.binary(min_size=8, max_size=8)


@given(_TOKENS, st.integers(0, 2**32 - 1), _NAMES)
def test_what_was_issued_is_read_back(token: bytes, at: int, name: str) -> None:
    """RFC 2865 section 5.25: the NAS returns it unmodified, among others."""
    value = class_token.issue(KEY, token, at, name.encode())
    attributes = attribute(25, b"somebody's") + attribute(25, value)

    assert len(value) <= 253
    assert (token, at, name) == class_token.read(KEY, value)
    assert (token, at, name) == class_token.find(KEY, attributes)


@given(_TOKENS, _NAMES, st.data())
def test_what_was_changed_or_signed_by_others_is_not(
    token: bytes, name: str, data: st.DataObject
) -> None:
    """One bit anywhere, another key, or any octets at all."""
    value = bytearray(class_token.issue(KEY, token, 1, name.encode()))
    value[data.draw(st.integers(0, len(value) - 1))] ^= 1 << data.draw(
        st.integers(0, 7)
    )

    assert class_token.read(KEY, bytes(value)) is None
    assert class_token.read(bytes(32), class_token.issue(KEY, token, 1, b"x")) is None


@given(st.binary(max_size=300))
def test_octets_of_others_are_none_of_ours(octets: bytes) -> None:
    """Nor do they break anything."""
    assert class_token.read(KEY, octets) is None
    assert class_token.find(KEY, octets) is None
