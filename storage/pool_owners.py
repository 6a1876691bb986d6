"""Whose pools, reserves and addresses are now, as the network has it.

A pool may be sold while its blocks are lent. The record of a loan says who agreed to
it, by which it is settled; who sees and steers it is who has its pools now.
"""

from __future__ import annotations

from bisect import bisect_right

from sqlalchemy import Connection

from config.values import prefix_of
from ipserver.block import Block
from ipserver.decision import NETWORK
from ipserver.loan import Loan
from storage.network import objects_of


class PoolOwners:
    """Read once from a transaction; a network changes under nobody who looks."""

    def __init__(self, connection: Connection) -> None:
        pools = objects_of(connection, "pool")
        reserves = objects_of(connection, "reserve")
        self._tenants = {name: body.get("isp") for name, body in pools.items()}
        self._tenants |= dict.fromkeys(reserves, NETWORK)
        spans = sorted(
            (prefix.first, prefix.last, name)
            for name, body in (pools | reserves).items()
            for prefix in map(prefix_of, body["prefixes"])
            if prefix.version == 4
        )
        self._spans = spans
        self._starts = [first for first, _, _ in spans]

    def of_loan(self, loan: Loan, block: Block | None) -> tuple[str, str]:
        """Name the tenants of an open loan's lender and borrower; who agreed to it,
        where the network has that pool no more.

        It comes home to whose prefix it is, or to whom it was converted for.
        """
        owner = block.owner if block is not None and block.converted else None
        if owner not in self._tenants:
            owner = self._holder_at(loan.first)
        return (
            self._tenants.get(owner or loan.lender) or loan.lender_tenant,
            self._tenants.get(loan.borrower) or loan.borrower_tenant,
        )

    def _holder_at(self, address: int) -> str | None:
        place = bisect_right(self._starts, address) - 1
        if place < 0:
            return None
        _, last, name = self._spans[place]
        return name if address <= last else None
