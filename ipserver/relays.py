"""Which relays are trusted to say where a client is, and the areas they serve.

A request counts as a relay's only when its giaddr is in the network file and it comes
from that relay's own address: option 82 is as good as who may write it (RFC 3046
section 5).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from msgspec import Struct
from netaddr import IPAddress

from config.network import Network
from config.plant import Area
from ipserver.dhcp import SERVER_PORT

AF_INET: Final = (2).to_bytes(2, sys.byteorder)
_VPN_NVT_ASCII, _VPN_DEFAULT = 0, 255


def sockaddr(address: bytes, port: int) -> bytes:
    """Give the kernel's sockaddr of an IPv4 address, as sockets here take it."""
    return AF_INET + port.to_bytes(2) + address + bytes(8)


class Relay(Struct, frozen=True, gc=False):
    """A trusted relay. ``sources`` are addresses of 4 octets; ``target`` is the
    sockaddr that replies go to.
    """

    name: str
    area: str
    giaddr: int
    sources: frozenset[bytes]
    target: bytes


class RelayTable:
    """The relays of a network by giaddr, and its areas by VPN."""

    def __init__(self, network: Network) -> None:
        self.by_giaddr: dict[bytes, Relay] = {}
        for row in network.relay:
            giaddr = IPAddress(row.giaddr)
            if giaddr.version != 4:
                continue
            own = int(giaddr).to_bytes(4)
            others = (int(IPAddress(source)).to_bytes(4) for source in row.sources)
            self.by_giaddr[own] = Relay(
                row.name or row.giaddr,
                row.area,
                int(giaddr),
                frozenset((own, *others)),
                sockaddr(own, SERVER_PORT),
            )
        self.sources = frozenset(
            source for relay in self.by_giaddr.values() for source in relay.sources
        )
        self._vpns = dict(_vpns(network.area))

    def area_of(self, relay: Relay, vpn: bytes | None) -> str | None:
        """Give the area of a client behind ``relay``; None for a VPN nobody knows.

        ``vpn`` is sub-option 151's content: without it, and with type 255, the relay's
        own area is meant (RFC 6607 section 3.5).
        """
        if vpn is None or (len(vpn) == 1 and vpn[0] == _VPN_DEFAULT):
            return relay.area
        return self._vpns.get(vpn)


def _vpns(areas: Iterable[Area]) -> Iterable[tuple[bytes, str]]:
    for area in areas:
        if area.vpn is not None:
            yield bytes((_VPN_NVT_ASCII,)) + area.vpn.encode(), area.name
