"""The addresses there are: each ISP's pools, and the Network Provider's reserve."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from config.dhcp_options import DhcpOptions
from config.row import Count, Row
from config.values import Block, Name, Prefix


class Pool(DhcpOptions, frozen=True, kw_only=True):
    """Addresses for the subscribers of one ISP, or of none, in an area."""

    name: Name
    area: str
    isp: str | None = None
    prefixes: Annotated[tuple[Block, ...], Meta(min_length=1)]
    guaranteed: Count = 0
    """Addresses that the ISP can always have; the reserve stands for what its own
    prefixes lack.
    """
    burst: Count = 0
    """Addresses it may have beyond the guaranteed ones, while there are some."""
    lending: Count = 0
    """Addresses it lends to others at most."""
    vrf: str = ""
    """Routing table that its addresses live in; they are lent within it only."""
    routable_in: tuple[str, ...] = ()
    """Areas, beside its own, that its addresses can be routed to."""
    walled_garden: bool = False
    """For lines that have no service, and the only pool they get."""
    reserved: tuple[Prefix, ...] = ()
    """What of it is never leased, beside its routers, relays, and each prefix's first
    and last address (network and broadcast)."""


class Reserve(Row, frozen=True, kw_only=True):
    """Addresses that the Network Provider keeps, to grant when a pool runs out."""

    name: Name
    area: str | None = None
    """Where it can be granted; everywhere when it is not given."""
    vrf: str = ""
    """Routing table that its addresses live in."""
    prefixes: Annotated[tuple[Block, ...], Meta(min_length=1)]
