"""The control plane in a process of its own, to be killed while it works.

python -m control_plane_process DATA_DIR BROKER_URL
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from config.schema import MqttSettings, Settings
from daemon.control_plane import ControlPlane
from daemon.dependents import ending_with_parent
from storage.database import open_database

_FOLDER = Path(__file__).parent


class ControlPlaneProcess:
    """One process; ``kill`` ends it with SIGKILL."""

    def __init__(self, data_dir: Path, url: str) -> None:
        command = [sys.executable, "-m", "control_plane_process", str(data_dir), url]
        self._process = subprocess.Popen(
            ending_with_parent(command),
            env={**os.environ, "PYTHONPATH": f"{_FOLDER.parent}:{_FOLDER}"},
            stdout=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """End it with SIGKILL, wherever it is."""
        assert self._process.poll() is None, "it ended by itself"
        self._process.kill()
        self._process.wait()


def main() -> None:
    """Run until killed."""
    settings = Settings(data_dir=sys.argv[1], mqtt=MqttSettings(url=sys.argv[2]))
    database = open_database(settings.database, settings.data_dir)
    asyncio.run(ControlPlane.of(settings, database).run())


if __name__ == "__main__":
    main()
