"""A disk that is full or broken under a daemon that is asked for promises."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from e2e.daemon_process import Daemon, running, wait_until
from e2e.nas_load import NasLoad, check

from storage.journal import JournalReader

DISK_BYTES = 24 << 20
RED_SECONDS = 5.0
EIO, ENOSPC = 5, 28


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("a small file system can only be mounted as root")
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=700"]
    done = subprocess.run(
        [*mount, "fairlane-test", str(place)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Take all the space there is; give the file that has it."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))
    return ballast


def red(daemon: Daemon) -> bool:
    """Say whether the receiver's journal is what makes /readyz red."""
    status, body = daemon.get("/readyz?verbose")
    return status == 503 and "journal-radius-0" in body


def test_a_full_disk_acknowledges_nothing_and_mends_itself(
    tmp_path: Path, small_disk: Path
) -> None:
    """ENOSPC: no acknowledgement that is not kept, /readyz red within 5 s, and with
    space again it goes on by itself, in the same processes."""
    with running(
        tmp_path,
        data_dir=small_disk / "data",
        environment={"PYTHONFAULTHANDLER": "1"},
        settings={"journal": "file_bytes = 1048576\nretention_bytes = 1048576\n"},
    ) as daemon:
        pids, supervisor = daemon.pids(), daemon.status()["pid"]
        with NasLoad(daemon, lines=8, pace=0.005, retry=0.5) as load:
            for _ in range(2):
                before = load.acknowledged
                wait_until(lambda before=before: load.acknowledged > before + 300)
                wait_until(lambda: daemon.readiness() == 200, 30)
                ballast = fill(small_disk)
                _until_refused(daemon, load)
                wait_until(lambda: red(daemon), RED_SECONDS)
                refused = load.acknowledged
                ballast.unlink()
                wait_until(lambda refused=refused: load.acknowledged > refused + 300)
            load.finish()
        wait_until(daemon.applied, 60)
        wait_until(lambda: daemon.readiness() == 200, 30)
        check(load, daemon)
        assert daemon.pids()["radius-0"] == pids["radius-0"]
        assert daemon.status()["pid"] == supervisor
        daemon.kill()
        daemon.start()
        wait_until(daemon.applied, 60)
        check(load, daemon)


def test_a_start_on_a_full_disk_waits_for_space(
    tmp_path: Path, small_disk: Path
) -> None:
    """A daemon that is started while the disk is full stays, is not ready, and becomes
    so by itself when there is space."""
    with running(tmp_path, data_dir=small_disk / "data") as daemon:
        assert daemon.stop() == 0
        # What the last run counted would be wiped at the start, and make space.
        shutil.rmtree(small_disk / "data" / "metrics")
        ballast = fill(small_disk)
        daemon.start(wait=False)
        assert daemon.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.process.wait(5.0)
        assert daemon.process.poll() is None
        assert daemon.readiness() != 200
        ballast.unlink()
        daemon.wait_for_notice("READY=1")


def _until_refused(daemon: Daemon, load: NasLoad) -> None:
    """Wait until the disk has refused a commit, and no answers come."""

    def refused() -> bool:
        roles = {role["role"]: role for role in daemon.status()["roles"]}
        return roles["radius-0"]["detail"].get("journal") not in (None, "writable")

    wait_until(refused, 30)
    before = load.acknowledged
    # The load asks on, twice a second on each line: any answer now would be a lie or
    # a sign that a little space was found.
    threading.Event().wait(0.7)
    if load.acknowledged != before:
        wait_until(refused, 30)


@pytest.fixture(scope="session")
def fiu() -> str:
    """libfiu's way to run a program whose system calls fail."""
    found = shutil.which("fiu-run")
    if found is None or shutil.which("fiu-ctrl") is None:
        reason = "fiu-run is not installed (Debian: fiu-utils)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


FAULTS = {
    "fsync-EIO": (("posix/io/sync/fsync", "posix/io/sync/fdatasync"), EIO),
    "fsync-ENOSPC": (("posix/io/sync/fsync", "posix/io/sync/fdatasync"), ENOSPC),
    "write-EIO": (("posix/io/rw/pwrite", "posix/io/rw/pwritev"), EIO),
    "write-ENOSPC": (("posix/io/rw/pwrite", "posix/io/rw/pwritev"), ENOSPC),
}


_REFUSED_BLOCK = """
import sys
from pathlib import Path
from storage.journal import JournalError, JournalWriter
writer = JournalWriter(Path(sys.argv[1]), file_bytes=10**6)
def append(octets):
    try:
        return str(writer.append(octets, records=2, received_at_ns=1))
    except JournalError:
        return "refused"
for octets in sys.stdin:
    print(append(octets.encode()), flush=True)
"""


def test_a_block_that_was_refused_is_read_by_nobody_before_its_place_is_taken(
    tmp_path: Path, fiu: str
) -> None:
    """A failed fsync leaves the block's octets in the file, where whoever opens it
    anew would find them; then what is acknowledged at its position would be skipped."""
    folder = tmp_path / "journal"
    command = [fiu, "-x", "-f", str(tmp_path / "fiu"), sys.executable, "-c"]
    with subprocess.Popen(
        [*command, _REFUSED_BLOCK, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None

        def append(octets: str) -> str:
            print(octets, file=writer.stdin, flush=True)
            return writer.stdout.readline().strip()  # type: ignore[union-attr]

        assert append("first") == "1"
        names, number = FAULTS["fsync-EIO"]
        for verb in ("enable", "disable"):
            failing = f",failinfo={number}" if verb == "enable" else ""
            control(tmp_path, writer.pid, [f"{verb} name={n}{failing}" for n in names])
            if verb == "enable":
                assert append("refused") == "refused"
                reader = JournalReader(folder)  # it opens the file anew
                assert [b.octets for b in reader.read(1, 10)] == [b"first\n"]
        assert append("second") == "3"
        reader.close()
        reader = JournalReader(folder)
        assert [b.octets for b in reader.read(1, 10)] == [b"first\n", b"second\n"]
        reader.close()
        writer.stdin.close()


def faults(*always: str) -> list[Any]:
    """Give all of the faults as parameters; but for these they are long proofs."""
    return [
        pytest.param(f, marks=() if f in always else pytest.mark.long) for f in FAULTS
    ]


def control(folder: Path, process: int, commands: list[str]) -> None:
    """Tell libfiu in a process which calls fail from now on."""
    words = [word for command in commands for word in ("-c", command)]
    subprocess.run(
        ["fiu-ctrl", "-f", str(folder / "fiu"), *words, str(process)],
        check=True,
        capture_output=True,
        timeout=20,
    )


@pytest.mark.parametrize("fault", faults("fsync-EIO", "write-ENOSPC"))
def test_a_failing_disk_breaks_no_promise(tmp_path: Path, fiu: str, fault: str) -> None:
    """Calls of the receiver that fail, all of them and then one in twenty: what it
    answered meanwhile is there after a crash, and it mends itself when they work."""
    names, number = FAULTS[fault]
    prefix = (fiu, "-x", "-f", str(tmp_path / "fiu"))
    with running(tmp_path, prefix=prefix) as daemon:
        pids = daemon.pids()
        receiver = pids["radius-0"]
        with NasLoad(daemon, lines=8, pace=0.005, retry=0.3) as load:
            wait_until(lambda: load.acknowledged > 300)
            for mode in ("enable {}", "enable_random {},probability=0.05"):
                control(
                    tmp_path,
                    receiver,
                    [mode.format(f"name={n},failinfo={number}") for n in names],
                )
                wait_until(
                    lambda: daemon.metric("fairlane_journal_commit_failures_total")
                )
                if "random" in mode:
                    before = load.acknowledged
                    wait_until(lambda before=before: load.acknowledged > before + 100)
                else:
                    wait_until(lambda: red(daemon), RED_SECONDS)
                control(tmp_path, receiver, [f"disable name={n}" for n in names])
                before = load.acknowledged
                wait_until(lambda before=before: load.acknowledged > before + 300)
            assert daemon.pids() == pids
            load.leave()
            daemon.kill()
        daemon.prefix = ()
        daemon.start()
        wait_until(daemon.applied, 60)
        check(load, daemon)


@pytest.mark.parametrize("fault", faults("fsync-ENOSPC"))
def test_a_disk_that_fails_under_every_role_breaks_no_promise(
    tmp_path: Path, fiu: str, fault: str
) -> None:
    """The whole daemon on a disk where one call in a hundred fails from the first: it
    may need its time, and it keeps what it answers."""
    names, number = FAULTS[fault]
    commands = [
        f"enable_random name={name},failinfo={number},probability=0.01"
        for name in names
    ]
    prefix = (fiu, "-x", *(word for c in commands for word in ("-c", c)))
    daemon = Daemon(tmp_path)
    with daemon:  # a good start first: tables and network are there
        assert daemon.stop() == 0
        daemon.prefix = prefix
        daemon.start(wait=False)
        with NasLoad(daemon, lines=8, pace=0.002, retry=0.3) as load:
            wait_until(lambda: load.acknowledged > 2000, 60)
            load.leave()
            daemon.kill()
        daemon.prefix = ()
        daemon.start()
        wait_until(daemon.applied, 60)
        check(load, daemon)
