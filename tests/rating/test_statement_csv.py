"""A statement's CSV is what the csv module writes, to the octet, for its digest."""

from __future__ import annotations

import csv
import io

from hypothesis import example, given
from hypothesis import strategies as st

from rating.entry import Kind, Source
from rating.statement import Line
from rating.statement_csv import HEADER, csv_lines

TEXT = st.text(st.sampled_from("a ,\"\r\n;'\\\t{}:åß€"), max_size=8)
MAYBE = st.none() | TEXT
NUMBER = st.integers(-(2**62), 2**62)
LINES = st.builds(
    Line,
    entry=NUMBER,
    posted_at=NUMBER,
    at=NUMBER,
    kind=st.sampled_from(Kind),
    source=st.sampled_from(Source),
    reference=MAYBE,
    isp=TEXT,
    service=MAYBE,
    party=TEXT,
    currency=st.sampled_from(["EUR", "NOK"]),
    tariff=TEXT,
    amount=NUMBER,
    subscriber_amount=NUMBER,
    isp_amount=NUMBER,
    party_amount=NUMBER,
    network_amount=NUMBER,
    tax_amount=NUMBER,
    tax_party=TEXT,
    late_from=st.none() | st.just("2026-10"),
    reverses=st.none() | st.integers(0, 2**62),
    detail=MAYBE,
)


def by_the_csv_module(lines: list[Line]) -> str:
    """Header and lines as the standard library has them."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(Line._fields)
    writer.writerows(lines)
    return buffer.getvalue()


@given(st.lists(LINES, max_size=5))
@example([])
def test_lines_are_written_as_the_csv_module_writes_them(lines: list[Line]) -> None:
    """Whatever is in a line: quotes, commas, ends of line, nothing."""
    assert by_the_csv_module(lines) == HEADER + csv_lines(lines)


@given(st.lists(LINES, min_size=1, max_size=5))
def test_a_reader_finds_every_field_again(lines: list[Line]) -> None:
    """What is read back is each field as text, None as nothing."""
    text = io.StringIO(HEADER + csv_lines(lines), newline="")
    expected = [["" if v is None else str(v) for v in line] for line in lines]
    assert [list(Line._fields), *expected] == list(csv.reader(text))
