"""``fairlane balances``: what is left, what was told of it, and more that is bought."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rated_site import GB, NETWORK, NOON, Site

from config.network import bodies
from daemon.cli import main
from storage.database import migrate, open_database
from storage.network import Change, apply


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """The ledger of a subscriber with 500 GB, in a data directory."""
    (tmp_path / "fairlane.toml").write_text(f'data_dir = "{tmp_path}"\n')
    database = open_database("sqlite", tmp_path)
    migrate(database)
    changes = [Change("add", *key, body) for key, body in bodies(NETWORK).items()]
    with database.write.begin() as connection:
        apply(connection, changes, NOON)
    yield Site(database)
    database.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the configuration is."""
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    """Run a command on the configuration."""
    file = str(folder / "fairlane.toml")
    return CliRunner().invoke(main, ["balances", *arguments, "-c", file])


def shown(folder: Path, service: str = "aurora-101") -> dict[str, object]:
    """What is shown of the period of the usage, as JSON."""
    at = str(NOON + 3600)
    result = run(folder, "show", service, "--at", at, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_what_is_left_is_shown_as_reports_come(site: Site, folder: Path) -> None:
    """Before the first use the whole allowance, then less, and what use costs beyond;
    looking changes nothing."""

    def left() -> tuple[int, str]:
        found = shown(folder)
        (bucket,) = found["buckets"]  # type: ignore[misc]
        day = found["used"][0]  # type: ignore[index]
        return bucket["remaining"] // GB, day["amount"]

    assert (500, "0.00") == left()
    site.use(100, 499)
    assert (1, "0.00") == left() == left()
    site.use(510, session="S-2")
    assert (0, "20.00") == left()  # its cap; 509 GB would be 50.90
    text = run(folder, "show", "aurora-101", "--at", str(NOON)).stdout
    assert "service/aurora-101 by aurora-home@2026-01-01, EUR, from 2026-11-01" in text
    assert 1 == run(folder, "show", "nobody").exit_code


def test_what_was_told_is_listed(site: Site, folder: Path) -> None:
    """Thresholds and the exhaustion with its action, of one service and the newest."""
    site.use(100, 450, 520)
    result = run(folder, "events", "--service", "aurora-101", "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [("threshold", "none"), ("exhausted", "throttle")] == [
        (row["kind"], row["action"]) for row in rows
    ]
    assert "" == run(folder, "events", "--service", "nobody", "--json").stdout
    assert 2 == len(run(folder, "events", "--limit", "1").stdout.splitlines())


def test_more_is_bought_by_hand(site: Site, folder: Path) -> None:
    """It is there at once, and what is not sold is refused by name."""
    site.use(1)
    refused = run(folder, "topup", "aurora-101", "a lot")
    said = "no top-up 'a lot' is sold to 'aurora-101'; there is '100 GB more'"
    assert (1, f"fairlane: {said}\n") == (refused.exit_code, refused.stderr)
    assert "bought\n" == run(folder, "topup", "aurora-101", "100 GB more").stdout
    (bucket,) = json.loads(run(folder, "show", "aurora-101", "--json").stdout)[
        "buckets"
    ]
    assert (100 * GB, 600 * GB) == (bucket["topped_up"], bucket["granted"])
