"""One address, however a NAS writes it; and nothing that only contains one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radius.mac_address import mac_address, notations


@given(st.binary(min_size=6, max_size=6), st.booleans())
def test_every_way_of_writing_gives_the_same_address(
    octets: bytes, upper: bool
) -> None:
    """Colons, hyphens, dots or nothing, in either case."""
    digits = octets.hex()
    ways = [octets.hex(":"), octets.hex("-"), digits]
    ways += [mark.join((digits[:4], digits[4:8], digits[8:])) for mark in ".-:"]

    found = {mac_address(way.upper() if upper else way) for way in ways}

    assert {octets.hex(":")} == found


@pytest.mark.parametrize(
    "text",
    ["", "00-1A-2B-3C-4D-5E:ssid", "00:1a-2b:3c:4d:5e", "001a2b3c4d5", "4685551234"],
)
def test_what_is_no_mac_address_is_none(text: str) -> None:
    """A substring is not a match, and mixed marks are not a form."""
    assert None is mac_address(text)


@given(st.binary(min_size=6, max_size=6))
def test_every_notation_is_the_same_address(octets: bytes) -> None:
    """Those that NAS write are all there, and each is read back."""
    known = octets.hex(":")
    written = notations(known)

    assert {known} == {mac_address(one) for one in written}
    assert {octets.hex("-").upper(), octets.hex(".", 2), octets.hex()} <= written
    assert set() == notations(known + ":ssid")
