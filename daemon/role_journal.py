"""The journal of a role that answers packets, opened on a disk that may refuse."""

from __future__ import annotations

from pathlib import Path

import structlog

from daemon import clock
from daemon.role import RoleContext
from storage.journal import JournalError, JournalWriter
from telemetry import logs

DRAIN_READS = 64
"""Reads a socket at the end: what the kernel already holds for a role that stops."""


def journal_folder(role: RoleContext) -> Path:
    """Name the folder of the role's journal."""
    return Path(role.settings.data_dir) / "journal" / role.label


async def open_journal(
    role: RoleContext, log: structlog.stdlib.BoundLogger
) -> JournalWriter:
    """Open the journal; while the disk refuses, say so and try again."""
    folder = journal_folder(role)
    limiter = logs.RateLimiter(10)
    while True:
        try:
            return JournalWriter(folder, file_bytes=role.settings.journal.file_bytes)
        except (JournalError, OSError) as error:
            role.beat_status.update(healthy=False, detail={"journal": str(error)})
            if limiter.allow("journal", clock.monotonic()) is not None:
                log.error("the journal cannot be opened", error=str(error))
            await role.stopped_within(0.5)
            if role.stopping.is_set():
                raise
