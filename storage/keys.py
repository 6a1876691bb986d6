"""The keys of a site: one master key in a file, and what is derived from it.

The file is the operator's (a systemd credential, or a path that the settings name), so
that all nodes have the same; a site that names none gets one of its own, made once in
its data directory. What each use needs is derived with HMAC-SHA256 under its own label:
no key is used for two things.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import NamedTuple

from config.schema import Settings

MINIMUM_OCTETS = 32
CREDENTIAL = "fairlane-key"
OWN_FILE = "key"
"""The name, in the data directory, of a key that Fairlane made."""


class KeyFileError(Exception):
    """The key file cannot be read, or is too short; the message names it."""


class Keys(NamedTuple):
    """Derived keys of 32 octets."""

    credentials: bytes
    """Seals passwords (AES-256-GCM)."""
    class_tokens: bytes
    """Signs Class (``radius.class_token``)."""
    order_digests: bytes
    """Digests the bodies of orders, which may hold passwords."""
    line_tokens: bytes
    """Signs line tokens (``provisioning.line_token``)."""


def load_keys(settings: Settings, *, make: bool = False) -> Keys:
    """Read the master key; KeyFileError when there is none.

    With ``make`` one is made where none is configured: for the daemon alone, so that it
    belongs to whom the daemon runs as.
    """
    path = _path(settings)
    if make and not path.exists() and not settings.access.key_file:
        _make(path)
    master = _read(path)
    return Keys(
        hmac.digest(master, b"fairlane credentials 1", "sha256"),
        hmac.digest(master, b"fairlane class tokens 1", "sha256"),
        hmac.digest(master, b"fairlane order digests 1", "sha256"),
        hmac.digest(master, b"fairlane line tokens 1", "sha256"),
    )


def left_behind(settings: Settings) -> Path | None:
    """Give the key that Fairlane made, when another one is used now: what was sealed
    with it cannot be opened any more."""
    own = Path(settings.data_dir) / OWN_FILE
    path = _path(settings)
    if path == own or not own.exists() or own.read_bytes() == _read(path):
        return None
    return own


def _path(settings: Settings) -> Path:
    if settings.access.key_file:
        return Path(settings.access.key_file)
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and (Path(folder) / CREDENTIAL).exists():
        return Path(folder) / CREDENTIAL
    return Path(settings.data_dir) / OWN_FILE


def _make(path: Path) -> None:
    """Make a key; of several processes that try at once, the first one's stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        own.touch(mode=0o600)
        own.write_bytes(secrets.token_bytes(MINIMUM_OCTETS))
        with own.open("rb") as file:
            os.fsync(file.fileno())
        path.hardlink_to(own)
    except FileExistsError:
        pass  # another process was first
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise KeyFileError(msg) from error
    finally:
        own.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    try:
        octets = path.read_bytes()
    except OSError as error:
        msg = f"{path}: {error.strerror}"
        raise KeyFileError(msg) from error
    if len(octets) < MINIMUM_OCTETS:
        msg = f"{path}: has {len(octets)} octets, at least {MINIMUM_OCTETS} are needed"
        raise KeyFileError(msg)
    return octets
