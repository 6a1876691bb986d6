"""In which order the suite runs when several workers share it, and what stays together.

Half of the time is tests that wait for daemons, the other half keeps processors busy.
So the former are spread evenly among the latter, those of whole systems first, and
none is left for the end, where one of a minute would run alone. Tests that share a
fixture of their module are one unit, so that one worker makes it once.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TypeVar

import pytest

WAITING = ("tests/e2e/", "tests/daemon/")
SPREAD_OVER = 0.75
"""Of the units, counted from the first: what is behind them is short."""

T = TypeVar("T")


def spread(waiting: Sequence[T], others: Sequence[T]) -> list[T]:
    """Put some among the others, at even distances within their first part."""
    step = len(others) * SPREAD_OVER / max(len(waiting), 1)
    places = [(number * step, 0, unit) for number, unit in enumerate(waiting)]
    places += [(float(number), 1, unit) for number, unit in enumerate(others)]
    return [unit for _, _, unit in sorted(places, key=lambda place: place[:2])]


def shares_fixture(item: pytest.Item) -> bool:
    """Say whether a test has a fixture that others of its module have too."""
    fixtures: dict[str, Sequence[pytest.FixtureDef[object]]]
    fixtures = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    used = (fixtures[name][-1] for name in item.fixturenames if name in fixtures)  # type: ignore[attr-defined]
    return any(fixture.scope in ("module", "class") for fixture in used)


def put_in_order(items: list[pytest.Item]) -> None:
    """Order the tests, and mark what ``--dist loadgroup`` is to keep together."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        module = item.nodeid.partition("::")[0]
        shared = shares_fixture(item)
        if shared:
            item.add_marker(pytest.mark.xdist_group(module))
        units.setdefault(module if shared else item.nodeid, []).append(item)
    waiting = [
        unit
        for folder in WAITING
        for name, unit in units.items()
        if name.startswith(folder)
    ]
    others = [unit for name, unit in units.items() if not name.startswith(WAITING)]
    items[:] = chain.from_iterable(spread(waiting, others))
