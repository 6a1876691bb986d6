"""Records in quarantine, applied again by a real ledger when an operator asks."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from click.testing import CliRunner, Result
from radius_packets import octets, packet

from config.schema import Settings
from daemon.cli import main
from daemon.ledger_role import Worker
from daemon.role import RoleContext
from radius.records import Origin, encode_origin
from storage.database import Database
from storage.journal import Block
from storage.quarantine import put_aside
from storage.usage_queries import Filter, list_sessions

ORIGIN = encode_origin(Origin(b"\x7f\x00\x00\x01", 5000, "bng1"))
BROKEN = packet(9)[:2] + (21).to_bytes(2) + bytes(16) + b"\x01"
AT = 1_700_000_000


def quarantine(settings: Path, *words: str) -> Result:
    """Run `fairlane quarantine`."""
    return CliRunner().invoke(main, ["quarantine", *words, "-c", str(settings)])


def configured(database: Database, folder: Path) -> Path:
    """Write settings for a database of the tests."""
    url = database.write.url.set(drivername="postgresql").render_as_string()
    name = url if database.is_postgresql else "sqlite"
    settings = folder / "fairlane.toml"
    settings.write_text(f'data_dir = "{folder}"\ndatabase = "{name}"\n')
    return settings


def aside(database: Database, *records: bytes, journal: str = "radius-0") -> None:
    """Put records aside, as a version that could not read them did."""
    with database.write.begin() as connection:
        for position, record in enumerate(records, 1):
            block = Block(position, 1, (AT + position) * 10**9, ORIGIN + record)
            put_aside(connection, journal, block, reason="KeyError: 1", at=AT)


@contextmanager
def ledger(database: Database, folder: Path) -> Iterator[None]:
    """Run the ledger's work in a thread."""
    url = database.write.url.set(drivername="postgresql").render_as_string()
    name = url if database.is_postgresql else "sqlite"
    settings = {"data_dir": str(folder), "database": name}
    ending = threading.Event()

    async def work() -> None:
        worker = Worker(
            RoleContext(
                name="ledger",
                index=0,
                settings=msgspec.convert(settings, Settings),
                sockets={},
                send=lambda _: None,
                shares_process=True,
            )
        )
        while not ending.wait(0.02):
            worker.step()
            assert worker.failure is None
        worker.close()

    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def test_after_a_fix_the_records_count_once_and_in_their_own_time(
    database: Database, tmp_path: Path
) -> None:
    """What reads now is applied as if it had been then; what does not is put back, and
    asking again changes no total."""
    settings = configured(database, tmp_path)
    start = packet(1, status=1, acct_session_id="a")
    stop = packet(
        2, status=2, acct_session_id="a", session_seconds=60, **octets("input", 500)
    )
    aside(database, start, stop, BROKEN)
    with ledger(database, tmp_path):
        for applied in (2, 0):
            result = quarantine(settings, "retry", "--all")
            assert 1 == result.exit_code, result.output
            lines = result.output.splitlines()
            assert f"{applied} of {applied + 1} applied" == lines[-1]
            assert "3 of radius-0: put aside: IndexError" in result.output
    with database.read.connect() as connection:
        (session,) = list_sessions(connection, Filter())
    assert ("a", "closed", 500, 60) == (
        session["acct_session_id"],
        session["state"],
        session["input_octets"],
        session["seconds"],
    )
    listed = quarantine(settings, "list", "--json").output.splitlines()
    assert [("radius-0", 3)] == [
        (fact["journal"], fact["position"]) for fact in map(json.loads, listed)
    ]


def test_a_record_is_shown_with_its_packet(database: Database, tmp_path: Path) -> None:
    """The packet is what `fairlane decode` takes, and the NAS is named."""
    settings = configured(database, tmp_path)
    start = packet(1, status=1, acct_session_id="a")
    aside(database, start)
    shown = json.loads(quarantine(settings, "show", "radius-0", "1", "--json").output)
    assert ("bng1", start.hex(), (ORIGIN + start).hex(), "KeyError: 1") == (
        shown["nas"],
        shown["packet"],
        shown["octets"],
        shown["reason"],
    )


def test_what_cannot_be_applied_again_is_told(
    database: Database, tmp_path: Path
) -> None:
    """A lease's record has no time of its own; a place without a record is named."""
    settings = configured(database, tmp_path)
    aside(database, b"", journal="ipserver")
    for words, message in (
        (("retry", "ipserver", "1"), "cannot be applied again"),
        (("retry", "radius-0", "5"), "no record 5 of radius-0 is in quarantine"),
        (("show", "radius-0", "5"), "no record 5 of radius-0 is in quarantine"),
    ):
        result = quarantine(settings, *words)
        assert 1 == result.exit_code
        assert message in result.output
    assert 2 == quarantine(settings, "retry").exit_code
    assert 2 == quarantine(settings, "retry", "radius-0").exit_code
    nothing = quarantine(settings, "retry", "--all")
    assert (0, "nothing new to apply again\n") == (nothing.exit_code, nothing.output)
