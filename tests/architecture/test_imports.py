"""Imports point one way only; import-linter's contracts in pyproject.toml say which."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
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
    ],
)
def test_an_import_that_points_the_wrong_way_is_found(
    tmp_path: Path, module: str, line: str, contract: str
) -> None:
    """Each contract breaks when a module breaks it: none of them is empty."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    for package in CONTRACTS["root_packages"]:
        shutil.copytree(
            REPOSITORY / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    with (tmp_path / module).open("a") as source:
        source.write(f"\n{line}\n")
    result = lint(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    broken = [x for x in result.stdout.splitlines() if " BROKEN" in x]
    assert any(x.startswith(contract) for x in broken), result.stdout
