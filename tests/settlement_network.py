"""A network with two ISPs, a BSP, taxes and prices, and charges by its tariffs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from config.network import Network
from config.offers import Offering, Service
from config.parties import Bsp, Isp
from config.settlement import Product, SpendingLimit, Tax
from rating.charge import Charge, RatingTag

ZONES = {"home": "Europe/Oslo", "wholesale": "Europe/Oslo", "films": "UTC"}
NOVEMBER = int(datetime(2026, 11, 10, 12, tzinfo=UTC).timestamp())
DECEMBER = int(datetime(2026, 12, 2, 12, tzinfo=UTC).timestamp())
UNIT = 1_000_000


def network(**changes: Any) -> Network:
    """The network, with some of its tables replaced."""
    tables: dict[str, Any] = {
        "isp": (Isp(name="aurora"), Isp(name="borealis")),
        "bsp": (
            Bsp(
                name="filmhouse",
                isp_commission="10",
                network_fee="5",
                price_minimum="1",
                price_maximum="20",
            ),
        ),
        "offering": (
            Offering(name="home-500", isp="aurora", down_kbps=1, up_kbps=1),
            Offering(name="polar-100", isp="borealis", down_kbps=1, up_kbps=1),
        ),
        "service": (
            Service(
                name="aurora-101",
                isp="aurora",
                line="harbour-101",
                user_names=("sub101@aurora.example",),
                offering="home-500",
            ),
            Service(
                name="borealis-102",
                isp="borealis",
                line="harbour-102",
                offering="polar-100",
            ),
        ),
        "tax": (
            Tax(name="vat", percent="25"),
            Tax(name="vat-of-filmhouse", party="filmhouse", percent="20"),
        ),
        "product": (Product(name="film", bsp="filmhouse", price="12.00"),),
        "spending_limit": (
            SpendingLimit(name="month", bsp="filmhouse", amount="50", currency="EUR"),
        ),
    }
    return Network(**(tables | changes))


def charge(
    amount: int,
    *,
    tariff: str = "home",
    usage_id: int | None = 1,
    service: str = "aurora-101",
    at: int = NOVEMBER,
    **values: Any,
) -> Charge:
    """One charge, of which a test names only what matters to it."""
    return Charge(
        service,
        tariff,
        "2026-01-01",
        "volume",
        "2026-11-01",
        RatingTag.USAGE,
        10**9,
        "octets",
        amount,
        "EUR",
        "standard",
        at,
        at + 600,
        usage_id,
    )._replace(**values)
