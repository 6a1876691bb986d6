"""What is sold and to whom: offerings, and the services that are one on a line."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.quantities import Day
from config.row import Kbps, Row
from config.values import Name, Text

Addresses = Annotated[int, Meta(ge=1, le=65_536)]
MicroUnits = Annotated[int, Meta(ge=0, le=10**15)]
Excess = Literal["deny", "replace_oldest", "walled_garden", "grace", "sell"]


class Offering(Row, frozen=True, kw_only=True):
    """What an ISP sells."""

    name: Name
    isp: str
    down_kbps: Kbps
    up_kbps: Kbps
    addresses: Addresses = 1
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
    tariff: str | None = None
    """What the ISP's customers pay for it."""


class Service(Row, frozen=True, kw_only=True):
    """One offering on one line; what is not None here overrides the offering."""

    name: Name
    isp: str
    line: str
    offering: str
    user_names: tuple[Text, ...] = ()
    password: Text | None = None
    down_kbps: Kbps | None = None
    up_kbps: Kbps | None = None
    addresses: Addresses | None = None
    excess: Excess | None = None
    account: Name | None = None
    """Services of one account have shared allowances together."""
    billed_from: Day | None = None
    """The first day that fees are for, in the tariff's zone; None: they always were."""
