"""Live leases as a lease query finds them (RFC 4388 section 6.4).

By address that is one look; by client a walk over all leases at the speed of a list,
because clients are found by their line everywhere else, and an index by hardware
address would cost every lease its memory for a question that is rare.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipserver.lease_table import LEASED, LeaseTable
from ipserver.leasequery import KnownLease


class KnownLeases:
    """Reads the leases of a table; ``now`` is the table's time, in seconds."""

    def __init__(self, table: LeaseTable) -> None:
        self._table = table

    def by_address(self, address: int, now: float) -> KnownLease | None:
        """Find the live lease of an address."""
        slot = self._table.slot_of.get(address)
        return None if slot is None else self._lease(slot, int(now))

    def by_client(
        self, hardware: bytes, client_id: bytes, now: float
    ) -> list[KnownLease]:
        """Find a client's live leases by one of the two, the last heard of first."""
        table = self._table
        column, wanted = table.client_id, client_id
        if not client_id:
            column, wanted = table.hardware, hardware
        leases = (self._lease(slot, int(now)) for slot in _places(column, wanted))
        return sorted((x for x in leases if x is not None), key=lambda x: x.seen)

    def _lease(self, slot: int, now: int) -> KnownLease | None:
        table = self._table
        left = table.until[slot] - now
        if table.state[slot] != LEASED or left <= 0:
            return None
        return KnownLease(
            table.address[slot],
            table.hardware[slot],
            table.client_id[slot],
            table.agent[slot],
            left,
            max(0, now - table.seen[slot]),
        )


def _places(column: list[bytes], wanted: bytes) -> Iterator[int]:
    place = -1
    try:
        while True:
            place = column.index(wanted, place + 1)
            yield place
    except ValueError:  # there is no other
        return
