"""What is sold and to whom: offerings, and the services that are one on a line."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.plant import Technology
from config.quantities import MAX_MICRO, Day
from config.row import Kbps, Row
from config.values import Address, Block, MacAddress, Name, Text

Addresses = Annotated[int, Meta(ge=1, le=65_536)]
Sessions = Annotated[int, Meta(ge=1, le=1000)]
Seconds = Annotated[int, Meta(ge=60, le=2**31 - 1)]


class Component(Row, frozen=True, kw_only=True):
    """A product of a BSP that is part of an offering."""

    bsp: str
    product: Text


MicroUnits = Annotated[int, Meta(ge=0, le=MAX_MICRO)]
Excess = Literal["deny", "replace_oldest", "walled_garden", "grace", "sell"]


class Offering(Row, frozen=True, kw_only=True):
    """What an ISP sells: access, and what comes with it."""

    name: Name
    isp: str
    down_kbps: Kbps
    up_kbps: Kbps
    addresses: Addresses = 1
    tariff: str | None = None
    """What the ISP's customers pay for it."""
    technologies: tuple[Technology, ...] = ()
    """What a line must be made of; empty for anything."""
    components: tuple[Component, ...] = ()
    """Products of BSPs that are provisioned with it."""
    device: bool = False
    """Whether a device of the subscriber's is configured with it."""
    simultaneous_use: Sessions | None = None
    """Sessions at a time; None for no limit."""
    session_timeout_seconds: Seconds | None = None
    """Seconds after which the NAS ends a session (RFC 2865 section 5.27)."""
    excess: Excess = "replace_oldest"
    """What a device gets when its line has all its addresses in use already: nothing,
    the one unused for longest, one of the walled garden, one free for a while, or one
    that is sold."""
    excess_addresses: Addresses = 1
    """Addresses beyond ``addresses`` at once, where excess is "grace" or "sell"."""
    excess_price_micro: MicroUnits = 0
    """Price of an address sold, a calendar month (UTC), in 10^-6 of the currency."""
    excess_cap_micro: MicroUnits = 0
    """What one line spends on such addresses in a month at most."""
    grace_hours: Annotated[int, Meta(ge=1, le=744)] = 24
    """Hours for which addresses of grace are free, once a month."""


class Service(Row, frozen=True, kw_only=True):
    """One offering on one line; what is not None here overrides the offering."""

    name: Name
    isp: str
    line: str
    offering: str
    user_names: tuple[Text, ...] = ()
    password: Text | None = None
    """In the clear, for small sites and tests; or one of the next two."""
    password_hash: Text | None = None
    """argon2 in PHC form, for PAP alone: CHAP needs the password itself."""
    password_sealed: Text | None = None
    """Enciphered (``services.credentials``), for PAP, CHAP and MS-CHAP."""
    state: Literal["active", "suspended"] = "active"
    """A suspended one gets the walled garden, or nothing."""
    mac_addresses: tuple[MacAddress, ...] = ()
    """Devices authorised by their MAC address, and the only ones when any are given."""
    down_kbps: Kbps | None = None
    up_kbps: Kbps | None = None
    addresses: Addresses | None = None
    account: Name | None = None
    """Services of one account have shared allowances together."""
    billed_from: Day | None = None
    """The first day that fees are for, in the tariff's zone; None: they always were."""
    customer: Text | None = None
    """Whom its ISP sells it to, by the ISP's own name for the customer."""
    replaces: str | None = None
    """The service of another ISP on the line that stays until this one is seen to work:
    its users log in as before, and the next lease of the line is this one's."""
    former_line: str | None = None
    """The line that it moves away from, where it works until it is seen on its own."""
    simultaneous_use: Sessions | None = None
    session_timeout_seconds: Seconds | None = None
    pool: str | None = None
    """Pool for its sessions; None for its ISP's pool in the line's area."""
    framed_ip_address: Address | None = None
    framed_ipv6_prefix: Block | None = None
    delegated_ipv6_prefix: Block | None = None
    excess: Excess | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines on which it works: two while it moves from one to the other."""
        return (
            (self.line,) if self.former_line is None else (self.line, self.former_line)
        )
