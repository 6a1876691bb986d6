"""When the last backup was made: what operators watch, since nobody misses one before
it is needed. It is the time of an empty file beside the stores."""

from __future__ import annotations

import os
from pathlib import Path

_FILE = "last-backup"


def mark(data_dir: Path, at: int) -> None:
    """Remember a backup that was made; ``at`` is in seconds since 1970."""
    path = data_dir / _FILE
    path.touch(mode=0o600)
    os.utime(path, (at, at))


def last_backup(data_dir: Path) -> int | None:
    """Give when the last backup was made, in seconds since 1970, if one was."""
    try:
        return int((data_dir / _FILE).stat().st_mtime)
    except FileNotFoundError:
        return None
