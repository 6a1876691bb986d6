"""What an operator is told of the process that mediates accounting for the ledger.

It has no metrics and no beat of its own: a ledger that waits for it looks idle. So the
ledger shows the process as the kernel sees it, and how much was asked of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from telemetry import metrics

NOT_STARTED: Final = "not started"
"""There is none before the first record comes, and a new one when that is needed."""

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_STATES: Final = {
    "R": "running",
    "S": "waiting",
    "D": "waiting for a disk",
    "T": "stopped",
    "t": "stopped",
    "Z": "ended",
    "X": "ended",
}
# Behind the name in /proc/PID/stat, which may have anything in it but ends with ")".
_STATE, _USER_TICKS, _SYSTEM_TICKS, _RESIDENT_PAGES = 0, 11, 12, 21


class MediationWatch:
    """Looks at the process, publishes what it sees, and gives it for the status."""

    def __init__(self) -> None:
        self._pid = 0
        self._cpu_seconds = 0.0

    def look(self, pid: int, batches_ahead: int) -> dict[str, Any]:
        """Look at a process, 0 for none, that so many batches were asked of and not
        booked yet."""
        state, cpu_seconds, resident_bytes = _seen(pid)
        if pid != self._pid:
            self._pid, self._cpu_seconds = pid, 0.0
        metrics.MEDIATION_RUNNING.set(int(state in ("running", "waiting")))
        metrics.MEDIATION_BATCHES_AHEAD.set(batches_ahead)
        metrics.MEDIATION_RESIDENT_BYTES.set(resident_bytes)
        metrics.MEDIATION_CPU_SECONDS.inc(max(0.0, cpu_seconds - self._cpu_seconds))
        self._cpu_seconds = max(self._cpu_seconds, cpu_seconds)
        return {
            "pid": pid,
            "state": state,
            "batches_ahead": batches_ahead,
            "resident_bytes": resident_bytes,
            "cpu_seconds": cpu_seconds,
        }


def _seen(pid: int) -> tuple[str, float, int]:
    """Give a process's state, CPU time and memory."""
    if not pid:
        return NOT_STARTED, 0.0, 0
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "ended", 0.0, 0
    words = text.rpartition(")")[2].split()
    ticks = int(words[_USER_TICKS]) + int(words[_SYSTEM_TICKS])
    letter = words[_STATE]
    resident = int(words[_RESIDENT_PAGES]) * _PAGE_BYTES
    return _STATES.get(letter, letter), ticks / _TICKS, resident
