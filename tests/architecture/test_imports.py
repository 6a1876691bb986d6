"""Imports point one way only; import-linter's contracts in pyproject.toml say which."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CONTRACTS = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"][
    "importlinter"
]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Hold the packages in ``folder`` against the contracts of its pyproject.toml."""
    program = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [str(program), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_of_the_house_holds() -> None:
    """Daemon, edges, stores, logic, settings: nobody imports what is above it."""
    result = lint(REPOSITORY)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(CONTRACTS['contracts'])} kept, 0 broken" in result.stdout


def test_every_package_is_under_the_contracts() -> None:
    """A package that is installed cannot be left out of them."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    installed = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    assert sorted(CONTRACTS["root_packages"]) == sorted(
        pattern.rstrip("*") for pattern in installed
    )


WRONG = [
    ("storage/tables.py", "from daemon import clock", "Imports point one way"),
    ("config/values.py", "import radius.packet", "Imports point one way"),
    ("telemetry/logs.py", "import storage.tables", "Imports point one way"),
    ("radius/nas.py", "import rating.session", "The domains meet only"),
    ("rating/session.py", "import radius.nas", "The domains meet only"),
    ("storage/journal.py", "import radius.server", "Only the daemon knows"),
    ("radius/packet.py", "import asyncio", "Domain logic does no I/O"),
    ("radius/duplicates.py", "import socket", "Domain logic does no I/O"),
    ("rating/counters.py", "import sqlalchemy", "Domain logic does no I/O"),
    ("rating/mediation.py", "from telemetry import logs", "Domain logic does no"),
    ("daemon/ledger.py", "import scapy.utils", "The daemon never imports scapy"),
]


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What is found wrong in a copy that has every line of WRONG, by contract."""
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(REPOSITORY / "pyproject.toml", folder)
    for package in CONTRACTS["root_packages"]:
        shutil.copytree(
            REPOSITORY / package,
            folder / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for module, line, _ in WRONG:
        with (folder / module).open("a") as source:
            source.write(f"\n{line}\n")
    result = lint(folder)
    assert result.returncode == 1, result.stdout + result.stderr
    told = result.stdout.partition("Broken contracts\n")[2]
    parts = re.split(r"^(.+)\n-{10,}\n", told, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(("module", "line", "contract"), WRONG)
def test_an_import_that_points_the_wrong_way_is_found(
    broken: dict[str, str], module: str, line: str, contract: str
) -> None:
    """Each contract breaks when a module breaks it: none of them is empty."""
    found = next(told for name, told in broken.items() if name.startswith(contract))
    wrong = line.removeprefix("from ").removeprefix("import ").partition(" ")[0]
    importer = module.removesuffix(".py").replace("/", ".")
    assert f"{importer} -> {wrong.partition('.')[0]}" in found
