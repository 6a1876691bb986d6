"""What the whole suite shares: the flag for the long proofs."""

from __future__ import annotations

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong: the suite's own time-out bounds what hangs.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--long``."""
    parser.addoption(
        "--long",
        action="store_true",
        help="run the long proofs, and more rounds of those that have a number",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Skip what is marked ``long`` unless it was asked for."""
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="a long proof, run with --long")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def long(request: pytest.FixtureRequest) -> bool:
    """Whether the long proofs were asked for."""
    return bool(request.config.getoption("--long"))
