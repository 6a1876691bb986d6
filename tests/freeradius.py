"""A real FreeRADIUS for tests: an ISP's own server, in a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest
from free_ports import free_port

_PROGRAM = Path("/usr/sbin/freeradius")
_USER = "freerad"
HOME_SECRET = "the secret of an isp's home server"


def needs_freeradius() -> None:
    """Skip where it is not installed; where everything should be, fail."""
    if _PROGRAM.exists() and os.geteuid() == 0:
        return
    reason = "FreeRADIUS is not installed, or this is not root (Debian: freeradius)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


class HomeServer:
    """Knows every user by the password ``home word``; keeps accounting in a file."""

    def __init__(self, folder: Path) -> None:
        needs_freeradius()
        self.folder = folder / "freeradius"
        self.folder.mkdir()
        for parent in self.folder.parents:
            if "pytest" in str(parent):  # FreeRADIUS gives its rights up
                parent.chmod(0o755)
        self.authentication_port, self.accounting_port = free_port(), free_port()
        (self.folder / "radiusd.conf").write_text(self._configuration())
        (self.folder / "dictionary").write_text("")
        for path in (self.folder, *self.folder.iterdir()):
            shutil.chown(path, _USER, _USER)
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def __enter__(self) -> Self:
        """The server itself: it runs."""
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it serves."""
        log_path = self.folder / "log"
        log_path.write_text("")
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [_PROGRAM, "-d", self.folder, "-f", "-l", "stdout"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while "Ready to process requests" not in (text := log_path.read_text()):
            ended = self._process.poll() is not None
            assert not ended, text[-3000:]
            assert time.monotonic() < deadline, text[-3000:]
            try:
                self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue

    def stop(self) -> None:
        """End it, by its process."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None

    def accounting(self) -> str:
        """Give what it has recorded."""
        files = (self.folder / "acct").rglob("detail*")
        return "".join(path.read_text() for path in files)

    def _configuration(self) -> str:
        return f"""
name = home
libdir = /usr/lib/freeradius
run_dir = {self.folder}
logdir = {self.folder}
max_requests = 4096
cleanup_delay = 5
max_request_time = 30
hostname_lookups = no
proxy_requests = no
log {{
    destination = stdout
}}
security {{
    user = {_USER}
    group = {_USER}
    max_attributes = 200
    status_server = yes
}}
thread pool {{
    start_servers = 2
    max_servers = 4
    min_spare_servers = 1
    max_spare_servers = 2
    max_requests_per_server = 0
}}
client loopback {{
    ipaddr = 127.0.0.1
    secret = "{HOME_SECRET}"
    require_message_authenticator = yes
}}
modules {{
    pap {{ }}
    chap {{ }}
    mschap {{ }}
    detail {{
        filename = {self.folder}/acct/detail
        permissions = 0600
    }}
}}
server home {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {self.authentication_port}
    }}
    listen {{
        type = acct
        ipaddr = 127.0.0.1
        port = {self.accounting_port}
    }}
    authorize {{
        update control {{
            Cleartext-Password := "home word"
        }}
        update reply {{
            Framed-IP-Address := 192.0.2.77
            Class := 0x69737000
            Reply-Message := "from home"
            Tunnel-Password:1 := "tunnel word"
        }}
        chap
        mschap
        pap
    }}
    authenticate {{
        Auth-Type PAP {{
            pap
        }}
        Auth-Type CHAP {{
            chap
        }}
        Auth-Type MS-CHAP {{
            mschap
        }}
    }}
    accounting {{
        detail
    }}
}}
"""
