"""Where one call may hand the kernel many datagrams of one size to one place.

With ``UDP_SEGMENT`` (Linux 4.18, udp(7)) the kernel goes its way through routing and
filters once for up to 64 datagrams, and they are cut apart at the end: by the network
card, by the driver before it, or by the socket that they come to. A packet socket on
the same machine, as ISC's relay has one, would see them uncut. So this is done over
loopback, where no relay listens like that, and out of a device that is hardware, never
into a virtual cable, bridge or tunnel.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
from pathlib import Path
from typing import Final

UDP_SEGMENT: Final = 103
DATAGRAMS_MAX: Final = 64
"""The kernel's own bound (UDP_MAX_SEGMENTS)."""
OCTETS_MAX: Final = 65_000

_SIOCGIFADDR: Final = 0x8915
_REMEMBERED: Final = 4096
_NET: Final = Path("/sys/class/net")


class Segmentation:
    """Knows to which IPv4 addresses, 4 octets each, datagrams may go uncut."""

    def __init__(self, sock: socket.socket) -> None:
        self._known: dict[bytes, bool] = {}
        self.supported = sock.family == socket.AF_INET
        if self.supported:
            try:
                sock.getsockopt(socket.IPPROTO_UDP, UDP_SEGMENT)
            except OSError:  # an older kernel
                self.supported = False

    def allowed(self, address: bytes) -> bool:
        """Whether many datagrams to an address may be handed over as one."""
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            known = self._known[address] = _cut_in_time(address)
        return known

    def refuse(self, address: bytes) -> None:
        """Take that the way to an address cannot: it is too narrow for the size."""
        self._known[address] = False


def _cut_in_time(address: bytes) -> bool:
    """Look which device leads to an address; False where that cannot be told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((socket.inet_ntoa(address), 9))
        except OSError:
            return False
        own = socket.inet_aton(probe.getsockname()[0])
        if own == address or own[0] == 127:
            return True
        for _, name in socket.if_nameindex():
            request = struct.pack("16s24x", name.encode()[:15])
            with contextlib.suppress(OSError):  # it has no IPv4 address
                found = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
                if found[20:24] == own:
                    return (_NET / name / "device").exists()
    return False
