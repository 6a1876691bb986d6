"""In which order the suite runs when several workers share it, and what stays together.

Half of the time is tests that wait for daemons, the other half keeps processors busy.
So the former are spread evenly among the latter, those of whole systems first, and
none is left for the end, where one of a minute would run alone. Tests that share a
fixture of their module stay together, so that one worker makes it once: workers take
the next run of tests of one module, one run at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, groupby, zip_longest
from typing import Any, TypeVar

import pytest
from xdist.scheduler import LoadScopeScheduling

WAITING = ("tests/e2e/", "tests/daemon/")
SPREAD_OVER = 0.75
"""Of the others, counted from the first: what is behind them is short."""

T = TypeVar("T")


def spread(waiting: Sequence[T], others: Sequence[T]) -> list[T]:
    """Put some among the others, at even distances within their first part."""
    step = len(others) * SPREAD_OVER / max(len(waiting), 1)
    places = [(number * step, 0, unit) for number, unit in enumerate(waiting)]
    places += [(float(number), 1, unit) for number, unit in enumerate(others)]
    return [unit for _, _, unit in sorted(places, key=lambda place: place[:2])]


def in_turn(*rows: Sequence[T]) -> list[T]:
    """Give the first of each row, then the second of each that has one, and so on."""
    columns = zip_longest(*([[one] for one in row] for row in rows), fillvalue=[])
    return [one for column in columns for some in column for one in some]


def module_of(test: str) -> str:
    """Give a test's file, by its id."""
    return test.partition("::")[0]


def shares_fixture(item: pytest.Item) -> bool:
    """Say whether a test has a fixture that others of its module have too."""
    fixtures: dict[str, Sequence[pytest.FixtureDef[object]]]
    fixtures = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    used = (fixtures[name][-1] for name in item.fixturenames if name in fixtures)  # type: ignore[attr-defined]
    return any(fixture.scope in ("module", "class") for fixture in used)


def put_in_order(items: list[pytest.Item]) -> None:
    """Order the tests for ``Runs``."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        unit = module_of(item.nodeid) if shares_fixture(item) else item.nodeid
        units.setdefault(unit, []).append(item)
    waiting: list[list[pytest.Item]] = []
    for folder in WAITING:
        own = [name for name in units if name.startswith(folder)]
        modules = [list(names) for _, names in groupby(own, module_of)]
        waiting += [units[name] for name in in_turn(*modules)]
    others = [unit for name, unit in units.items() if not name.startswith(WAITING)]
    items[:] = chain.from_iterable(spread(waiting, others))


class Runs(LoadScopeScheduling):
    """Gives each worker the next run of tests of one module when it has none left."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)
        self._run: dict[str, str] = {}

    def schedule(self) -> None:
        """Begin, when all workers have told what they collected: the same."""
        if not self._run:
            tests = next(iter(self.registered_collections.values()))
            for number, (_, run) in enumerate(groupby(tests, module_of)):
                self._run.update(dict.fromkeys(run, str(number)))
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._run[nodeid]
