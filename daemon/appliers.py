"""Who applies a journal to the database, by the kind in the journal's name.

Receivers of a kind number their journals (``radius-0``, ``radius-1``), a role that is
one has its own name. Packets go to the accounting's ledger; the table has the others. A
journal that nobody knows is left as it is, and its lag shows: it may be that of a newer
Fairlane, whose records this one must not lose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from config.schema import Settings
from daemon.lease_ledger import LeaseLedger
from radius.records import split
from storage.database import Database
from storage.journal import Block

ACCOUNTING = "radius"
"""The kind of the journals that have packets."""


class Applier(Protocol):
    """Applies the blocks of one kind of journal, and is a copy of what is stored.

    ``positions`` are those of all journals that are applied, by name: the next record
    to apply, 1 where there is none.
    """

    @property
    def positions(self) -> Mapping[str, int]:
        """The next position of each journal that it has applied from."""

    def apply(self, journal: str, blocks: Sequence[Block]) -> object:
        """Apply blocks in one transaction, which writes the position behind them.

        The first block is the one with the journal's position in it, so it may begin
        before. After an exception the database is as it was, and this applier is thrown
        away.
        """


APPLIERS: dict[str, Callable[[Database, Settings], Applier]] = {"ipserver": LeaseLedger}
"""Kind to what makes its applier; it starts from what the database has."""


SPLITTERS: dict[str, Callable[[bytes], list[bytes]]] = {ACCOUNTING: split}
"""Kind to what cuts the octets of a block into those of its records."""


def single_records(journal: str, blocks: Sequence[Block], position: int) -> list[Block]:
    """Cut blocks into blocks of one record each, from ``position`` on.

    A kind without a splitter keeps its blocks: they are put aside whole.
    """
    cut = SPLITTERS.get(kind_of(journal))
    if cut is None:
        return list(blocks)
    return [
        Block(first + number, 1, received_at_ns, octets)
        for first, _, received_at_ns, whole in blocks
        for number, octets in enumerate(cut(whole))
        if first + number >= position
    ]


def kind_of(journal: str) -> str:
    """Give the kind of a journal: its name without the number."""
    return journal.partition("-")[0]
