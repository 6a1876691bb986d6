"""What is sold and to whom: offerings, and the services that are one on a line."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from config.quantities import Day
from config.row import Kbps, Row
from config.values import Name, Text

Addresses = Annotated[int, Meta(ge=1, le=65_536)]


class Offering(Row, frozen=True, kw_only=True):
    """What an ISP sells."""

    name: Name
    isp: str
    down_kbps: Kbps
    up_kbps: Kbps
    addresses: Addresses = 1
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
    account: Name | None = None
    """Services of one account have shared allowances together."""
    billed_from: Day | None = None
    """The first day that fees are for, in the tariff's zone; None: they always were."""
