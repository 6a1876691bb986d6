"""What a DHCP reply tells of the network, as an area or a pool has it.

An area says what holds for all of its pools, a pool what differs; the router and the
mask follow from the prefix that the address is in, unless they are said here.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from config.row import Row
from config.values import Domain, Hexadecimal, Ipv4

Servers = Annotated[tuple[Ipv4, ...], Meta(max_length=16)]


class RawOption(Row, frozen=True, kw_only=True):
    """An option of the operator's own, such as vendor information (option 43)."""

    code: Annotated[int, Meta(ge=1, le=254)]
    value: Hexadecimal
    """Its content in hexadecimal."""


class DhcpOptions(Row, frozen=True, kw_only=True):
    """What an area or a pool can say; None and () leave it to the area, or unsaid."""

    lease_seconds: Annotated[int, Meta(ge=60, le=31_536_000)] | None = None
    """Seconds for which an address is leased; where neither says it, 3600, and 300 in a
    walled garden, which is to be left soon."""
    routers: Servers = ()
    """Default routers (RFC 2132 section 3.5), one in each prefix; without one, the
    relay's address in that prefix, or the prefix's first host."""
    dns_servers: Servers = ()
    """Resolvers (RFC 2132 section 3.8), the preferred one first."""
    domain_name: Domain | None = None
    """RFC 2132 section 3.17."""
    domain_search: Annotated[tuple[Domain, ...], Meta(max_length=8)] = ()
    """RFC 3397."""
    ntp_servers: Servers = ()
    """RFC 2132 section 8.3."""
    mtu: Annotated[int, Meta(ge=576, le=65_535)] | None = None
    """Octets of the largest packet on the line (RFC 2132 section 5.1)."""
    raw_options: Annotated[tuple[RawOption, ...], Meta(max_length=32)] = ()
    """Further options, sent to who asks for them."""


LEASE_SECONDS = 3600
GARDEN_LEASE_SECONDS = 300
"""Seconds of a lease where neither pool nor area says it."""
