"""The packets of the journals that a usage record is the difference of.

A session's reports are looked for by its Acct-Session-Id, from shortly before the
record began; those whose time lies at the record's ends or between them are behind it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from radius.accounting import Report, read_report
from radius.records import RecordReader
from storage.journal import Block, JournalReader

_EARLIER_SECONDS = 60
"""A report may be received before its time: the clocks of equipment run ahead."""


class Packet(NamedTuple):
    """A packet behind a usage record, and where it lies."""

    journal: str
    position: int
    received_at_ns: int
    report: Report
    octets: bytes


def packets_behind(
    journals: Path, used: dict[str, Any], its_session: dict[str, Any], gone: list[str]
) -> list[Packet]:
    """Find the reports that a usage record is the difference of; what is not there is
    added to ``gone``. Raises JournalError when a journal cannot be read."""
    since_ns = (used["started_at"] - _EARLIER_SECONDS) * 1_000_000_000
    found: list[Packet] = []
    oldest: list[int] = []
    cut = False
    for folder in sorted(journals.glob("radius*/")) if journals.is_dir() else ():
        reader = JournalReader(folder)
        try:
            kept_from = reader.oldest()
            if kept_from is not None:
                oldest.append(kept_from)
                cut = cut or not reader.is_whole()
            needle = its_session["acct_session_id"].encode()
            for block in reader.received_since(since_ns, needle):
                found += _behind(block, folder.name, used, its_session)
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
) -> Iterator[Packet]:
    records = RecordReader().read(block.octets)
    for position, (origin, packet) in enumerate(records, start=block.first):
        report = read_report(
            packet,
            nas=origin.nas,
            received_at=block.received_at_ns // 1_000_000_000,
            max_clock_skew_seconds=300,
        )
        if (
            isinstance(report, Report)
            and report.nas == its_session["nas"]
            and report.acct_session_id == its_session["acct_session_id"]
            and used["started_at"] - 2 <= report.event_at <= used["ended_at"] + 2
        ):
            yield Packet(journal, position, block.received_at_ns, report, packet)
