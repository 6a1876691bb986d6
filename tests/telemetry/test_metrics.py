"""The table of metrics, its page, and metrics across processes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from telemetry import metrics, multiprocess

ROOT = Path(__file__).resolve().parents[2]

CHILD = """
import sys; from pathlib import Path
from telemetry import multiprocess
multiprocess.attach(Path(sys.argv[1]), sys.argv[2])
from telemetry import metrics
metrics.RADIUS_DUPLICATES.inc(int(sys.argv[3]))
metrics.JOURNAL_LAG_RECORDS.labels(sys.argv[2]).set(7)
"""

RENDER = """
import sys
from telemetry import multiprocess
sys.stdout.buffer.write(multiprocess.render())
"""


def count(directory: Path, identity: str, number: int) -> None:
    """Count in a process of its own, as a role does."""
    subprocess.run(
        [sys.executable, "-c", CHILD, str(directory), identity, str(number)],
        cwd=ROOT,
        check=True,
    )


def rendered(directory: Path) -> str:
    """Render as the control role does, in a process of its own."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            RENDER,
        ],
        cwd=ROOT,
        env={**os.environ, multiprocess.DIRECTORY_VARIABLE: str(directory)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_page_of_the_metrics_is_current() -> None:
    """docs/metrics.md is what the table says; python -m telemetry.metrics makes it."""
    page = (ROOT / "docs" / "metrics.md").read_text()

    assert metrics.documentation() == page


def test_names_and_labels_follow_the_rules() -> None:
    """fairlane_ names in base units, counters end in _total, nobody's name a label."""
    assert len(metrics.TABLE) == len({row.name for row in metrics.TABLE})
    for row in metrics.TABLE:
        assert re.fullmatch(r"fairlane_[a-z_]+", row.name)
        assert (row.type == "counter") == row.name.endswith("_total")
        assert not row.name.endswith(("_ms", "_milliseconds", "_kb"))
        assert not {"user", "session", "calling_station_id"} & set(row.labels)


def test_restarted_role_goes_on_counting_and_leaves_no_files(tmp_path: Path) -> None:
    """Three lives of one role are one set of files and one sum."""
    count(tmp_path, "radius-0.1", 2)
    files = len(list(tmp_path.iterdir()))
    for _ in range(2):
        count(tmp_path, "radius-0.1", 2)

    assert files == len(list(tmp_path.iterdir()))
    assert "fairlane_radius_duplicates_total 6.0" in rendered(tmp_path)


def test_dead_process_leaves_its_counters_and_takes_its_gauges(tmp_path: Path) -> None:
    """A lag that nobody measures any more is not shown."""
    count(tmp_path, "radius-0.1", 2)
    count(tmp_path, "radius-0.2", 3)
    multiprocess.mark_dead(tmp_path, "radius-0.1")
    text = rendered(tmp_path)

    assert "fairlane_radius_duplicates_total 5.0" in text
    assert 'journal="radius-0.1"' not in text
    assert 'fairlane_journal_lag_records{journal="radius-0.2"} 7.0' in text


def test_new_daemon_starts_at_zero(tmp_path: Path) -> None:
    """The directory is wiped at the start."""
    count(tmp_path, "radius-0.1", 2)
    multiprocess.wipe(tmp_path)

    assert [] == list(tmp_path.iterdir())
