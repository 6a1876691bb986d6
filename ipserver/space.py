"""The allocation as the over-allocation sees it: what it may be told, and asked.

It leases what it was told to, and forgets it at a restart: the blocks' states are told
again. Each block is in one of four conditions, by its state.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, Protocol

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


class PoolUse(Protocol):
    """How many addresses of a pool are in which use; they add up to ``size``."""

    @property
    def size(self) -> int: ...
    @property
    def leased(self) -> int: ...
    @property
    def offered(self) -> int: ...
    @property
    def declined(self) -> int: ...
    @property
    def cooling(self) -> int: ...
    @property
    def free(self) -> int: ...


class BlockUse(PoolUse, Protocol):
    """The same of a block; ``last_end`` is when its last lease ends, 0 for none."""

    @property
    def last_end(self) -> int: ...


class Space(Protocol):
    """What is asked of the allocation. All of it may be said twice."""

    def open_block(self, block: Block, pool: str, lease_seconds_max: int) -> None:
        """Let a pool bind in a block, for so long at most; 0 for as long as usual."""
        ...

    def hold_block(self, block: Block) -> None:
        """Bind nothing new in a block; renewals go on."""
        ...

    def drain_block(self, block: Block) -> None:
        """Let no lease in a block be extended."""
        ...

    def close_block(self, block: Block) -> None:
        """Lease nothing in a block."""
        ...

    def block_usage(self, block: Block) -> BlockUse:
        """Say what the addresses of a block are doing."""
        ...

    def pool_usage(self, pool: str) -> PoolUse:
        """Say what the addresses of a pool are doing; its closed blocks not counted."""
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
            space.hold_block(block)
        elif self.condition == "drain":
            space.drain_block(block)
        else:
            space.close_block(block)
