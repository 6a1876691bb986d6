"""Tables for a terminal: columns as wide as their widest cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

# Widths are taken from this many rows at a time, so a long list starts at once.
_ROWS_AT_A_TIME = 200


def table(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the rows as aligned lines; what no terminal should get is escaped."""
    iterator = iter(rows)
    widths: list[int] = []
    while chunk := [
        [printable(cell) for cell in row] for row in islice(iterator, _ROWS_AT_A_TIME)
    ]:
        for row in chunk:
            widths += [0] * (len(row) - len(widths))
            for place, cell in enumerate(row):
                widths[place] = max(widths[place], len(cell))
        for row in chunk:
            cells = (
                cell.ljust(width) for cell, width in zip(row, widths, strict=False)
            )
            yield "  ".join(cells).rstrip()


def printable(text: str) -> str:
    """Escape control characters: user names come from the network."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
