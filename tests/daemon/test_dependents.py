"""Commands that end with the process that started them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys

import pytest
from e2e.daemon_process import ROOT

CHILD = "import os, threading; print(os.getpid(), flush=True); threading.Event().wait()"
PARENT = f"""
import signal, subprocess, sys
from daemon.dependents import ending_with_parent

sleeper = [sys.executable, "-c", {CHILD!r}]
subprocess.run(ending_with_parent(sleeper, signal.Signals[sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_parent_takes_what_it_started_with_it(number: signal.Signals) -> None:
    """A parent that is killed can clean nothing up; its child ends all the same."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, number.name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        # It speaks for itself, so that the kernel knows by then what it is to do.
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
    try:
        # A descriptor of a process is readable when the process has ended.
        ended, _, _ = select.select([child], [], [], 20)
        assert [child] == ended
    finally:
        os.close(child)
