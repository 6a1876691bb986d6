"""A copy of all that a node must not lose, taken while it works, and its way back.

One tar file: the database as one moment saw it, every journal file that is kept, who
has which place, the site's own key, and last a manifest with a digest of each and the
number of rows of each table. The database comes first and the journals after it: so
whatever the database has not applied is in the journals, and everything acknowledged
before the copy began is in one of them. What the network file and the settings say is
the operator's, and not here.

It is restored only where nothing is, and counted again there.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from pysqlite3 import dbapi2 as sqlite3
from sqlalchemy import Connection, func, inspect, select

from storage import access_state, keys, postgresql_dump, schema
from storage.backup_mark import mark
from storage.columns import metadata
from storage.database import SQLITE_FILE, Database, StorageError, open_database
from storage.journal import JournalError
from storage.journal_copy import copy_file, copy_journal
from storage.sessions import read_positions

MANIFEST: Final = "manifest.json"
_DUMP: Final = "postgresql.dump"
_JOURNALS: Final = "journal"
_CHUNK = 1 << 20
_TRIES = 3
"""How often the journals are copied anew because a file was discarded in between."""


class BackupError(Exception):
    """It cannot be made or restored; the message says why, and nothing is half done."""


class Member(Struct, frozen=True):
    """A file of a backup: its name, how many octets, and their SHA-256 in hex."""

    name: str
    octets: int
    sha256: str


class Manifest(Struct, frozen=True):
    """What a backup is: ``made_at`` in seconds since 1970, ``revision`` the tables'
    version, ``positions`` how far the database has applied each journal, ``rows`` the
    number of rows of each table."""

    made_at: int
    version: str
    revision: str
    engine: str
    positions: dict[str, int]
    rows: dict[str, int]
    members: list[Member]


def back_up(
    url: str, data_dir: Path, target: Path, *, version: str, made_at: int
) -> Manifest:
    """Write a backup of the database ``url`` and of ``data_dir`` to a new file.

    Raises BackupError; then there is no file.
    """
    if target.exists():
        raise BackupError(f"{target} exists already")
    with _said(), _folder_beside(target) as folder:
        state = _copy_database(url, data_dir, folder)
        _copy_journals(data_dir, folder, state["positions"])
        if (data_dir / access_state.FILE).exists():
            copy_file(data_dir / access_state.FILE, folder / access_state.FILE)
        if (data_dir / keys.OWN_FILE).exists():
            shutil.copy(data_dir / keys.OWN_FILE, folder / keys.OWN_FILE)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        members = [_member(path, str(path.relative_to(folder))) for path in files]
        manifest = Manifest(made_at=made_at, version=version, members=members, **state)
        (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
        packed = folder / "packed"
        with packed.open("xb") as file, tarfile.open(fileobj=file, mode="w") as tar:
            packed.chmod(0o600)
            for name in [member.name for member in members] + [MANIFEST]:
                tar.add(folder / name, name)
        _sync(packed)
        packed.rename(target)
        _sync(target.parent)
        mark(data_dir, made_at)
    return manifest


def restore(backup: Path, url: str, data_dir: Path) -> Manifest:
    """Bring a backup back into an empty database and data directory.

    Each file's digest is compared first and the rows are counted at the end. Raises
    BackupError; a data directory is then as it was, and a database of PostgreSQL too,
    unless it was the count that failed.
    """
    with _said(), _folder_beside(data_dir / "restored") as folder:
        manifest = _unpack(backup, folder)
        engine = "sqlite" if url == "sqlite" else "postgresql"
        if manifest.engine != engine:
            raise BackupError(f"it is a backup of {manifest.engine}, not of {engine}")
        if not schema.knows(manifest.revision):
            raise BackupError(f"it is of a newer Fairlane ({manifest.version})")
        for name in (SQLITE_FILE, access_state.FILE, _JOURNALS, keys.OWN_FILE):
            if (folder / name).exists() and (data_dir / name).exists():
                raise BackupError(f"{data_dir / name} is there already")
        where = data_dir
        if engine == "postgresql":
            _load_dump(url, data_dir, folder / _DUMP)
        else:
            where = folder
        database = open_database(url, where)
        try:
            with database.read.connect() as connection:
                rows = _rows(connection)
        finally:
            database.close()
        if rows != manifest.rows:
            wrong = sorted(rows.items() ^ manifest.rows.items())
            raise BackupError(f"the rows are not those of the backup: {wrong}")
        for name in (_DUMP, MANIFEST):
            (folder / name).unlink(missing_ok=True)
        for path in folder.iterdir():
            path.rename(data_dir / path.name)
        _sync(data_dir)
    return manifest


@contextmanager
def _said() -> Iterator[None]:
    """Make BackupError of what the disk, a store or a program refuses."""
    try:
        yield
    except (
        OSError,
        JournalError,
        StorageError,
        postgresql_dump.DumpError,
        sqlite3.Error,
        tarfile.TarError,
        msgspec.MsgspecError,
    ) as error:
        raise BackupError(str(error).splitlines()[0]) from error


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """Give a folder of ours alone on a path's disk, and take it away in the end."""
    with tempfile.TemporaryDirectory(
        dir=path.parent, prefix=f".{path.name}."
    ) as folder:
        yield Path(folder)


# --- the copy ----------------------------------------------------------------


def _copy_database(url: str, data_dir: Path, folder: Path) -> dict[str, Any]:
    """Copy one moment of the database, and say what that moment had."""
    if url == "sqlite":
        copy_file(data_dir / SQLITE_FILE, folder / SQLITE_FILE)
        database = open_database(url, folder)
        try:
            with database.read.connect() as connection:
                said = connection.exec_driver_sql("PRAGMA quick_check").scalar()
                if said != "ok":
                    raise BackupError(f"the database is damaged: {said}")
                return {"engine": "sqlite", **_moment(connection)}
        finally:
            database.close()
    database = open_database(url, data_dir)
    try:
        with database.read.connect() as connection:
            snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()")
            postgresql_dump.dump(url, snapshot.scalar_one(), folder / _DUMP)
            return {"engine": "postgresql", **_moment(connection)}
    finally:
        database.close()


def _moment(connection: Connection) -> dict[str, Any]:
    revision = schema.revision(connection)
    if revision is None:
        raise BackupError("the database has no tables yet")
    return {
        "revision": revision,
        "positions": read_positions(connection),
        "rows": _rows(connection),
    }


def _rows(connection: Connection) -> dict[str, int]:
    there = set(inspect(connection).get_table_names())
    return {
        name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for name, table in sorted(metadata.tables.items())
        if name in there
    }


def _copy_journals(data_dir: Path, folder: Path, positions: Mapping[str, int]) -> None:
    for journal in sorted((data_dir / _JOURNALS).glob("*")):
        target = folder / _JOURNALS / journal.name
        for _ in range(_TRIES):
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(mode=0o700, parents=True)
            first = copy_journal(journal, target)
            if first is None or first <= positions.get(journal.name, 1):
                break
        else:
            msg = f"journal {journal.name}: what is not applied was discarded meanwhile"
            raise BackupError(msg)


def _member(path: Path, name: str) -> Member:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while octets := file.read(_CHUNK):
            digest.update(octets)
    return Member(name, path.stat().st_size, digest.hexdigest())


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- the way back ------------------------------------------------------------


def _unpack(backup: Path, folder: Path) -> Manifest:
    root = folder.resolve()
    with tarfile.open(backup) as tar:
        # Python has a filter for what must not leave the folder since 3.11.4 only.
        for packed in tar:
            path = (root / packed.name).resolve()
            if not packed.isfile() or not path.is_relative_to(root):
                raise BackupError(f"{backup} is no backup: it has {packed.name!r}")
            path.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(packed)
            assert source is not None
            with source, path.open("xb") as target:
                shutil.copyfileobj(source, target)
    if not (folder / MANIFEST).exists():
        raise BackupError(f"{backup} is no backup, or was cut off: it has no manifest")
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    for member in manifest.members:
        path = folder / member.name
        if not path.exists() or _member(path, member.name) != member:
            raise BackupError(f"{backup}: {member.name} is not what was backed up")
        path.chmod(0o600)
        _sync(path)
    return manifest


def _load_dump(url: str, data_dir: Path, dump: Path) -> None:
    database: Database = open_database(url, data_dir)
    try:
        with database.read.connect() as connection:
            if inspect(connection).get_table_names():
                raise BackupError("the database has tables already")
    finally:
        database.close()
    postgresql_dump.load(url, dump)
