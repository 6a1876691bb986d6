"""The demo's MQTT broker: mosquitto, where it is installed, on a free loopback port.

Without it the demo goes on, and says that it leaves MQTT out.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon import clock

_START_SECONDS = 10.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.05
_PLACES = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Run a broker with its files in ``folder``; give its URL, or "" without one."""
    program = shutil.which("mosquitto", path=_PLACES)
    if program is None:
        yield ""
        return
    port = _free_port()
    file = folder / "mosquitto.conf"
    user = "user root\n" if os.geteuid() == 0 else ""
    file.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n{user}")
    command = [program, "-c", str(file)]
    if setpriv := shutil.which("setpriv"):
        command = [setpriv, "--pdeathsig", "TERM", *command]
    with (folder / "mosquitto.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield f"mqtt://127.0.0.1:{port}" if _listens(process, port) else ""
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    deadline = clock.monotonic() + _START_SECONDS
    pause = threading.Event()
    while clock.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            pause.wait(_POLL_SECONDS)
        else:
            return True
    return False
