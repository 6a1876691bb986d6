"""Ports that nobody has, for the servers that tests start.

They lie below the range that the kernel hands out by itself, so that no client's socket
takes one between its choice and its use, and each worker of a run has its own part.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import socket
from pathlib import Path

_WORKERS, _EACH = 8, 1500
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

_kernel_first = int(_RANGE.read_text().split()[0])
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_first = _kernel_first - _EACH * (1 + _worker % _WORKERS)
# Another run on this machine begins elsewhere.
_ports = itertools.count(random.SystemRandom().randrange(_EACH))


def free_port() -> int:
    """Give a port that is free for UDP and TCP on every address."""
    for offset in itertools.islice(_ports, _EACH):
        port = _first + offset % _EACH
        with contextlib.suppress(OSError), contextlib.ExitStack() as sockets:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                probe = sockets.enter_context(socket.socket(socket.AF_INET6, kind))
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                probe.bind(("::", port))
            return port
    raise RuntimeError("every port of this worker is taken")
