"""Metrics of several processes, shown as one.

prometheus-client's multiprocess mode, with the role's name in the place of the pid:
the file of a role that died is continued by the next one, so counters never fall and
the number of files is bounded by roles, not by restarts.  Two generations of a role
live side by side during a reload, hence the generation in the name.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest, multiprocess, values

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
_KINDS = (
    "counter",
    "gauge_livemostrecent",
    "gauge_livesum",
    "gauge_max",
    "histogram",
)
_FILE_BYTES = 1 << 18
"""Room for some 2,000 series of one kind in one process, as 200 NAS make them."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def attach(directory: Path, identity: str) -> None:
    """Keep this process's metrics in ``directory`` under ``identity``.

    On a full disk they are kept in the process alone, and /metrics lacks them until
    it starts again. Must be called before telemetry.metrics is imported. ``identity``
    is unique among the processes that live at one time and has no underscore: the
    client parses it out of the file name.
    """
    if "_" in identity:
        raise ValueError(f"{identity!r} has an underscore")
    if not _allocate(directory, identity):
        os.environ.pop(DIRECTORY_VARIABLE, None)
        return
    os.environ[DIRECTORY_VARIABLE] = str(directory)
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        lambda: identity
    )


def _allocate(directory: Path, identity: str) -> bool:
    """Give the files their blocks before they are mapped; say whether there was room.

    The client maps sparse files: on a disk that is full, the first touch of a page
    without a block ends the process by SIGBUS.
    """
    for kind in _KINDS:
        descriptor = os.open(
            directory / f"{kind}_{identity}.db", os.O_RDWR | os.O_CREAT, 0o600
        )
        try:
            os.posix_fallocate(descriptor, 0, _FILE_BYTES)
        except OSError:
            return False
        finally:
            os.close(descriptor)
    return True


def wipe(directory: Path) -> None:
    """Make ``directory`` and empty it: counters start at zero with the daemon."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()


def mark_dead(directory: Path, identity: str) -> None:
    """Take away the gauges of a process that is gone; its counters stay."""
    multiprocess.mark_process_dead(identity, str(directory))  # type: ignore[no-untyped-call]


def render() -> bytes:
    """Return the metrics of all processes (of this one when none is attached)."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if directory and Path(directory).is_dir():
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
    from telemetry import metrics  # choosing the storage happens at import

    return generate_latest(metrics.REGISTRY)
