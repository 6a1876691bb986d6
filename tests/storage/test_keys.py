"""Where the master key comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.schema import AccessSettings, Settings
from storage.keys import CREDENTIAL, KeyFileError, left_behind, load_keys


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data directory of its own."""
    return Settings(data_dir=str(tmp_path / "var"))


def test_a_credential_of_systemd_goes_before_a_key_made_here(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a file that the settings name before both."""
    made = load_keys(settings, make=True)
    (tmp_path / CREDENTIAL).write_bytes(b"c" * 32)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    credential = load_keys(settings)
    file = tmp_path / "named"
    file.write_bytes(b"n" * 32)
    named = load_keys(
        Settings(data_dir=settings.data_dir, access=AccessSettings(key_file=str(file)))
    )

    assert 3 == len({made, credential, named})


def test_where_there_is_no_credential_one_is_made_once_by_the_daemon_alone(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others get the one that is there, or an error."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(KeyFileError):
        load_keys(settings)
    made = load_keys(settings, make=True)

    assert made == load_keys(settings, make=True) == load_keys(settings)


def test_a_key_that_was_made_and_is_not_used_any_more_is_told(
    settings: Settings, tmp_path: Path
) -> None:
    """Passwords may be sealed with it. A copy of it elsewhere is the same key."""
    load_keys(settings, make=True)
    own, named = tmp_path / "var" / "key", tmp_path / "named"
    named.write_bytes(own.read_bytes())
    elsewhere = Settings(
        data_dir=settings.data_dir, access=AccessSettings(key_file=str(named))
    )
    assert None is left_behind(settings)
    assert None is left_behind(elsewhere)
    named.write_bytes(b"n" * 32)
    assert own == left_behind(elsewhere)


def test_a_short_key_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Fewer than 32 octets can be guessed or were cut off."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "key").write_bytes(b"short")
    with pytest.raises(KeyFileError, match="32 are needed"):
        load_keys(settings)
