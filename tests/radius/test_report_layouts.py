"""Reports read by layout: always what the walk over the attributes reads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from radius_packets import SECRET

from radius.accounting import NUMBERS, STANDING, read_report
from radius.packet import accounting_request, attribute
from radius.records import Origin
from radius.report_layouts import ReportReader

ARRIVED = 1_700_000_000
SKEW = 300
NAS = Origin(b"\x7f\x00\x00\x01", 5000, "bng1")

kinds = st.sampled_from([2, 4, 6, 40, 44, *NUMBERS, *STANDING])
shapes = st.lists(st.tuples(kinds, st.sampled_from([0, 1, 4, 4, 4, 9])), max_size=12)


def made(shape: list[tuple[int, int]], values: st.DataObject) -> bytes:
    """Make a packet of a shape, which nearly always reports an interim update."""
    body = attribute(32, b"bng1") + attribute(44, b"s1")
    status = values.draw(st.sampled_from([1, 2, 3, 3, 3, 7, 9]))
    body += attribute(40, status.to_bytes(4))
    for kind, length in shape:
        value = values.draw(st.binary(min_size=length, max_size=length))
        body += bytes((kind, 2 + length)) + value
    return accounting_request(1, body, SECRET)


@given(st.lists(shapes, min_size=1, max_size=3), st.data())
def test_a_layout_reads_what_the_walk_reads_rfc_2866_section_5(
    drawn: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    """Whatever the shapes, also of the same length, and however often they come."""
    reader = ReportReader(SKEW)
    for _ in range(12):
        for shape in drawn:
            packet = made(shape, data)
            expected = read_report(
                packet, nas="bng1", received_at=ARRIVED, max_clock_skew_seconds=SKEW
            )
            assert [expected] == reader.read([(NAS, packet)], ARRIVED)


def test_layouts_are_learned_and_bounded() -> None:
    """A sender that never repeats a shape costs a bounded amount of memory."""
    reader = ReportReader(SKEW)
    for number in range(2000):
        names = 1 + number % 97
        body = attribute(44, b"s") + attribute(32, b"n" * names)
        body += attribute(1, b"u" * (99 - names)) + attribute(40, (3).to_bytes(4))
        reader.read([(NAS, accounting_request(1, body, SECRET))], ARRIVED)

    assert [8] == [len(layouts) for layouts in reader._layouts.values()]
