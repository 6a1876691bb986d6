"""The journals' reports by ISP: each block is read and taken apart once for all ISPs.

The copiers of ISPs walk the same journals, most of them close behind each other. A
block that one of them had read is kept, with nothing but the reports of the ISPs that
want copies, so that the others only look it up. One that is far behind reads for
itself, and whoever comes with it has the use of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from daemon import clock
from radius.accounting_copy import isp_of_report
from radius.records import RecordReader
from storage.journal import JournalReader

_RECORDS = 2000
"""Records read, or given, at a time."""
_KEPT_RECORDS = 20_000
_LOOK_SECONDS = 0.5
"""For how long the ends of the journals are taken to be where they were."""


class Report(NamedTuple):
    """A packet of a journal: its position, and when its block came (ns since 1970)."""

    position: int
    received_at_ns: int
    packet: bytes


class Whose(NamedTuple):
    """What tells whose a report is, and which ISPs want theirs."""

    isp_of_service: Mapping[str, str]
    isp_of_realm: Mapping[str, str]
    wanted: frozenset[str]


class SortedBlock(NamedTuple):
    """A block taken apart: its first position, the one behind it, and its reports."""

    first: int
    behind: int
    reports: Mapping[str, list[Report]]


class JournaledReports:
    """Reads the journals in ``folder`` for all copiers of a process."""

    def __init__(self, folder: Path, class_key: bytes) -> None:
        self._folder = folder
        self._class_key = class_key
        self._readers: dict[str, JournalReader] = {}
        self._ends: dict[str, int] = {}
        self._looked_at = 0.0
        self._records = RecordReader()
        self._kept: dict[tuple[str, int], SortedBlock] = {}
        self._kept_records = 0
        self._whose = Whose({}, {}, frozenset())
        # A cancelled copier leaves its thread behind, so that one's end is not enough.
        self._lock = Lock()

    def know(self, whose: Whose) -> None:
        """Take the network; what was sorted by another one is forgotten."""
        with self._lock:
            if whose != self._whose:
                self._whose = whose
                self._kept.clear()
                self._kept_records = 0

    async def ends(self) -> Mapping[str, int]:
        """Give the position behind the last record, by journal."""
        now = clock.monotonic()
        if not self._ends or now >= self._looked_at + _LOOK_SECONDS:
            self._looked_at = now
            await asyncio.to_thread(self._look)
        return self._ends

    def _look(self) -> None:
        with self._lock:
            if self._folder.is_dir():
                for path in sorted(self._folder.iterdir()):
                    if path.is_dir() and path.name not in self._readers:
                        self._readers[path.name] = JournalReader(path)
            for journal, reader in self._readers.items():
                known = self._ends.get(journal, 1)
                self._ends[journal] = known + reader.backlog(known).records

    async def read(self, journal: str, position: int) -> list[SortedBlock]:
        """Give the blocks from ``position`` on, some at a time."""
        return self._known(journal, position) or await asyncio.to_thread(
            self._read, journal, position
        )

    def _known(self, journal: str, position: int) -> list[SortedBlock]:
        found: list[SortedBlock] = []
        at = position
        while at < position + _RECORDS and (block := self._kept.get((journal, at))):
            found.append(block)
            at = block.behind
        return found

    def _read(self, journal: str, position: int) -> list[SortedBlock]:
        with self._lock:
            # Another copier may have read it while this one waited.
            if known := self._known(journal, position):
                return known
            found = []
            for block in self._readers[journal].read(position, _RECORDS):
                reports: dict[str, list[Report]] = {}
                records = self._records.read(block.octets)
                for at, (_, packet) in enumerate(records, start=block.first):
                    isp = self._isp_of(packet)
                    if isp is not None and isp in self._whose.wanted:
                        report = Report(at, block.received_at_ns, packet)
                        reports.setdefault(isp, []).append(report)
                behind = block.first + block.records
                found.append(SortedBlock(block.first, behind, reports))
                self._keep(journal, found[-1])
            return found

    def _isp_of(self, packet: bytes) -> str | None:
        return isp_of_report(
            packet,
            class_key=self._class_key,
            isp_of_service=self._whose.isp_of_service,
            isp_of_realm=self._whose.isp_of_realm,
        )

    def _keep(self, journal: str, block: SortedBlock) -> None:
        old = self._kept.pop((journal, block.first), None)
        self._kept_records -= old.behind - old.first if old else 0
        self._kept[journal, block.first] = block
        self._kept_records += block.behind - block.first
        while self._kept_records > _KEPT_RECORDS and len(self._kept) > 1:
            oldest = self._kept.pop(next(iter(self._kept)))
            self._kept_records -= oldest.behind - oldest.first

    def close(self) -> None:
        """Close the journals."""
        with self._lock:
            for reader in self._readers.values():
                reader.close()
