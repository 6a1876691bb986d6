"""Lines that cannot be told apart are a mistake in the network file."""

from __future__ import annotations

from typing import Any

import pytest

from config.line_checks import find_mistaken_lines

_RELAYS = [{"name": "r1", "area": "a"}, {"name": "r2", "area": "b"}]


def line(name: str, **fields: Any) -> dict[str, Any]:
    """A line of area a."""
    return {"name": name, "area": "a", **fields}


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([line("1", circuit_id="x"), line("2", circuit_id="y")], []),
        ([line("1"), line("2")], []),
        (
            [line("1", circuit_id="x"), line("2", circuit_id="x")],
            ["nothing tells this line from line '1'"],
        ),
        ([line("1", circuit_id="x"), line("2", circuit_id="x", remote_id="y")], []),
        ([line("1", circuit_id="x"), line("2", circuit_id="x", relay="r1")], []),
        ([line("1", circuit_id="x"), line("2", circuit_id="x", area="b")], []),
        ([line("1", relay="r3")], ["there is no relay called 'r3'"]),
        ([line("1", relay="r2")], ["relay 'r2' is in area 'b', not in 'a'"]),
        ([line("1", circuit_id=5), line("2", circuit_id=5), 7], []),
    ],
)
def test_lines_are_held_against_one_another(lines: list[Any], found: list[str]) -> None:
    """By all that each says of itself, within its area."""
    document = {"relay": _RELAYS, "line": lines}
    assert found == [f.message for f in find_mistaken_lines(document)]
