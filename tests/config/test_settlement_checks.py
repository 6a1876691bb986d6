"""Rules between taxes, products, meters and limits are told with their place."""

from __future__ import annotations

from typing import Any

import pytest

from config.offer_checks import find_offer_conflicts
from config.settlement_checks import find_settlement_conflicts

BSP = {"name": "filmhouse"}
ISP = {"name": "aurora"}


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        (
            {"bsp": [BSP], "product": [{"name": "film", "bsp": "filmhose"}]},
            ("product", 0, "bsp"),
            "there is no bsp called 'filmhose'",
        ),
        (
            {"bsp": [{"name": "network"}]},
            ("bsp", 0, "name"),
            "'network' is the Network Provider's own name",
        ),
        (
            {"isp": [ISP], "bsp": [{"name": "aurora"}]},
            ("bsp", 0, "name"),
            "'aurora' is the name of isp[0] already",
        ),
        (
            {"tax": [{"percent": "20"}, {"percent": "25"}]},
            ("tax", 1),
            "tax[0] is for the same class, party and day already",
        ),
        (
            {"bsp": [{**BSP, "isp_commission": "60", "network_fee": "41"}]},
            ("bsp", 0),
            "isp_commission and network_fee are more than 100 together",
        ),
        (
            {"bsp": [{**BSP, "price_minimum": "2", "price_maximum": "1"}]},
            ("bsp", 0, "price_minimum"),
            "2 is more than price_maximum, 1",
        ),
        (
            {"isp": [ISP], "bsp": [{**BSP, "isps": ["arora"]}]},
            ("bsp", 0, "isps", 0),
            "there is no isp called 'arora'",
        ),
    ],
)
def test_what_settlement_could_not_work_with_is_told(
    document: dict[str, Any], path: tuple[Any, ...], words: str
) -> None:
    """The place and the words; nothing besides."""
    found = find_settlement_conflicts(document)
    assert [(path, words)] == [(f.path, f.message) for f in found]


def test_what_settlement_can_work_with_is_not_told() -> None:
    """Shares of 100 together, a tax for each day, the network as a party of a tax."""
    document = {
        "isp": [ISP],
        "bsp": [
            {**BSP, "isp_commission": "60", "network_fee": "40", "isps": ["aurora"]}
        ],
        "tax": [
            {"percent": "20"},
            {"percent": "25", "first_day": "2026-07-01"},
            {"percent": "25", "party": "network"},
        ],
        "product": [{"name": "film", "bsp": "filmhouse"}],
    }
    assert [] == find_settlement_conflicts(document)


def test_an_address_that_is_sold_needs_a_currency() -> None:
    """The offering's tariff names it."""
    sells = {"name": "home", "isp": "aurora", "excess_price_micro": 5}
    path = ("offering", 0, "excess_price_micro")
    found = find_offer_conflicts({"isp": [ISP], "offering": [sells]})
    assert [path] == [f.path for f in found]
    fine = {**sells, "tariff": "home"}
    assert [] == find_offer_conflicts({"isp": [ISP], "offering": [fine]})
