"""What proves that a service works: a packet, and not that a command was sent.

A session of one of the service's users counts when accounting told of it after the
service was written, and a lease of its line when it was given after that; and either
only with an address of the ISP's pools in the area, where those are known: a lease of
the walled garden proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from netaddr import IPAddress, IPNetwork

from config.offers import Service
from config.values import prefix_of
from provisioning.inventory import Inventory


class Sign(NamedTuple):
    """One session or lease that may be the service's.

    ``address`` is None where it shows none; ``seen_at`` when it was last told of, in
    epoch seconds.
    """

    address: str | None
    seen_at: int


def is_walled(inventory: Inventory, area: str, signs: Iterable[Sign]) -> bool:
    """Tell whether any sign has an address of an area's walled garden."""
    gardens = _gardens(inventory, area)
    addresses = [IPAddress(sign.address) for sign in signs if sign.address is not None]
    return any(address in prefix for address in addresses for prefix in gardens)


def _gardens(inventory: Inventory, area: str) -> list[IPNetwork]:
    return [
        prefix_of(prefix)
        for pool in inventory.pool.values()
        if pool.walled_garden and pool.area == area
        for prefix in pool.prefixes
    ]


def proves(
    service: Service, inventory: Inventory, signs: Iterable[Sign], since: int
) -> bool:
    """Tell whether any sign is of this service at work since then."""
    line = inventory.line.get(service.line)
    area = line.area if line else ""
    pools = [
        prefix_of(prefix)
        for pool in inventory.pool.values()
        if pool.isp == service.isp and pool.area == area and not pool.walled_garden
        for prefix in pool.prefixes
    ]
    gardens = _gardens(inventory, area)
    for sign in signs:
        if sign.seen_at < since:
            continue
        if sign.address is None:
            return True
        address = IPAddress(sign.address)
        own = any(address in prefix for prefix in pools)
        walled = any(address in prefix for prefix in gardens)
        # An address that is in no pool of ours is one that the ISP gave itself.
        if own or not (walled or pools):
            return True
    return False
