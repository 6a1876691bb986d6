"""A backup that is none is refused before anything of it is written elsewhere."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from storage.backup import BackupError, restore


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("name", ["../beside", "journal/../../beside", "{}/beside"])
def test_nothing_of_a_backup_leaves_its_folder(
    tmp_path: Path, name: str, kind: bytes
) -> None:
    """Neither by its name nor by a link."""
    backup, data_dir = tmp_path / "backup.tar", tmp_path / "data"
    data_dir.mkdir()
    with tarfile.open(backup, "w") as tar:
        packed = tarfile.TarInfo(name.format(tmp_path))
        packed.type, packed.size = kind, 1
        packed.linkname = str(backup)
        tar.addfile(packed, io.BytesIO(b"x"))
    with pytest.raises(BackupError, match="is no backup: it has"):
        restore(backup, "sqlite", data_dir)
    assert [backup] == [path for path in tmp_path.rglob("*") if path.is_file()]
