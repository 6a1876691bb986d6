"""A fresh clone sets itself up with its two commands and no other step."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

pytestmark = [
    pytest.mark.timeout(300),  # it installs everything anew
    pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed"),
    pytest.mark.skipif(
        not (REPOSITORY / ".git").exists(), reason="this is no clone to clone from"
    ),
]


def _environment() -> dict[str, str]:
    """What a user has: no virtual environment, and nothing of this test run."""
    ours = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTEST_", "COVERAGE_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    venv = str(REPOSITORY / ".venv")
    path = kept.get("PATH", os.defpath).split(os.pathsep)
    kept["PATH"] = os.pathsep.join(p for p in path if not p.startswith(venv))
    return kept


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what is committed, that has not been set up."""
    folder = tmp_path_factory.mktemp("fresh") / "fairlane"
    # A repository that belongs to another user is as good to read.
    settings = folder.with_name("gitconfig")
    settings.write_text("[safe]\n\tdirectory = *\n")
    subprocess.run(
        ["git", "clone", "-q", str(REPOSITORY), str(folder)],
        env={**os.environ, "GIT_CONFIG_GLOBAL": str(settings)},
        check=True,
    )
    return folder


@pytest.fixture(autouse=True)
def ports() -> None:
    """The demo listens on fixed ports: where they are in use this proves nothing."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8080))
        except OSError:
            pytest.skip("something listens on 127.0.0.1:8080, which the demo uses")


def test_script_server_sets_a_clone_up_and_tells_the_story(
    clone: Path, tmp_path: Path
) -> None:
    """`script/server --once` needs Python alone, works from any folder, exits 0."""
    result = subprocess.run(
        [str(clone / "script/server"), "--once"],
        cwd=tmp_path,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for words in (
        "Line harbour-301 has no service",
        "granted_reserve",
        "granted_borrowed",
        "recall  returned",
        "Access-Accept, signature good",
        "1. Start",
        "4. Interim-Update",
        "the answer is lost",
        "5. Stop",
        "  5850000000     User-Request",
        "  wrapped",
        "nothing is counted twice",
        "With this lease the order is completed",
        "nothing is authorised twice",
        "nothing is lost or made",
    ):
        assert words in result.stdout
    assert list(tmp_path.iterdir()) == []
    status = subprocess.run(
        ["git", "status", "--porcelain"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=True,
    )
    assert status.stdout == ""


@pytest.fixture
def serving(clone: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`script/server` without its story, and what it printed until it serves."""
    process = subprocess.Popen(
        [str(clone / "script/server"), "--no-story"],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    assert process.stdout is not None
    with process:
        try:
            for line in process.stdout:
                lines.append(line)
                if "what was used" in line:
                    break
            yield process, lines
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_script_server_serves_until_it_is_stopped(
    serving: tuple[subprocess.Popen[str], list[str]], number: signal.Signals
) -> None:
    """It says where health and metrics are, and ends with 0 on SIGTERM and SIGINT."""
    process, lines = serving
    printed = "".join(lines)
    assert "Serving until stopped" in printed
    places = [w for w in printed.split() if w.startswith("http://127.0.0.1:")]
    assert [p.rpartition("/")[2] for p in places] == ["readyz?verbose", "metrics"]
    for place in places:
        with urllib.request.urlopen(place, timeout=10) as answer:  # noqa: S310
            assert answer.status == 200
    process.send_signal(number)
    assert process.wait(20) == 0
