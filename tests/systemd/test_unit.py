"""The units: as tight as promised, and in step with the defaults."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

from config.schema import Settings
from storage.keys import CREDENTIAL

UNITS = Path(__file__).resolve().parents[2] / "systemd"


def lines(unit: str, key: str) -> list[str]:
    """Return every value of a key; systemd allows a key several times."""
    text = (UNITS / unit).read_text().splitlines()
    return [x.partition("=")[2] for x in text if x.startswith(f"{key}=")]


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_exposure_of_the_service_is_2_or_less() -> None:
    """systemd-analyze security rates the sandbox at 2.0 of 10 or better."""
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--threshold=20",
            "--no-pager",
            str(UNITS / "fairlane.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_service_manager_is_told_and_watches() -> None:
    """Type=notify from the main process, a watchdog, and no restart of a mistake."""
    assert ["notify"] == lines("fairlane.service", "Type")
    assert ["main"] == lines("fairlane.service", "NotifyAccess")
    assert ["30"] == lines("fairlane.service", "WatchdogSec")
    assert ["2 78"] == lines("fairlane.service", "RestartPreventExitStatus")


def test_configuration_is_checked_before_start_and_before_reload() -> None:
    """A reload with a mistake fails before the signal is sent."""
    check = "fairlane check -c /etc/fairlane/fairlane.toml"

    assert lines("fairlane.service", "ExecStartPre")[0].endswith(check)
    first, second = lines("fairlane.service", "ExecReload")
    assert first.endswith(check)
    assert second == "/bin/kill -HUP $MAINPID"


def test_sockets_are_those_of_the_default_settings() -> None:
    """Whoever changes neither gets a daemon that uses the sockets it is given."""
    settings = Settings()
    radius = settings.radius

    datagrams = [*radius.authentication_listen, *radius.accounting_listen]
    datagrams += settings.dhcp.listen
    assert datagrams == lines("fairlane.socket", "ListenDatagram")
    assert [settings.http.listen] == lines("fairlane.socket", "ListenStream")


def test_master_key_is_a_credential_and_may_be_missing() -> None:
    """It has the name that is looked for. A path that is not absolute is searched for
    in the credential stores, and the unit starts without it (systemd.exec(5)).
    """
    (loaded,) = lines("fairlane.service", "LoadCredential")
    name, _, path = loaded.partition(":")

    assert CREDENTIAL == name == path


def test_units_are_well_formed() -> None:
    """Every line is in a section and has a value or empties one."""
    for unit in ("fairlane.service", "fairlane.socket"):
        parser = configparser.RawConfigParser(strict=False)
        parser.read(UNITS / unit)

        assert {"Unit", "Install"} < set(parser.sections())
