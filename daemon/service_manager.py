"""Tells the service manager how we are, in the datagrams of sd_notify(3).

Only the supervisor speaks, so that ``NotifyAccess=main`` is enough.  Without
``NOTIFY_SOCKET`` every call does nothing: no caller asks whether systemd is there.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from dataclasses import dataclass

from daemon import clock


@dataclass(slots=True)
class ServiceManager:
    """The way to the service manager.

    ``address`` is the value of NOTIFY_SOCKET ("" when nobody listens; a leading "@"
    is an abstract name); ``watchdog_seconds`` is how often it wants to hear from us,
    0 when it does not watch.
    """

    address: str = ""
    watchdog_seconds: float = 0.0
    refused: int = 0

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> ServiceManager:
        """Take NOTIFY_SOCKET and WATCHDOG_USEC out of ``environ``.

        They are removed so that roles do not speak for the service.  WATCHDOG_PID of
        another process means that the watchdog is not ours.
        """
        address = environ.pop("NOTIFY_SOCKET", "")
        usec = environ.pop("WATCHDOG_USEC", "")
        pid = environ.pop("WATCHDOG_PID", "")
        ours = pid in ("", str(os.getpid()))
        seconds = int(usec) / 1e6 if ours and usec.isdecimal() else 0.0
        return cls(address=address, watchdog_seconds=seconds)

    def ready(self, status: str = "") -> None:
        """READY=1: sockets bound, stores writable, all roles serve."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """RELOADING=1 with the time it began; ``ready`` ends it."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={clock.monotonic_usec()}")

    def stopping(self) -> None:
        """STOPPING=1: we drain."""
        self._send("STOPPING=1", "STATUS=draining")

    def watchdog(self) -> None:
        """WATCHDOG=1: the caller's loop turns and what it watches is alive."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """STATUS=: one line for ``systemctl status``."""
        self._send(f"STATUS={text}")

    def _send(self, *lines: str) -> None:
        if not self.address:
            return
        address = self.address
        if address.startswith("@"):
            address = "\0" + address[1:]
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                # A manager that does not read must not stop us.
                sock.setblocking(False)
                sock.sendto(text.encode(), address)
        except OSError:
            self.refused += 1
