"""A copy of a journal while it is being written, for a backup.

A file is final in the copy when the next one was there before it was copied; until then
it may have grown. Files are listed until two listings are the same.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite3

from storage.journal import JournalError, first_position, journal_files, open_file


def copy_journal(folder: Path, target: Path) -> int | None:
    """Copy a journal that is being written, so that a writer can go on from the copy.

    ``target`` is an empty folder. Gives the first position that is there, or None where
    there is no file. Raises JournalError.
    """
    whole: set[str] = set()
    while True:
        files = journal_files(folder)
        for path, following in zip(files, [*files[1:], None], strict=True):
            if path.name in whole:
                continue
            copy = target / path.name
            copy.unlink(missing_ok=True)
            try:
                copy_file(path, copy)
            except sqlite3.Error as error:
                if path.exists():
                    msg = f"{path.name} cannot be copied: {error}"
                    raise JournalError(msg) from error
                continue  # consumed, and discarded meanwhile
            if following is not None:  # else it may have grown by the next round
                whole.add(path.name)
        if journal_files(folder) == files:
            copies = journal_files(target)
            return first_position(copies[0]) if copies else None


def copy_file(path: Path, target: Path) -> None:
    """Copy one moment of a SQLite file that others write, log included.

    Raises the driver's errors.
    """
    with (
        closing(open_file(path, "ro")) as source,
        closing(sqlite3.connect(target)) as copy,
    ):
        target.chmod(0o600)
        source.backup(copy)
