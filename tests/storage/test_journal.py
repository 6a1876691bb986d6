"""The journal: positions, files, what survives, what is never shown twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.journal import Block, JournalError, JournalReader, JournalWriter


def octets(first: int, count: int) -> bytes:
    """Make the octets of a block: its positions, as text, padded to a packet's size."""
    return b"".join(b"%200d" % position for position in range(first, first + count))


def append(writer: JournalWriter, count: int, at: int = 1) -> int:
    """Append a block of ``count`` records."""
    return writer.append(
        octets(writer.next_position, count), records=count, received_at_ns=at
    )


def positions(blocks: list[Block]) -> list[int]:
    """Give the position of each record in blocks, after what their octets say."""
    found = [
        int(block.octets[at : at + 200])
        for block in blocks
        for at in range(0, len(block.octets), 200)
    ]
    assert found == [b.first + i for b in blocks for i in range(b.records)]
    return found


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 200))
def test_every_record_is_read_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, counts: list[int], limit: int
) -> None:
    """Whatever the sizes of blocks, files and reads, positions run from 1."""
    folder = tmp_path_factory.mktemp("journal")
    writer, reader = JournalWriter(folder, file_bytes=1000), JournalReader(folder)
    for count in counts:
        append(writer, count)
    position, found = 1, []
    while blocks := reader.read(position, limit):
        found += positions(blocks)
        position = blocks[-1].first + blocks[-1].records
    writer.close()
    reader.close()

    assert found == list(range(1, sum(counts) + 1))


def test_a_read_from_inside_a_block_gives_the_whole_block(tmp_path: Path) -> None:
    """A position is a record's; who reads from inside a block knows what it has."""
    writer, reader = JournalWriter(tmp_path, file_bytes=10**6), JournalReader(tmp_path)
    append(writer, 5, 1)
    append(writer, 5, 2)

    assert [Block(6, 5, 2, octets(6, 5))] == reader.read(7, 100)
    writer.close()
    reader.close()


def test_a_new_writer_goes_on_behind_the_last_record(tmp_path: Path) -> None:
    """Positions are never used twice, however often the writer restarts."""
    for count in (3, 0, 2):
        writer = JournalWriter(tmp_path, file_bytes=10**6)
        if count:
            append(writer, count)
        writer.close()
    reader = JournalReader(tmp_path)

    assert positions(reader.read(1, 10)) == [1, 2, 3, 4, 5]
    reader.close()


def test_backlog_counts_what_is_not_consumed_and_since_when(tmp_path: Path) -> None:
    """Lag in records and in time, over several files."""
    writer, reader = JournalWriter(tmp_path, file_bytes=1), JournalReader(tmp_path)
    for at in (100, 200, 300):
        append(writer, 5, at)

    assert reader.backlog(1) == (15, 100)
    assert reader.backlog(7) == (9, 200)
    assert reader.backlog(16) == (0, None)
    writer.close()
    reader.close()


def test_retention_deletes_only_what_is_consumed_and_over(tmp_path: Path) -> None:
    """What the ledger has not applied stays, whatever the retention."""
    writer, reader = JournalWriter(tmp_path, file_bytes=1), JournalReader(tmp_path)
    for _ in range(4):
        append(writer, 5)

    assert reader.discard(1, 0) == 0
    assert reader.discard(16, 10**9) == 0
    assert reader.is_whole()
    assert reader.discard(11, 0) == 2
    assert not reader.is_whole()
    assert positions(reader.read(11, 20)) == list(range(11, 21))
    writer.close()
    reader.close()


def test_a_failed_commit_says_so_and_the_next_goes_to_a_new_file(
    tmp_path: Path,
) -> None:
    """What failed is at no position; what follows takes the one it would have had."""
    writer = JournalWriter(tmp_path, file_bytes=10**6)
    append(writer, 2)
    assert writer._connection is not None
    writer._connection.execute("PRAGMA query_only=1")
    with pytest.raises(JournalError):
        append(writer, 2)
    assert append(writer, 1) == 3
    reader = JournalReader(tmp_path)

    assert positions(reader.read(1, 10)) == [1, 2, 3]
    assert len(list(tmp_path.glob("*.journal"))) == 2
    writer.close()
    reader.close()


def test_a_folder_that_cannot_be_written_is_an_error_at_once(tmp_path: Path) -> None:
    """A journal that cannot be opened never pretends."""
    blocked = tmp_path / "00000000000000000001.000000.journal"
    blocked.write_bytes(b"this is no database, and long enough to be read as one" * 9)

    with pytest.raises(JournalError):
        JournalWriter(tmp_path, file_bytes=10**6)


def test_journal_files_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    """Packets name subscribers."""
    writer = JournalWriter(tmp_path / "j", file_bytes=10**6)
    append(writer, 1)
    modes = {path.stat().st_mode & 0o077 for path in (tmp_path / "j").iterdir()}
    writer.close()

    assert {0} == modes


_KILLED = """
import os, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from tests_block import append
from storage.journal import JournalWriter
writer = JournalWriter(Path(sys.argv[1]), file_bytes=20_000)
while True:
    append(writer, 7)
    os.write(1, writer.next_position.to_bytes(8))
"""


def test_what_was_appended_survives_kill_9(tmp_path: Path) -> None:
    """Each block that ``append`` returned from is there after the process is killed."""
    code = _KILLED.replace("tests_block", "storage_journal_block")
    module = tmp_path / "storage_journal_block.py"
    module.write_text(Path(__file__).read_text())
    root = Path(__file__).parents[2]
    folder = tmp_path / "journal"
    child = subprocess.Popen(
        [sys.executable, "-c", code, folder, tmp_path, root, root / "tests"],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    acknowledged = child.stdout.read(8 * 300)
    os.kill(child.pid, signal.SIGKILL)
    acknowledged += child.stdout.read()
    child.stdout.close()
    child.wait()
    end = int.from_bytes(acknowledged[-8:])

    reader = JournalReader(folder)
    found = positions(reader.read(1, 10**9))
    reader.close()

    assert found[: end - 1] == list(range(1, end))
    assert len(found) - (end - 1) in (0, 7)
