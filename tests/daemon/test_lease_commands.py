"""``fairlane leases`` and ``fairlane who-had``, over a database with a few leases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from access_network import NOW, Site
from click.testing import CliRunner
from netaddr import IPAddress

from config.schema import Settings
from daemon.cli import main
from daemon.lease_ledger import LeaseLedger
from storage.database import migrate, open_database
from storage.journal import Block


@pytest.fixture
def configured(tmp_path: Path) -> Any:
    """A configuration whose database has two bindings of one address."""
    site = Site()
    address = site.lease("line-0", 1)
    site.now += 100
    site.lease("line-0", 2)
    database = open_database("sqlite", tmp_path)
    migrate(database)
    octets = b"".join(site.records)
    LeaseLedger(database, Settings()).apply("ipserver", [Block(1, 2, 0, octets)])
    database.close()
    file = tmp_path / "fairlane.toml"
    file.write_text(f'data_dir = "{tmp_path}"\n')
    return str(file), str(IPAddress(address))


def run(*arguments: str) -> Any:
    """Run the command."""
    return CliRunner().invoke(main, list(arguments))


def test_who_had_says_whose_an_address_was(configured: tuple[str, str]) -> None:
    """As JSON and as a table, and a failure when it was nobody's."""
    file, address = configured
    asked = ("who-had", address, "-c", file, "--at")
    before = json.loads(run(*asked, str(NOW + 99), "--json").output)
    assert (before["line"], before["hardware"], before["service"]) == (
        "line-0",
        "00:00:00:00:00:01",
        "service-line-0",
    )
    assert (before["isp"], before["owner"], before["borrower"]) == (
        "aurora",
        "aurora",
        None,
    )
    after = run(*asked, str(NOW + 100))
    assert "00:00:00:00:00:02" in after.output
    nobody = run(*asked, str(NOW - 1))
    assert (nobody.exit_code, "nobody had" in nobody.output) == (1, True)


@pytest.mark.parametrize("word", ["fe80::1", "somewhere"])
def test_what_is_no_ipv4_address_is_a_wrong_use(
    configured: tuple[str, str], word: str
) -> None:
    """Exit code 2, and the word that was wrong."""
    result = run("who-had", word, "-c", configured[0])
    assert (result.exit_code, word in result.output) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ("leases", "--line", "\udcff"),
        ("who-had", "\udcff"),
        ("why", "x" * 100_000),
        ("overallocation", "list", "--pool", "\udcff"),
        ("overallocation", "raise", "\udcff"),
        ("loans", "recall", "1", "--reason", "\udcff"),
    ],
)
def test_what_is_no_text_or_no_line_s_is_a_wrong_use(
    configured: tuple[str, str], words: tuple[str, ...]
) -> None:
    """Octets that are not UTF-8 come so from a shell: the database is not to blame."""
    done = run(*words, "-c", configured[0])
    assert (2, True) == (done.exit_code, done.stderr.startswith("Usage: ")), done.output


def test_an_empty_name_or_key_is_not_none(configured: tuple[str, str]) -> None:
    """A script's variable may be empty: it acts for nobody then, and not for the
    Network Provider, and shows nobody's."""
    asked = ("overallocation", "raise", "a", "-c", configured[0])
    done = run(*asked, "--isp", "")
    said = "fairlane: the network has no isp called '' to act for\n"
    assert (1, said) == (done.exit_code, done.stderr)
    done = run(*asked, "--key", "")
    said = "fairlane: the client's key must have 1 to 128 characters\n"
    assert (1, said) == (done.exit_code, done.stderr)
    for words in (("overallocation", "list"), ("loans", "list")):
        done = run(*words, "--isp", "", "-c", configured[0])
        assert "the network has no isp called ''\n" == done.stderr


def test_leases_are_listed(configured: tuple[str, str]) -> None:
    """One JSON object a line, or a table; by filters."""
    file, address = configured
    [row] = run("leases", "-c", file, "--json").output.splitlines()
    assert json.loads(row)["address"] == address
    assert address in run("leases", "-c", file, "--address", address).output
    assert run("leases", "-c", file, "--json", "--line", "none").output == ""
