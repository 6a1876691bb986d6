"""What applying a network refuses because of what is stored already."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

import config
from daemon.cli import main

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
