"""How money is shared: taxes, what BSPs sell and meter, and how much may be spent.

Amounts and percentages are decimal strings, as in tariffs. What a party gets of a sale
is a percentage of its price before tax; what is left is the BSP's.
"""

from __future__ import annotations

from config.quantities import Currency, Day, Money, Quantity, Share, Zone
from config.row import Row
from config.values import Name


class Tax(Row, frozen=True, kw_only=True):
    """A tax rate from a day on. Where no row is for a party or a day there is none, but
    each class that is named has a row, if there is any."""

    name: Name
    tax_class: Name = "standard"
    party: str | None = None
    """The ISP or BSP that owes it, or "network"; every one where none is named."""
    percent: Share
    """What is added to prices; 0 says that nothing is, where another row would."""
    first_day: Day | None = None
    """The day from which it holds; None is from always."""
    zone: Zone | None = None
    """Where that day begins; None is the zone of the tariff or BSP that is taxed."""


class Product(Row, frozen=True, kw_only=True):
    """Something that a BSP sells at a price of its own."""

    name: Name
    bsp: str
    price: Money
    """Tax included, in the BSP's currency."""
    tax_class: Name = "standard"
    isp_commission: Share | None = None
    network_fee: Share | None = None
    """What is None is as the BSP has it."""


class Meter(Row, frozen=True, kw_only=True):
    """Something that a BSP counts, and the tariff that it is rated by."""

    name: Name
    bsp: str
    tariff: str
    unit: Quantity = "1 unit"
    """What one of the BSP's counts is: "1 min", "1 GB", "1 unit"."""


class SpendingLimit(Row, frozen=True, kw_only=True):
    """The most that each subscriber may spend with BSPs in a month.

    It is for the services and BSPs that it names, for all where it names none; every
    limit that fits must hold.
    """

    name: Name
    isp: str | None = None
    service: str | None = None
    bsp: str | None = None
    amount: Money
    currency: Currency
