"""Records that cannot be applied: put aside, counted, and the rest goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from radius_packets import packet
from sqlalchemy.exc import OperationalError

from config.schema import Settings
from daemon.isolation import apply_around
from daemon.ledger_role import Worker
from daemon.role import RoleContext
from radius.records import Origin, encode_origin
from storage.database import StorageError, migrate, open_database
from storage.journal import Block, JournalWriter
from storage.quarantine import newest_quarantined, quarantined
from storage.usage_queries import Filter, list_sessions

ORIGIN = encode_origin(Origin(b"\x7f\x00\x00\x01", 5000, "bng1"))


@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_exactly_what_fails_by_itself_is_put_aside(bad: list[bool]) -> None:
    """Whatever the number and places of the bad ones; the order stays."""
    blocks = [Block(number, 1, 0, b"") for number in range(len(bad))]
    applied: list[int] = []
    aside: list[int] = []

    def apply(some: Sequence[Block]) -> None:
        if any(bad[block.first] for block in some):
            raise ValueError
        applied.extend(block.first for block in some)

    apply_around(blocks, apply, lambda block, _: aside.append(block.first))

    assert [n for n, is_bad in enumerate(bad) if not is_bad] == applied
    assert [n for n, is_bad in enumerate(bad) if is_bad] == aside


def test_a_database_that_is_away_is_no_record_s_fault() -> None:
    """Then nothing is put aside, and the batch is tried again later."""
    aside: list[Block] = []

    def apply(_: Sequence[Block]) -> None:
        raise OperationalError("COMMIT", None, Exception("gone"))

    with pytest.raises(StorageError):
        apply_around([Block(1, 1, 0, b"")], apply, lambda block, _: aside.append(block))

    assert [] == aside


def test_a_record_that_breaks_the_ledger_does_not_stop_it(tmp_path: Path) -> None:
    """What is before and behind it counts, also in its own block; it is kept whole."""
    broken = packet(9)[:2] + (21).to_bytes(2) + bytes(16) + b"\x01"
    writer = JournalWriter(tmp_path / "journal" / "radius-0", file_bytes=1 << 20)
    for requests in (
        [packet(1, status=1, acct_session_id="a")],
        [
            packet(2, status=1, acct_session_id="b"),
            broken,
            packet(3, status=1, acct_session_id="c"),
        ],
        [packet(4, status=1, acct_session_id="d")],
    ):
        octets = b"".join(ORIGIN + request for request in requests)
        writer.append(octets, records=len(requests), received_at_ns=10**18)
    writer.close()
    unknown = JournalWriter(tmp_path / "journal" / "later-0", file_bytes=1 << 20)
    unknown.append(b"of a newer version", records=1, received_at_ns=10**18)
    unknown.close()
    database = open_database("sqlite", tmp_path)
    migrate(database)

    async def work() -> dict[str, int]:
        settings = msgspec.convert({"data_dir": str(tmp_path)}, Settings)
        worker = Worker(
            RoleContext(
                name="ledger",
                index=0,
                settings=settings,
                sockets={},
                send=lambda _: None,
                shares_process=True,
            )
        )
        worker.step()
        assert worker.failure is None
        worker.close()
        return worker.positions

    assert {"radius-0": 6} == asyncio.run(work())
    with database.read.connect() as connection:
        found = [s["acct_session_id"] for s in list_sessions(connection, Filter())]
        assert ["a", "b", "c", "d"] == found
        assert 1 == quarantined(connection)
        newest = newest_quarantined(connection)
        assert newest is not None
        assert ("radius-0", 3, ORIGIN + broken) == (
            newest.journal,
            newest.position,
            newest.octets,
        )
        assert "IndexError" in newest.reason
    database.close()
