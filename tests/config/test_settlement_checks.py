"""Rules between taxes, products, meters and limits are told with their place."""

from __future__ import annotations

from typing import Any

import pytest

from config.meter_checks import find_meter_conflicts
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
            {
                "tax": [{"tax_class": "reduced"}, {"percent": "20"}],
                "tariff": [{}, {"tax_class": "reducd"}],
                "bsp": [BSP],
            },
            ("tariff", 1, "tax_class"),
            "no tax is for class 'reducd': one of 0 says none is due",
        ),
        (
            {"tax": [{"tax_class": "reduced"}], "bsp": [BSP]},
            ("bsp", 0),
            "no tax is for class 'standard': one of 0 says none is due",
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
            {"bsp": [BSP], "spending_limit": [{"bsp": "filmhouse", "currency": "SEK"}]},
            ("spending_limit", 0, "currency"),
            "a limit in SEK holds for nothing: 'filmhouse' sells in EUR",
        ),
        (
            {"bsp": [BSP], "spending_limit": [{"currency": "SEK"}]},
            ("spending_limit", 0, "currency"),
            "a limit in SEK holds for nothing: no bsp sells in it",
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


METERED = {"measure": "units", "price": "1", "per": "1 unit"}


@pytest.mark.parametrize(
    ("version", "place", "words"),
    [
        ({"quota": [{"name": "q"}]}, ("quota",), "nobody carries out quotas where"),
        ({"fee": [{"name": "f"}]}, ("fee",), "nobody charges fees where"),
        ({"peak": [{"name": "p"}]}, ("peak",), "nobody counts sessions where"),
        ({"allowance": [{"rollover": "1 unit"}]}, ("allowance", 0, "rollover"), "nobo"),
        ({"allowance": [{"shared": True}]}, ("allowance", 0, "shared"), "each service"),
        (
            {"rate": [METERED | {"connect_fee": "1"}]},
            ("rate", 0, "connect_fee"),
            "no s",
        ),
        ({"rate": [METERED | {"counted": "session"}]}, ("rate", 0, "counted"), "no s"),
        ({"rate": [METERED | {"measure": "out"}]}, ("rate",), "no rate is for units"),
    ],
)
def test_a_meter_s_tariff_has_nothing_that_nobody_would_act_on(
    version: dict[str, Any], place: tuple[Any, ...], words: str
) -> None:
    """Quotas, fees, sessions, what is shared: told with the place; and so is a tariff
    that has no price for what the meter counts."""
    version = {"rate": [METERED | {"connect_fee": "0.00"}]} | version
    document = {
        "meter": [{"name": "plays", "bsp": "filmhouse", "tariff": "films"}],
        "tariff": [{"name": "films", "version": [version]}],
    }
    (found,) = find_meter_conflicts(document)
    assert ("tariff", 0, "version", 0, *place) == found.path
    assert words in found.message


def test_network_usage_has_no_units() -> None:
    """A rate for them would never charge anything."""
    document = {
        "offering": [{"name": "home", "isp": "aurora", "tariff": "home"}],
        "tariff": [{"name": "home", "isp": "aurora", "version": [{"rate": [METERED]}]}],
    }
    (found,) = find_meter_conflicts(document)
    assert ("tariff", 0, "version", 0, "rate", 0, "measure") == found.path


def test_a_meter_s_tariff_is_not_an_isp_s() -> None:
    """Which its ISP could change."""
    document = {
        "meter": [{"name": "plays", "bsp": "filmhouse", "tariff": "home"}],
        "tariff": [{"name": "home", "isp": "aurora", "version": [{"rate": [METERED]}]}],
    }
    (found,) = find_meter_conflicts(document)
    assert ("meter", 0, "tariff") == found.path


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
