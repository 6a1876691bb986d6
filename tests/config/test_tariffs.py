"""Tariffs in the network file: what is refused, where, and what may change when."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tariffs_made import document

from config.checker import find_mistakes
from config.loader import ConfigurationError, load_network
from config.network import Network
from config.network_checks import find_conflicts
from config.problems import dotted
from config.quantities import (
    Amount,
    day_of,
    micro_of,
    minutes_of,
    per_myriad_of,
    quantity_of,
    zone_of,
)
from config.tariff_checks import frozen

NOW = 1_793_000_000  # 2026-10-26 in Europe


def rate(name: str, **values: Any) -> dict[str, Any]:
    """A rate of 10 cents a GB."""
    return {"name": name, "measure": "sum", "price": "0.10", "per": "1 GB", **values}


def window(name: str, start: str, end: str, **values: Any) -> dict[str, Any]:
    """A window."""
    return {"name": name, "start": start, "end": end, **values}


def refused(version: dict[str, Any], **tariff: Any) -> list[str]:
    """What is wrong with a version, each with its place in it."""
    made = document(version, **tariff)
    found = find_mistakes(Network, made) + find_conflicts(made)
    head = "tariff[0].version[0]."
    return [f"{dotted(f.path).removeprefix(head)}: {f.message}" for f in found]


DAY = window("day", "06:00", "22:00")
NIGHT = window("night", "22:00", "06:00")


@pytest.mark.parametrize(
    ("version", "problems"),
    [
        ({"window": [DAY, NIGHT], "rate": [rate("d", window="day"), rate("n")]}, []),
        (
            {
                "window": [DAY, NIGHT],
                "rate": [rate("d", window="day"), rate("n", window="night")],
            },
            [],
        ),
        (
            {
                "window": [DAY, window("late", "21:00", "23:00")],
                "rate": [rate("d", window="day"), rate("l", window="late"), rate("n")],
            },
            ["rate[1].window: windows 'day' and 'late' overlap, 21:00 to 22:00 on mon"],
        ),
        (
            {
                "window": [DAY, window("night", "22:00", "05:00")],
                "rate": [rate("d", window="day"), rate("n", window="night")],
            },
            ["rate[0]: no rate of 'sum' is for 05:00 to 06:00 on mon"],
        ),
        (
            {
                "window": [
                    window("work", "00:00", "24:00", holidays="never"),
                ],
                "rate": [rate("w", window="work")],
            },
            ["rate[0]: no rate of 'sum' is for 00:00 to 24:00 on a holiday, mon"],
        ),
        (
            {
                "window": [
                    window("friday", "20:00", "04:00", days=["fri"]),
                    window("saturday", "00:00", "06:00", days=["sat"]),
                ],
                "rate": [
                    rate("f", window="friday"),
                    rate("s", window="saturday"),
                    rate("else"),
                ],
            },
            [
                (
                    "rate[1].window: windows 'friday' and 'saturday' overlap,"
                    " 00:00 to 04:00 on sat"
                )
            ],
        ),
        (
            {"rate": [rate("one"), rate("two")]},
            ["rate[1]: rate[0] of 'sum' has no window either"],
        ),
        (
            {"rate": [rate("data", increment="-1 MB")]},
            ["rate[0].increment: '-1 MB' is negative"],
        ),
        (
            {"rate": [rate("data", price="-0.10")]},
            ["rate[0].price: '-0.10' is negative"],
        ),
        (
            {"rate": [rate("data", minimum="0 GB")]},
            ["rate[0].minimum: '0 GB' is not a whole number of octets above 0"],
        ),
        (
            {"rate": [rate("data", per="1 h")]},
            ["rate[0].per: '1 h' is not in octets"],
        ),
        (
            {"rate": [rate("data", window="nigth")], "window": [NIGHT]},
            ["rate[0].window: this version has no window called 'nigth'"],
        ),
        (
            {
                "rate": [
                    rate(
                        "data",
                        tiers=[
                            {"above": "2 GB", "price": "1"},
                            {"above": "1 GB", "price": "1"},
                        ],
                    )
                ]
            },
            ["rate[0].tiers[1].above: must be above '2 GB', the tier before"],
        ),
        (
            {
                "rate": [rate("data")],
                "fee": [{"name": "data", "amount": "1"}],
                "allowance": [
                    {"name": "free", "quantity": "1 h", "rates": ["data"]},
                    {"name": "all", "quantity": "1 GB", "rates": ["dat"]},
                ],
                "quota": [
                    {"name": "q", "allowance": "al", "action": "throttle"},
                    {"name": "r", "allowance": "all", "action": "buy", "topup": "t"},
                ],
            },
            [
                "rate[0].name: 'data' is the name of fee[0] already",
                "quota[0].allowance: this version has no allowance called 'al'",
                (
                    "quota[1].topup: this version has no top-up of allowance 'all'"
                    " called 't'"
                ),
                "allowance[1].rates[0]: this version has no rate called 'dat'",
                ("allowance[0].rates[0]: 'data' counts octets, the allowance seconds"),
                "quota[0].action: throttle needs down_kbps or up_kbps",
            ],
        ),
        (
            {
                "rate": [rate("data")],
                "cap": [
                    {"name": "a", "amount": "1", "rates": ["data", "data"]},
                    {"name": "b", "amount": "1", "rates": ["data"]},
                ],
                "discount": [
                    {
                        "name": "d",
                        "percent": "100",
                        "elements": ["data"],
                        "first_day": "2026-02-01",
                        "last_day": "2026-01-31",
                    }
                ],
            },
            [
                "cap[0].rates[1]: 'data' stands twice",
                "cap[1].rates[0]: cap[0] is for 'data' already",
                "discount[0].last_day: 2026-01-31 is before first_day, 2026-02-01",
            ],
        ),
        (
            {"peak": [{"name": "sessions", "price": "1"}]},
            ["peak: is for wholesale: only the Network Provider's tariffs have it"],
        ),
        (
            {"window": [window("w", "24:00", "06:00")], "rate": [rate("data")]},
            [
                (
                    "window[0].start: a window cannot begin at 24:00;"
                    " write 00:00 of the next day"
                )
            ],
        ),
        (
            {
                "window": [window("w", "06:00", "06:00")],
                "rate": [rate("data", window="w")],
            },
            [
                (
                    "window[0].end: 06:00 is the start as well, which may mean a whole"
                    " day or nothing; a whole day is 00:00 to 24:00"
                )
            ],
        ),
    ],
)
def test_a_version_that_means_nothing_certain_is_refused_with_the_place(
    version: dict[str, Any], problems: list[str]
) -> None:
    """Overlaps, gaps, units, names, tiers, negative figures: all of them at once."""
    assert problems == refused(version)


def test_zones_owners_and_references_are_refused_with_line_and_nearest_name(
    tmp_path: Path,
) -> None:
    """From the file, as `fairlane check` and `apply` say it."""
    path = tmp_path / "network.toml"
    path.write_text(
        '[[isp]]\nname = "aurora"\nwholesale = "home"\n'
        '[[tariff]]\nname = "home"\nisp = "arora"\ncurrency = "EUR"\n'
        'zone = "Europe/Berln"\n'
        '[[tariff.version]]\nvalid_from = "2026-02-30"\n'
        '[[tariff]]\nname = "access"\ncurrency = "EUR"\nzone = "UTC"\n'
        '[[tariff.version]]\nvalid_from = "2026-01-01"\n'
        '[[tariff.version]]\nvalid_from = "2026-01-01"\n'
        '[[offering]]\nname = "x"\nisp = "aurora"\ndown_kbps = 1\nup_kbps = 1\n'
        'tariff = "acess"\n'
    )
    with pytest.raises(ConfigurationError) as caught:
        load_network(path)
    assert [
        "3: isp[0].wholesale: 'home' is not the Network Provider's",
        "6: tariff[0].isp: there is no isp called 'arora' (did you mean 'aurora'?)",
        (
            "8: tariff[0].zone: there is no time zone called 'Europe/Berln', such as"
            " Europe/Berlin or UTC"
        ),
        (
            "10: tariff[0].version[0].valid_from: '2026-02-30' is no day such as"
            " 2026-01-31"
        ),
        (
            "18: tariff[1].version[1].valid_from: version[0] is valid from 2026-01-01"
            " already"
        ),
        (
            "24: offering[0].tariff: there is no tariff called 'acess'"
            " (did you mean 'access'?)"
        ),
    ] == [str(p).removeprefix(f"{path}:") for p in caught.value.problems]


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (micro_of, "0.000001", 1),
        (micro_of, "12", 12_000_000),
        (quantity_of, "1.5 GiB", Amount(3 * 2**29, "octets")),
        (quantity_of, "90min", Amount(5400, "seconds")),
        (quantity_of, "1 unit", Amount(1, "units")),
        (per_myriad_of, "12.5", 1250),
        (minutes_of, "24:00", 1440),
    ],
)
def test_texts_are_read_exactly(
    read: Callable[[str], object], text: str, value: object
) -> None:
    """Whole micro-units, octets, seconds, minutes; no float in between."""
    assert value == read(text)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *[(micro_of, t) for t in ("", "1.0000001", "1e3", "NaN", ".5", "1,50", "-1")],
        (micro_of, "500000000.000001"),  # with its tax it would fit no entry
        *[(quantity_of, t) for t in ("0 GB", "1.5 B", "1", "GB", "-1 s", "9" * 30)],
        *[(per_myriad_of, t) for t in ("0", "100.01", "-1", "1.234")],
        *[(minutes_of, t) for t in ("24:01", "7:00", "0700", "25:00", "12:60")],
        *[(day_of, t) for t in ("2026-02-29", "26-01-01", "2026-1-1", "today")],
        *[(zone_of, t) for t in ("Berlin", "", "../etc/passwd", "+01:00")],
    ],
)
def test_what_is_not_exactly_so_is_refused(
    read: Callable[[str], object], text: str
) -> None:
    """Nothing is guessed from a text that nearly fits."""
    with pytest.raises(ValueError, match=r"."):
        read(text)


def stored(**changes: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """A tariff in force since 2020, with a version to come."""
    tariff = {
        "name": "home",
        "currency": "EUR",
        "zone": "Europe/Berlin",
        "version": [
            {"valid_from": "2020-01-01", "fee": [{"name": "f", "amount": "1"}]},
            {"valid_from": "2026-12-01", "fee": [{"name": "f", "amount": "2"}]},
        ],
        **changes,
    }
    return {("tariff", "home"): tariff}


def test_a_version_in_force_never_changes_and_one_to_come_may() -> None:
    """What was rated by a version must be explained, and rated again, by the same."""
    before = stored()
    first, coming = before["tariff", "home"]["version"]
    assert [] == frozen(before, copy.deepcopy(before), NOW)
    assert [] == frozen(before, stored(version=[first]), NOW)
    assert [] == frozen(before, stored(version=[first, coming | {"fee": []}]), NOW)
    assert [] == frozen(before, {}, 0)
    assert [
        "tariff 'home', version of 2020-01-01: is in force and cannot change (fee)"
    ] == frozen(before, stored(version=[first | {"fee": []}, coming]), NOW)
    assert [
        "tariff 'home', version of 2020-01-01: is in force and cannot be taken away"
    ] == frozen(before, stored(version=[coming]), NOW)
    assert ["tariff 'home' is in force and cannot be deleted"] == frozen(
        before, {}, NOW
    )
    assert ["tariff 'home': zone cannot change while a version is in force"] == frozen(
        before, stored(zone="UTC"), NOW
    )
    early = {"valid_from": "2026-10-26"}
    assert [
        "tariff 'home', version of 2026-10-26: a new one begins after today, 2026-10-26"
    ] == frozen(before, stored(version=[first, early]), NOW)


@pytest.mark.parametrize("written", ["eur", "EURO", "€", "EU1", ""])
def test_a_currency_is_three_capital_letters(written: str) -> None:
    """``eur`` beside ``EUR`` would be another currency."""
    (message,) = refused({"rate": [rate("data")]}, currency=written)
    assert message.startswith("tariff[0].currency: ")
    assert f"{written!r} is no currency such as EUR" in message


def test_what_an_isp_pays_by_has_nothing_of_single_sessions() -> None:
    """More of them than are remembered would be charged for twice."""
    rates = [
        rate("a", window="day", connect_fee="0.01"),
        rate("b", counted="session", connect_fee="0.00"),
    ]
    version = {"valid_from": "2026-01-01", "window": [DAY], "rate": rates}
    tariff = {"name": "access", "currency": "EUR", "zone": "UTC", "version": [version]}
    assert [("rate", 0, "connect_fee"), ("rate", 1, "counted")] == [
        finding.path[4:] for finding in find_conflicts({"tariff": [tariff]})
    ]
