"""No test of a minute is left for the end of the suite, and none is lost."""

from __future__ import annotations

import pytest
from running_order import put_in_order, spread

pytest_plugins = ["pytester"]


def test_waiting_tests_are_spread_and_the_end_is_without() -> None:
    """At even distances, the first at once, none among the last quarter."""
    order = spread([0, 1, 2], [*range(10, 26)])
    assert [0, 10, 11, 12, 13, 1, 14, 15, 16, 17, 2, *range(18, 26)] == order


@pytest.mark.parametrize(("waiting", "others"), [([], [1, 2]), ([1, 2], []), ([], [])])
def test_nothing_is_lost(waiting: list[int], others: list[int]) -> None:
    """Where there is only one kind, its order stays."""
    assert [*waiting, *others] == spread(waiting, others)


def test_tests_that_share_a_fixture_of_their_module_stay_together(
    pytester: pytest.Pytester,
) -> None:
    """And the others go each by itself, all of them once."""
    folder = pytester.mkpydir("tests").joinpath("e2e")
    folder.mkdir()
    folder.joinpath("test_a.py").write_text(
        "import pytest\n"
        "@pytest.fixture(scope='module')\n"
        "def daemon(): return 1\n"
        "@pytest.fixture\n"
        "def network(daemon): return daemon\n"
        "def test_one(daemon): pass\n"
        "def test_alone(): pass\n"
        "def test_two(network): pass\n"
    )
    items, _ = pytester.inline_genitems("tests")
    put_in_order(items)
    assert ["test_one", "test_two", "test_alone"] == [item.name for item in items]
    groups = [[m.args[0] for m in i.iter_markers("xdist_group")] for i in items]
    assert [["tests/e2e/test_a.py"], ["tests/e2e/test_a.py"], []] == groups
