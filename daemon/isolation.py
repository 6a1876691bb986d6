"""Applies a batch around the records in it that cannot be applied.

A batch that fails by a bug, or that the database refuses for what is in it, is applied
again by halves, down to the single records that are to blame; those are handed to who
puts them aside. A database that is away is no record's fault, and passes through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from storage.database import is_away
from storage.journal import Block


def apply_around(
    blocks: Sequence[Block],
    apply: Callable[[Sequence[Block]], None],
    put_aside: Callable[[Block, Exception], None],
) -> None:
    """Apply blocks in order; ``put_aside`` gets each one that fails by itself."""
    try:
        apply(blocks)
    except Exception as error:
        if is_away(error) or isinstance(error, MemoryError):
            raise
        if len(blocks) == 1:
            put_aside(blocks[0], error)
            return
        middle = len(blocks) // 2
        apply_around(blocks[:middle], apply, put_aside)
        apply_around(blocks[middle:], apply, put_aside)
