"""Who sells over the network: ISPs access, BSPs services."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from config.quantities import Money, Percent, Zone
from config.row import Row
from config.settlement import Currency
from config.values import Name, Text


class Isp(Row, frozen=True, kw_only=True):
    """An Internet service provider that sells access over the lines."""

    name: Name
    realms: tuple[Text, ...] = ()
    """The realms of its user names (RFC 7542)."""
    wholesale: str | None = None
    """The Network Provider's tariff that it pays by."""


class Bsp(Row, frozen=True, kw_only=True):
    """A broadband service provider: films, games, backup."""

    name: Name
    isps: tuple[str, ...] = ()
    """The ISPs whose subscribers it sells to; all where none is named."""
    currency: Currency = "EUR"
    zone: Zone = "UTC"
    """IANA time zone of the months that its sales are booked in."""
    tax_owed_by: Literal["bsp", "isp"] = "bsp"
    """Who owes the tax on what its customers pay."""
    isp_commission: Percent | None = None
    network_fee: Percent | None = None
    """Per cent of each price before tax, for the ISP and for the Network Provider."""
    price_minimum: Money = "0"
    price_maximum: Money | None = None
    """Within these it names prices itself; without a maximum it may not."""
    tax_class: Name = "standard"
    """The tax class of what it names the price of."""
    authorisation_hours: Annotated[int, Meta(ge=1, le=8760)] = 168
    """Hours after which an authorisation that was not captured is void."""
