"""No test of a minute is left for the end of the suite, and none is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_order import in_turn, put_in_order, spread

pytest_plugins = ["pytester"]

FOLDER = Path(__file__).parents[1]

MODULE = """
import os
from pathlib import Path
import pytest

@pytest.fixture(scope="module")
def daemon(): Path(f"{Path(__file__).stem}-{os.getpid()}.made").touch()

@pytest.fixture
def network(daemon): return daemon

def test_one(daemon): pass
def test_alone(): pass
def test_two(network): pass
def test_apart(): pass
"""

CONFTEST = """
from running_order import Runs, put_in_order

def pytest_xdist_make_scheduler(config, log):
    return Runs(config, log)

def pytest_collection_modifyitems(items):
    put_in_order(items)
"""


def test_waiting_tests_are_spread_and_the_end_is_without() -> None:
    """At even distances, the first at once, none among the last quarter."""
    order = spread([0, 1, 2], [*range(10, 26)])
    assert [0, 10, 11, 12, 13, 1, 14, 15, 16, 17, 2, *range(18, 26)] == order


@pytest.mark.parametrize(("waiting", "others"), [([], [1, 2]), ([1, 2], []), ([], [])])
def test_nothing_is_lost(waiting: list[int], others: list[int]) -> None:
    """Where there is only one kind, its order stays."""
    assert [*waiting, *others] == spread(waiting, others)


def test_modules_have_their_turns() -> None:
    """So that two tests of one kind rarely run at once."""
    assert [1, 4, 6, 2, 5, 3] == in_turn([1, 2, 3], [4, 5], [6])
    assert [] == in_turn()


def test_tests_that_share_a_fixture_of_their_module_stay_together(
    pytester: pytest.Pytester,
) -> None:
    """And the others go each by itself between what others there is, all of them
    once."""
    folder = pytester.mkdir("tests")
    for name in ("e2e", "rating"):
        folder.joinpath(name).mkdir()
        folder.joinpath(name, f"test_{name}.py").write_text(MODULE)
    items, _ = pytester.inline_genitems("tests")
    put_in_order(items)
    order = [(item.path.stem.partition("_")[2], item.name) for item in items]
    assert [
        *(("e2e", "test_one"), ("e2e", "test_two")),
        ("rating", "test_one"),
        ("rating", "test_two"),
        ("e2e", "test_alone"),
        ("rating", "test_alone"),
        ("e2e", "test_apart"),
        ("rating", "test_apart"),
    ] == order


def test_workers_take_runs_of_a_module(pytester: pytest.Pytester) -> None:
    """Whoever has the first of a shared fixture has all of it; each test runs once."""
    pytester.makeconftest(CONFTEST)
    folder = pytester.mkdir("tests")
    for name in ("a", "b", "c"):
        folder.joinpath(f"test_{name}.py").write_text(MODULE)
    done = pytester.runpytest_subprocess(
        "-n2", "--import-mode=importlib", "-o", f"pythonpath={FOLDER}", "tests"
    )
    done.assert_outcomes(passed=12)
    made = [path.name.partition("-")[0] for path in pytester.path.glob("*.made")]
    assert ["test_a", "test_b", "test_c"] == sorted(made)
