"""``fairlane check`` as an operator runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import config

DEMO = Path(config.__file__).with_name("demo.toml")


def check(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "daemon.cli", "check", *arguments],
        cwd=cwd,
        env={"PYTHONPATH": str(DEMO.parent.parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_good_configuration_prints_its_digest_and_changes_nothing(
    tmp_path: Path,
) -> None:
    """Checking the demo exits 0 and leaves no file behind."""
    done = check("-c", str(DEMO), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "sha256: " in done.stdout
    assert "2 nas" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_json_is_one_object_with_the_same_digest(tmp_path: Path) -> None:
    """A program reads what a person reads."""
    text = check("-c", str(DEMO), cwd=tmp_path).stdout
    fact = json.loads(check("-c", str(DEMO), "--json", cwd=tmp_path).stdout)
    assert len(fact["digest"]) == 64
    assert fact["digest"] in text
    assert fact["objects"]["isp"] == 2
    assert fact["data_dir"] == str(tmp_path / "var")


def test_every_problem_of_both_files_is_on_standard_error_with_exit_78(
    tmp_path: Path,
) -> None:
    """Nothing is printed to standard output when nothing is good."""
    settings, network = tmp_path / "fairlane.toml", tmp_path / "network.toml"
    settings.write_text('network = "network.toml"\n[http]\nlisen = "127.0.0.1:1"\n')
    network.write_text('[[nas]]\nname = "n"\naddress = "10.0.0.1/8"\n')
    done = check("-c", str(settings), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr.splitlines() == [
        f"{settings}:3: http.lisen: unknown key (did you mean 'listen'?)",
        f"{network}:1: nas[0]: needs one of secret, secrets or secret_file",
        (
            f"{network}:3: nas[0].address: '10.0.0.1/8' has host bits set; "
            "its prefix is 10.0.0.0/8"
        ),
    ]


def test_a_weak_secret_is_a_warning_and_not_shown(tmp_path: Path) -> None:
    """A configuration with a warning is good: exit 0."""
    settings, network = tmp_path / "fairlane.toml", tmp_path / "network.toml"
    settings.write_text('network = "network.toml"\n')
    network.write_text('[[nas]]\nname = "n"\naddress = "::1"\nsecret = "tooshort"\n')
    done = check("-c", str(settings), cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: nas n: ")
    assert "tooshort" not in done.stderr + done.stdout


def test_a_named_file_that_is_absent_exits_78(tmp_path: Path) -> None:
    """The file is named, and no default stands in for it."""
    done = check("-c", "none.toml", cwd=tmp_path)
    assert done.returncode == 78
    assert done.stderr == "none.toml: cannot be read: No such file or directory\n"


def test_usage_errors_exit_2(tmp_path: Path) -> None:
    """An unknown option is not a configuration problem."""
    assert check("--nonsense", cwd=tmp_path).returncode == 2
