"""MQTT brokers of our own for the tests: mosquitto (MQTT 5) and NATS (3.1.1 only).

Both keep what they have acknowledged when they are killed: mosquitto writes its state
after every change, NATS syncs always. They run from temporary folders on free loopback
ports.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from free_ports import free_port

_START_SECONDS = 20


class Broker:
    """One broker; ``kill`` and ``start`` restart it on the same port and state."""

    def __init__(self, kind: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"fairlane-{kind}-"))
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        if kind == "mosquitto":
            self._command = self._mosquitto()
        else:
            self._command = self._nats()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def _mosquitto(self) -> list[str]:
        file = self.folder / "mosquitto.conf"
        file.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser root\n"
            f"persistence true\npersistence_location {self.folder}/\n"
            "autosave_on_changes true\nautosave_interval 1\nset_tcp_nodelay true\n"
            "max_queued_messages 0\n"
        )
        return [
            shutil.which("mosquitto", path="/usr/sbin:/usr/bin") or "",
            "-c",
            str(file),
        ]

    def _nats(self) -> list[str]:
        file = self.folder / "nats.conf"
        file.write_text(
            f"listen: 127.0.0.1:{free_port()}\nserver_name: tests\n"
            f'jetstream {{ store_dir: "{self.folder}/js", sync_interval: always }}\n'
            f'mqtt {{ listen: 127.0.0.1:{self.port}, ack_wait: "1s" }}\n'
        )
        program = Path(sys.executable).parent / "nats-server"
        return [str(program), "-c", str(file)]

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "log").read_text()) from None
                time.sleep(0.05)
            else:
                return

    def save(self) -> None:
        """Have everything on disk: mosquitto acknowledges before it saves."""
        state = self.folder / "mosquitto.db"
        if not (self.folder / "mosquitto.conf").exists():
            return
        before = state.stat().st_mtime_ns if state.exists() else 0
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)
        while not state.exists() or state.stat().st_mtime_ns == before:
            time.sleep(0.02)

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def close(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
