"""The packets of the journals that a usage record is the difference of.

A session's reports are looked for by its Acct-Session-Id; those whose time lies at the
record's ends or between them are behind it. The clocks of equipment run ahead, so a
report may have been received as long before its time as its time is still believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from radius.accounting import Report, read_report
from radius.records import RecordReader
from storage.journal import Block, JournalReader

_ROUNDED_SECONDS = 2
"""By what a report's time may differ from the record's end that it gave."""


class Journals(NamedTuple):
    """The folder of all, and how far ahead an Event-Timestamp is believed."""

    folder: Path
    max_clock_skew_seconds: int


class Packet(NamedTuple):
    """A packet behind a usage record, and where it lies."""

    journal: str
    position: int
    received_at_ns: int
    report: Report
    octets: bytes


def packets_behind(
    journals: Journals,
    used: dict[str, Any],
    its_session: dict[str, Any],
    gone: list[str],
) -> list[Packet]:
    """Find the reports that a usage record is the difference of; what is not there is
    added to ``gone``. Raises JournalError when a journal cannot be read."""
    folder, skew = journals
    since_ns = (used["started_at"] - skew - _ROUNDED_SECONDS) * 1_000_000_000
    found: list[Packet] = []
    oldest: list[int] = []
    cut = False
    for path in sorted(folder.glob("radius*/")) if folder.is_dir() else ():
        reader = JournalReader(path)
        try:
            kept_from = reader.oldest()
            if kept_from is not None:
                oldest.append(kept_from)
                cut = cut or not reader.is_whole()
            needle = its_session["acct_session_id"].encode()
            for block in reader.received_since(since_ns, needle):
                found += _behind(block, path.name, used, its_session, skew)
        finally:
            reader.close()
    if not oldest:
        gone.append("no packets: the journals are empty")
    elif cut and min(oldest) > since_ns:
        gone.append("packets: some may be gone, the journals do not go back that far")
    elif not found:
        gone.append("packets: none is in the journals that are kept")
    return found


def _behind(
    block: Block,
    journal: str,
    used: dict[str, Any],
    its_session: dict[str, Any],
    max_clock_skew_seconds: int,
) -> Iterator[Packet]:
    records = RecordReader().read(block.octets)
    for position, (origin, packet) in enumerate(records, start=block.first):
        report = read_report(
            packet,
            nas=origin.nas,
            received_at=block.received_at_ns // 1_000_000_000,
            max_clock_skew_seconds=max_clock_skew_seconds,
        )
        if (
            isinstance(report, Report)
            and report.nas == its_session["nas"]
            and report.acct_session_id == its_session["acct_session_id"]
            and used["started_at"] - _ROUNDED_SECONDS <= report.event_at
            and report.event_at <= used["ended_at"] + _ROUNDED_SECONDS
        ):
            yield Packet(journal, position, block.received_at_ns, report, packet)
