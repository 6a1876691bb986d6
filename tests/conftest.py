"""What the whole suite shares: the flag for the long proofs, and both databases."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from postgresql import PostgresqlServer, empty, remember
from running_order import Runs, put_in_order

from storage.database import SQLITE_FILE, Database, migrate, open_database

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


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Runs:
    """Let workers take tests as ``running_order`` has them, whatever ``--dist`` is."""
    return Runs(config, log)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Skip what is marked ``long`` unless asked for; put in order what is shared."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        put_in_order(items)
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
def engine(request: pytest.FixtureRequest) -> str:
    """Each of the engines."""
    return str(request.param)


@pytest.fixture
def empty_database(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Database]:
    """A database without tables, once on each engine."""
    if engine == "sqlite":
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


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with this version's tables, made once: each test has a copy."""
    folder = tmp_path_factory.mktemp("template")
    database = open_database("sqlite", folder)
    migrate(database)
    database.close()
    return folder / SQLITE_FILE


@pytest.fixture(scope="session")
def postgresql_database(
    postgresql_server: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The URL of one with this version's tables, which is emptied for each test: that
    takes 4 ms, and a new one half a second."""
    url = postgresql_server.create_database("migrated")
    database = open_database(url, tmp_path_factory.mktemp("migrated"))
    migrate(database)
    database.close()
    remember(url)
    return url


@pytest.fixture
def database(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Database]:
    """A database with this version's tables, once on each engine."""
    if engine == "postgresql":
        url = request.getfixturevalue("postgresql_database")
        empty(url)
        database = open_database(url, tmp_path)
    else:
        template = request.getfixturevalue("sqlite_template")
        shutil.copy(template, tmp_path / SQLITE_FILE)
        database = open_database("sqlite", tmp_path)
    yield database
    database.close()
