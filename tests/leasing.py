"""A small allocation and a small network to lend within: the reference model's half.

Addresses are in plain sets and dicts, every question is answered by looking at all of
them. It breaks no rule by itself: it refuses, loudly, to lease where it may not.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from netaddr import IPNetwork

from config.network import Network
from ipserver.block import Block

START = 1_790_000_000


class Use(NamedTuple):
    """What addresses are doing."""

    size: int
    leased: int
    offered: int
    declined: int
    cooling: int
    free: int
    new_bindings: int
    last_end: int = 0


class Leases:
    """Leases addresses of the blocks it is told of, at the time it is told."""

    def __init__(self) -> None:
        self.now = START
        self.blocks: dict[int, tuple[Block, str, str, int]] = {}
        self.leases: dict[int, tuple[str, int, int]] = {}
        """By address: its pool, when it ends, the generation of its block."""

    def open_block(self, block: Block, pool: str, lease_seconds_max: int) -> None:
        """The pool may bind here."""
        self._told(block, pool, "open", lease_seconds_max)

    def hold_block(self, block: Block) -> None:
        """Renewals only."""
        self._told(block, block.holder, "hold", self._longest(block))

    def drain_block(self, block: Block) -> None:
        """No renewals."""
        self._told(block, block.holder, "drain", self._longest(block))

    def close_block(self, block: Block) -> None:
        """Nothing: and nothing may be alive here."""
        assert not self.live(block.first, block.last), f"{block} is closed in use"
        self.blocks.pop(block.first, None)

    def _longest(self, block: Block) -> int:
        return self.blocks[block.first][3] if block.first in self.blocks else 0

    def _told(self, block: Block, pool: str, condition: str, longest: int) -> None:
        for address in self.live(block.first, block.last):
            assert self.leases[address][0] == pool, f"{block} has another's lease"
        self.blocks[block.first] = (block, pool, condition, longest)

    def live(self, first: int, last: int) -> list[int]:
        """The addresses with a lease that has not ended."""
        return [a for a, l in self.leases.items() if first <= a <= last]

    def pass_to(self, now: int) -> None:
        """Let time pass; leases that end are gone."""
        self.now = now
        self.leases = {a: l for a, l in self.leases.items() if l[1] > now}

    def bind(self, pool: str, seconds: int) -> int | None:
        """Lease the first free address of a pool; None when it has none."""
        for block, holder, condition, longest in list(self.blocks.values()):
            if holder != pool or condition != "open":
                continue
            for address in range(block.first, block.last + 1):
                if address not in self.leases:
                    end = self.now + min(seconds, longest or seconds)
                    if block.not_after:
                        end = min(end, block.not_after)
                    if end > self.now:
                        self.leases[address] = (pool, end, block.generation)
                        return address
        return None

    def renew(self, address: int, seconds: int) -> None:
        """Extend a lease as far as its block allows."""
        pool, end, generation = self.leases[address]
        for block, _, condition, longest in self.blocks.values():
            if block.first <= address <= block.last and condition in ("open", "hold"):
                asked = self.now + min(seconds, longest or seconds)
                if block.not_after:
                    asked = min(asked, block.not_after)
                self.leases[address] = (pool, max(end, asked), generation)

    def release(self, address: int) -> None:
        """End a lease."""
        del self.leases[address]

    def block_usage(self, block: Block) -> Use:
        """Count a block."""
        live = len(self.live(block.first, block.last))
        ends = [self.leases[a][1] for a in self.live(block.first, block.last)]
        return Use(
            block.size, live, 0, 0, 0, block.size - live, 0, max(ends, default=0)
        )

    def pool_usage(self, pool: str) -> Use:
        """Count a pool: what it leases, and what is free where it may bind."""
        size = leased = free = 0
        for block, holder, condition, _ in self.blocks.values():
            if holder == pool:
                live = len(self.live(block.first, block.last))
                leased += live
                size += block.size if condition == "open" else live
                free += block.size - live if condition == "open" else 0
        return Use(size, leased, 0, 0, 0, free, 0)


def network(**changes: object) -> Network:
    """Two ISPs with a pool of 64 addresses each, a reserve of 64, blocks of 16."""
    rows: dict[str, object] = {
        "area": [{"name": "harbour"}],
        "isp": [{"name": "aurora"}, {"name": "borealis"}],
        "pool": [
            pool("a", "aurora", "10.0.0.0/26", guaranteed=32, burst=96),
            pool("b", "borealis", "10.0.1.0/26", guaranteed=32, burst=96, lending=32),
        ],
        "reserve": [{"name": "r", "prefixes": ["10.0.2.0/26"]}],
        "over_allocation": [{"block_prefix_length": 28}],
    }
    return msgspec.convert(rows | changes, Network)


def pool(name: str, isp: str, prefix: str, **values: object) -> dict[str, object]:
    """One pool's row."""
    assert IPNetwork(prefix).size >= 16
    return {
        "name": name,
        "area": "harbour",
        "isp": isp,
        "prefixes": [prefix],
        **values,
    }
