"""What applying a network refuses because of what is stored already."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from click.testing import CliRunner

import config
from daemon.cli import main
from services.actor import Actor
from services.provisioning import ObjectChange, log_changes
from storage import network as stored
from storage.database import open_database
from storage.network import Change

DEMO = Path(config.__file__).with_name("demo-network.toml").read_text()


def test_a_tariff_in_force_is_not_changed_by_apply(tmp_path: Path) -> None:
    """Neither a dry run nor the real one gets by, and a later version does."""
    settings = tmp_path / "fairlane.toml"
    settings.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    network = tmp_path / "network.toml"

    def apply(text: str, *options: str) -> tuple[int, str, str]:
        network.write_text(text)
        arguments = ["apply", "-c", str(settings), str(network), *options]
        result = CliRunner().invoke(main, arguments)
        return result.exit_code, result.stdout, result.stderr

    assert apply(DEMO)[0] == 0
    dearer = DEMO.replace('amount = "39.00"', 'amount = "49.00"')
    refused = (
        "fairlane: tariff 'aurora-home', version of 2026-01-01:"
        " is in force and cannot change (fee)\n"
    )
    assert (1, "", refused) == apply(dearer)
    assert (1, "", refused) == apply(dearer, "--dry-run")
    later = '[[tariff.version]]\nvalid_from = "2999-01-01"\n'
    first = "# What aurora's subscribers pay"
    assert first in DEMO
    code, shown, _ = apply(DEMO.replace(first, f"{later}\n{first}"))
    assert code == 0
    assert shown.startswith("~ tariff aurora-start  version:")
    assert (0, "nothing to change\n", "") == apply(network.read_text())


def test_a_window_without_end_stays_where_it_is_in_force_and_comes_nowhere_else(
    tmp_path: Path,
) -> None:
    """It was taken once. A version in force never changes, so the network around it
    must; a later version says what is meant."""
    settings = tmp_path / "fairlane.toml"
    file = tmp_path / "network.toml"
    settings.write_text(f'data_dir = "{tmp_path / "data"}"\nnetwork = "{file}"\n')

    def fairlane(*words: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, [*words, "-c", str(settings)])
        return result.exit_code, result.stdout, result.stderr

    window = '[[tariff.version.window]]\nname = "w"\nstart = "06:00"\nend = "06:00"\n'
    tariff = (
        '[[isp]]\nname = "aurora"\n[[tariff]]\nname = "t"\ncurrency = "EUR"\n'
        'zone = "UTC"\n[[tariff.version]]\nvalid_from = "2026-01-01"\n'
    )
    place = "fairlane: tariff 't', version of 2026-01-01, window 'w': ends when it"
    refused = f"{place} begins; a whole day is 00:00 to 24:00\n"
    file.write_text(tariff + window)
    assert (1, "", refused) == fairlane("apply", "--dry-run")
    assert (1, "", refused) == fairlane("apply")

    file.write_text(tariff)
    assert 0 == fairlane("apply")[0]
    body = {"name": "w", "start": "06:00", "end": "06:00"}
    version = {"valid_from": "2026-01-01", "window": [body]}
    was = {"name": "t", "currency": "EUR", "zone": "UTC", "version": [version]}
    opened = closing(open_database("sqlite", tmp_path / "data"))
    with opened as database, database.write.begin() as connection:
        stored.apply(connection, [Change("modify", "tariff", "t", was)], 1)
    later = '[[tariff.version]]\nvalid_from = "2999-01-01"\n'
    file.write_text(tariff + window + later + '[[isp]]\nname = "borealis"\n')
    code, shown, said = fairlane("check")
    assert (0, 1) == (code, said.count("warning: tariff t: version of 2026-01-01"))
    code, shown, said = fairlane("apply")
    assert (0, "2 changed") == (code, shown.splitlines()[-1])
    file.write_text(tariff + window + later + window)
    assert 1 == fairlane("apply")[0]


def test_a_tariff_that_a_console_made_is_not_missed_in_the_file(
    tmp_path: Path,
) -> None:
    """The file does not decide over it, though it is in force and not in it."""
    settings = tmp_path / "fairlane.toml"
    file = tmp_path / "network.toml"
    settings.write_text(f'data_dir = "{tmp_path / "data"}"\nnetwork = "{file}"\n')
    file.write_text('[[isp]]\nname = "aurora"\n')

    def apply() -> tuple[int, str]:
        result = CliRunner().invoke(main, ["apply", "-c", str(settings)])
        return result.exit_code, result.output

    assert 0 == apply()[0]
    made = {"name": "t", "currency": "EUR", "zone": "UTC"}
    made |= {"version": [{"valid_from": "2026-01-01"}]}
    opened = closing(open_database("sqlite", tmp_path / "data"))
    logged = [ObjectChange("tariff", "t", None, made)]
    with opened as database, database.write.begin() as connection:
        stored.apply(connection, [Change("add", "tariff", "t", made)], 1)
        log_changes(connection, Actor("csr", "network", "console"), logged, 1)
    assert (0, "nothing to change\n") == apply()
