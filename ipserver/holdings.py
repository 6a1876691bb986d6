"""What each party agreed to, taken from the network: pools, reserves, and the blocks
that their prefixes are cut into.

Pools and reserves are both holders of blocks here; a reserve leases to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from config.addresses import Pool, Reserve
from config.dhcp_options import LEASE_SECONDS
from config.network import Network
from config.over_allocation import OverAllocation
from config.parties import Consent, Isp
from config.values import prefix_of
from ipserver.block import Block, cut
from ipserver.decision import NETWORK


class Holder(NamedTuple):
    """A pool or a reserve, and what its ISP agreed to."""

    name: str
    kind: Literal["pool", "reserve"]
    tenant: str
    area: str
    """"" for a reserve that serves everywhere."""
    vrf: str
    guaranteed: int = 0
    burst: int = 0
    lending: int = 0
    lend_floor: int = 0
    lend_policy: Consent = "never"
    borrow_policy: Consent = "never"
    never_lend_to: tuple[str, ...] = ()
    routable_in: tuple[str, ...] = ()
    price: str = ""
    weight: int = 1
    priority: int = 0
    lease_seconds: int = LEASE_SECONDS
    prefixes: tuple[str, ...] = ()

    def serves(self, other: Holder) -> bool:
        """Whether its addresses can be used by another pool, by route and by will."""
        if self.name == other.name or self.vrf != other.vrf:
            return False
        if self.area not in ("", other.area) and other.area not in self.routable_in:
            return False
        return other.tenant not in self.never_lend_to

    def burst_cap(self, owned: int, block: int) -> int:
        """The most that a pool may have: what it owns is always its to use, and a
        guarantee is kept in whole blocks.
        """
        whole = owned + -(-max(0, self.guaranteed - owned) // block) * block
        return max(whole, self.guaranteed + self.burst)


class Terms(NamedTuple):
    """The parties' terms at one time; ``holders`` by name."""

    holders: dict[str, Holder]
    policy: OverAllocation

    @property
    def block_size(self) -> int:
        """How many addresses change hands at once."""
        return 1 << (32 - self.policy.block_prefix_length)

    def blocks(self) -> Iterable[Block]:
        """Cut every IPv4 prefix into blocks at home, in the order of the holders."""
        for holder in self.holders.values():
            for text in holder.prefixes:
                prefix = prefix_of(text)
                if prefix.version == 4:
                    yield from cut(prefix, holder.name, self.policy.block_prefix_length)

    def pools(self) -> list[Holder]:
        """The holders that lease to clients."""
        return [h for h in self.holders.values() if h.kind == "pool"]


def terms_of(network: Network) -> Terms:
    """Read the terms from a network; walled gardens take no part."""
    policy = network.over_allocation[0] if network.over_allocation else OverAllocation()
    isps = {isp.name: isp for isp in network.isp}
    usual = {area.name: area.lease_seconds for area in network.area}
    holders = [
        *(
            _pool(pool, isps[pool.isp], usual.get(pool.area))
            for pool in network.pool
            if pool.isp is not None and not pool.walled_garden
        ),
        *(_reserve(reserve) for reserve in network.reserve),
    ]
    return Terms({holder.name: holder for holder in holders}, policy)


def _pool(pool: Pool, isp: Isp, usual: int | None) -> Holder:
    return Holder(
        name=pool.name,
        kind="pool",
        tenant=isp.name,
        area=pool.area,
        vrf=pool.vrf,
        guaranteed=pool.guaranteed,
        burst=pool.burst,
        lending=pool.lending,
        lend_floor=isp.lend_floor,
        lend_policy=isp.lend_policy,
        borrow_policy=isp.borrow_policy,
        never_lend_to=isp.never_lend_to,
        routable_in=pool.routable_in,
        price=isp.lend_price,
        weight=isp.weight,
        priority=isp.priority,
        lease_seconds=pool.lease_seconds or usual or LEASE_SECONDS,
        prefixes=pool.prefixes,
    )


def _reserve(reserve: Reserve) -> Holder:
    return Holder(
        name=reserve.name,
        kind="reserve",
        tenant=NETWORK,
        area=reserve.area or "",
        vrf=reserve.vrf,
        prefixes=reserve.prefixes,
    )
