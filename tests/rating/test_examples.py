"""Worked examples: a tariff and usage in, money out, each to be checked by hand."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from config.checker import find_mistakes
from config.tariff_checks import find_tariff_conflicts
from config.tariffs import Tariff, Version
from daemon.usage_files import read_usage
from rating.simulation import Circumstances, simulate
from rating.wholesale import Loan

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.toml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_an_example_costs_what_a_person_reckons(path: Path) -> None:
    """Every line of the bill, in quantity and amount, every event of a quota, and
    nothing besides."""
    example = tomllib.loads(path.read_text())
    isp = {} if example.get("wholesale") else {"isp": "aurora"}
    tariff = {"name": path.stem, **isp, **example["tariff"]}
    assert [] == find_mistakes(Tariff, tariff)
    assert [] == find_tariff_conflicts({"tariff": [tariff]})
    lines = [msgspec.json.encode(row).decode() for row in example.get("usage", ())]
    bill = simulate(
        msgspec.convert(tariff, Tariff), read_usage(lines), circumstances_of(example)
    )
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
    assert [
        (at(e["at"]), e["quota"], e["kind"], e["percent"], e["action"])
        for e in example.get("event", ())
    ] == [(e.at, e.quota, e.kind, e.percent, e.action) for e in bill.events]
    assert {} == bill.unrated
    assert example["check"].endswith(".")


def circumstances_of(example: Mapping[str, Any]) -> Circumstances:
    """What an example says besides tariff and usage."""
    days = [example.get(key) for key in ("billed_from", "billed_until")]
    return Circumstances(
        *(None if day is None else date.fromisoformat(day) for day in days),
        tuple((at(row["at"]), row["name"]) for row in example.get("topup", ())),
        tuple(
            Loan(row["addresses"], at(row["lent_at"]), at(row["returned_at"]))
            for row in example.get("loan", ())
        ),
    )


def at(text: str) -> int:
    """A time of an example, in epoch seconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def test_no_feature_of_a_tariff_is_without_an_example() -> None:
    """Each part of a version, each key of it that may be left out, and each of the
    words that a key can be: told by the schema, so that a new one fails here."""
    version = msgspec.inspect.type_info(Version)
    shown: set[str] = set()
    for path in EXAMPLES:
        for row in tomllib.loads(path.read_text())["tariff"]["version"]:
            shown |= set(features(version, row))
    assert set() == set(features(version)) - shown
    assert any("anchor_day" in path.read_text() for path in EXAMPLES)


def features(
    what: msgspec.inspect.Type, row: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """The features of a part of a tariff, or (with a row of an example) those that are
    in it."""
    if isinstance(what, msgspec.inspect.Metadata):
        what = what.type
    assert isinstance(what, msgspec.inspect.StructType)
    for field in what.fields:
        name = f"{what.cls.__name__}.{field.name}"
        value = field.default if row is None else row.get(field.name, field.default)
        kind = getattr(field.type, "item_type", field.type)
        kind = getattr(kind, "type", kind)
        if isinstance(kind, msgspec.inspect.StructType):
            for part in [None] if row is None else row.get(field.name, ()):
                yield name
                yield from features(kind, part)
        elif isinstance(kind, msgspec.inspect.LiteralType) and kind is field.type:
            words = kind.values if row is None else [value]
            yield from (f"{name} = {word}" for word in words)
        elif not field.required and (row is None or value != field.default):
            yield name
