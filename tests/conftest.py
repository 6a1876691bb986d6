"""What the whole suite shares: the flag for the long proofs, and both databases."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from postgresql import PostgresqlServer

from storage.database import Database, migrate, open_database

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


_names = (f"test_{number}" for number in itertools.count())


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgresqlServer]:
    """One PostgreSQL server for the whole run."""
    server = PostgresqlServer()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Database]:
    """A database without tables, once on each engine."""
    if request.param == "sqlite":
        database = open_database("sqlite", tmp_path)
        yield database
        database.close()
        return
    server: PostgresqlServer = request.getfixturevalue("postgresql_server")
    name = next(_names)
    database = open_database(server.create_database(name), tmp_path)
    yield database
    database.close()
    server.drop_database(name)


@pytest.fixture
def database(empty_database: Database) -> Database:
    """A database with this version's tables, once on each engine."""
    migrate(empty_database)
    return empty_database
