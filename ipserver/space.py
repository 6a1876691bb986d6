"""The allocation as the over-allocation sees it: what it may be told, and asked.

It leases what it was told to, and forgets it at a restart: the blocks' states are told
again. Each block is in one of four conditions, by its state.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

from ipserver.address_space import BlockUsage, PoolUsage
from ipserver.block import Block, BlockState

Condition = Literal["open", "hold", "drain", "close"]

_S = BlockState

CONDITIONS: Final[dict[BlockState, Condition]] = {
    _S.FREE: "open",
    _S.PENDING_ACTIVE: "close",
    _S.ACTIVE: "open",
    _S.RETURN_REQUESTED: "open",
    _S.RECALLED: "open",
    _S.TERM_ENDING: "open",
    _S.ATTRITION: "hold",
    _S.DRAINING: "drain",
    _S.FORCED: "drain",
    _S.DRAINED: "close",
    _S.QUARANTINE: "close",
    _S.RENEWED: "open",
    _S.CONVERTED: "open",
    _S.REACTIVATED: "open",
}
"""What the holder may do in a block: bind, only renew, only run out, nothing."""


class Space(Protocol):
    """What is asked of the allocation. All of it may be said twice."""

    def open_block(self, block: Block, pool: str, lease_seconds_max: int) -> None:
        """Let a pool bind in a block, for so long at most; 0 for as long as usual."""
        ...

    def hold_block(self, block: Block, lease_seconds_max: int) -> None:
        """Bind nothing new in a block; its holder's clients go on renewing."""
        ...

    def drain_block(self, block: Block) -> None:
        """Let no lease of its holder in a block be extended."""
        ...

    def close_block(self, block: Block) -> None:
        """Lease nothing in a block."""
        ...

    def hand_over(self, block: Block) -> None:
        """Put a block, with what is in it, into its holder's hands, wherever a network
        that changed has put it."""
        ...

    def block_usage(self, block: Block) -> BlockUsage:
        """Say what the addresses of a block are doing."""
        ...

    def block_live(self, block: Block) -> int:
        """Count what is leased, on offer or declined in a block, at once."""
        ...

    def pool_usage(self, pool: str) -> PoolUsage:
        """Say what the addresses of a pool are doing; those in which it may
        not bind are counted too, until they are closed.
        """
        ...


class Effect(NamedTuple):
    """One thing to tell the allocation, once its record is durable."""

    condition: Condition
    block: Block
    lease_seconds: int

    def tell(self, space: Space) -> None:
        """Tell it."""
        block = self.block
        if self.condition == "open":
            space.open_block(block, block.holder, self.lease_seconds)
        elif self.condition == "hold":
            space.hold_block(block, self.lease_seconds)
        elif self.condition == "drain":
            space.drain_block(block)
        else:
            space.close_block(block)
