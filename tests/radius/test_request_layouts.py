"""Accounting-Requests known by layout: never one that the walk would not take."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from radius_packets import SECRET

from radius.packet import (
    NOTHING_NOTABLE,
    Code,
    Malformed,
    Notable,
    accounting_request,
    attribute,
    trim,
    walk,
)
from radius.request_layouts import RequestLayouts

_LEARN = 8

shapes = st.lists(
    st.tuples(
        st.sampled_from([1, 4, 26, 33, 40, 44, 80]), st.sampled_from([1, 4, 4, 9, 16])
    ),
    max_size=12,
)


def made(shape: list[tuple[int, int]], data: st.DataObject) -> bytes:
    """Make a packet of a shape."""
    body = b"".join(
        attribute(kind, data.draw(st.binary(min_size=size, max_size=size)))
        for kind, size in shape
    )
    return accounting_request(data.draw(st.integers(0, 255)), body, SECRET)


def is_plain(datagram: bytes) -> bool:
    """Whether the walk finds an Accounting-Request with nothing notable in it."""
    packet = trim(datagram)
    if isinstance(packet, Malformed) or packet != datagram:
        return False
    notable = walk(packet)
    return (
        packet[0] == Code.ACCOUNTING_REQUEST
        and isinstance(notable, Notable)
        and (notable.message_authenticator, notable.proxy_states) == (0, b"")
    )


def learned(*packets: bytes) -> RequestLayouts:
    """Give layouts that had every occasion to learn these."""
    layouts = RequestLayouts()
    for packet in packets:
        found = walk(packet)
        if isinstance(found, Notable):
            for _ in range(_LEARN):
                layouts.learn(packet, found)
    return layouts


@given(st.lists(shapes, min_size=1, max_size=3), st.data())
def test_what_a_layout_holds_is_plain_rfc_2866_section_5(
    drawn: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    """Of packets like the learned ones, of others and of damaged ones: a layout holds
    what the walk would take, and all plain packets of a learned shape."""
    packets = [made(shape, data) for shape in drawn]
    layouts = learned(*packets)
    for shape in drawn:
        again = made(shape, data)
        assert is_plain(again) == layouts.hold(again)
        damaged = bytearray(again)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(damaged) - 1))
            damaged[place] = data.draw(st.integers(0, 255))
        for datagram in (bytes(damaged), again + b"\0", again[:-1]):
            assert is_plain(datagram) or not layouts.hold(datagram)


def test_another_code_is_not_held() -> None:
    """RFC 2865 section 3: an Access-Request or a Status-Server is not accounting, and
    no layout is made of one."""
    packet = accounting_request(1, attribute(1, b"user"), SECRET)
    layouts = learned(packet)
    other = bytes((Code.STATUS_SERVER,)) + packet[1:]

    assert layouts.hold(packet)
    assert not layouts.hold(other)
    assert not learned(other).hold(packet)
    assert not learned(other).hold(other)


def test_layouts_are_bounded() -> None:
    """A sender that never repeats a shape costs a bounded amount of memory."""
    layouts = RequestLayouts()
    for size in range(300):
        body = attribute(1, b"u" * (1 + size % 250)) + attribute(4, b"n" * 4) * (
            1 + size // 250
        )
        for kind in range(100, 100 + _LEARN * 10):
            packet = accounting_request(1, body + attribute(kind, b"v"), SECRET)
            layouts.learn(packet, NOTHING_NOTABLE)

    assert len(layouts._layouts) <= 256
    assert {8} == {len(found) for found in layouts._layouts.values()}
