"""Worked examples: a tariff and usage in, money out, each to be checked by hand."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from config.checker import find_mistakes
from config.tariff_checks import find_tariff_conflicts
from config.tariffs import Tariff
from daemon.usage_files import read_usage
from rating.simulation import simulate

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_costs_what_a_person_reckons(path: Path) -> None:
    """Every line of the bill, in quantity and amount, and nothing besides."""
    example = tomllib.loads(path.read_text())
    isp = {} if example.get("wholesale") else {"isp": "aurora"}
    tariff = {"name": path.stem, **isp, **example["tariff"]}
    assert [] == find_mistakes(Tariff, tariff)
    assert [] == find_tariff_conflicts({"tariff": [tariff]})
    lines = [msgspec.json.encode(row).decode() for row in example["usage"]]
    bill = simulate(msgspec.convert(tariff, Tariff), read_usage(lines))
    expected = [
        (
            line["period"],
            line["element"],
            line["tag"],
            line["quantity"],
            int(Decimal(line["amount"]) * 1_000_000),
        )
        for line in example["line"]
    ]
    found = [
        (line.period, line.element, line.tag, line.quantity, line.amount)
        for line in bill.lines
    ]
    assert sorted(expected) == sorted(found)
    assert example["check"].endswith(".")
