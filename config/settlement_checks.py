"""The rules between taxes, products, meters and limits, and those they refer to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.problems import Finding, nearest
from config.quantities import micro_of, part_of

_REFERENCES = (
    ("product", "bsp", ("bsp",)),
    ("meter", "bsp", ("bsp",)),
    ("meter", "tariff", ("tariff",)),
    ("spending_limit", "isp", ("isp",)),
    ("spending_limit", "service", ("service",)),
    ("spending_limit", "bsp", ("bsp",)),
    ("tax", "party", ("isp", "bsp")),
)
"""Table, key, and the tables whose rows the key may name."""

_NETWORK = "network"
_WHOLE = 10_000


def find_settlement_conflicts(document: Mapping[str, Any]) -> list[Finding]:
    """Find every rule that the settlement tables of a network document break."""
    return [
        *_dangling(document),
        *_reserved_names(document),
        *_taxes_twice(document),
        *_tax_classes(document),
        *_shares(document),
        *_own_prices(document),
        *_sellers(document),
        *_limits(document),
    ]


def _rows(document: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Any]]:
    rows = document.get(kind)
    if isinstance(rows, list):
        yield from (
            (place, row) for place, row in enumerate(rows) if isinstance(row, Mapping)
        )


def _dangling(document: Mapping[str, Any]) -> Iterator[Finding]:
    for kind, key, tables in _REFERENCES:
        known = {
            row["name"]
            for table in tables
            for _, row in _rows(document, table)
            if isinstance(row.get("name"), str)
        }
        for place, row in _rows(document, kind):
            name = row.get(key)
            if not isinstance(name, str) or name in known:
                continue
            if (kind, key, name) != ("tax", "party", _NETWORK):
                message = f"there is no {' or '.join(tables)} called {name!r}"
                yield Finding((kind, place, key), message, nearest(name, known))


def _reserved_names(document: Mapping[str, Any]) -> Iterator[Finding]:
    isps = {row.get("name"): place for place, row in _rows(document, "isp")}
    for kind in ("isp", "bsp"):
        for place, row in _rows(document, kind):
            name = row.get("name")
            if name == _NETWORK:
                message = "'network' is the Network Provider's own name"
                yield Finding((kind, place, "name"), message)
            elif kind == "bsp" and isinstance(name, str) and name in isps:
                # Statements and settlement know a party by its name alone.
                message = f"{name!r} is the name of isp[{isps[name]}] already"
                yield Finding((kind, place, "name"), message)


def _taxes_twice(document: Mapping[str, Any]) -> Iterator[Finding]:
    first: dict[tuple[Any, ...], int] = {}
    for place, row in _rows(document, "tax"):
        key = (row.get("tax_class", "standard"), row.get("party"), row.get("first_day"))
        if any(not isinstance(k, str | None) for k in key):
            continue
        if first.setdefault(key, place) != place:
            message = f"tax[{first[key]}] is for the same class, party and day already"
            yield Finding(("tax", place), message)


def _tax_classes(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Say what would go untaxed without anybody saying so, where anything is taxed."""
    named = [row.get("tax_class", "standard") for _, row in _rows(document, "tax")]
    taxed = {name for name in named if isinstance(name, str)}
    for kind in ("tariff", "product", "bsp") if taxed else ():
        for place, row in _rows(document, kind):
            name = row.get("tax_class", "standard")
            if isinstance(name, str) and name not in taxed:
                path = (kind, place, *(["tax_class"] if "tax_class" in row else []))
                message = f"no tax is for class {name!r}: one of 0 says none is due"
                yield Finding(path, message, nearest(name, taxed))


def _percent(row: Mapping[str, Any], key: str) -> int:
    try:
        return part_of(row[key]) if isinstance(row.get(key), str) else 0
    except ValueError:
        return 0


def _shares(document: Mapping[str, Any]) -> Iterator[Finding]:
    sellers = {
        row["name"]: row
        for _, row in _rows(document, "bsp")
        if isinstance(row.get("name"), str)
    }
    for kind in ("bsp", "product"):
        for place, row in _rows(document, kind):
            seller = sellers.get(row.get("bsp"), {}) if kind == "product" else {}
            given = [
                _percent(row if key in row else seller, key)
                for key in ("isp_commission", "network_fee")
            ]
            if sum(given) > _WHOLE:
                message = "isp_commission and network_fee are more than 100 together"
                yield Finding((kind, place), message)


def _own_prices(document: Mapping[str, Any]) -> Iterator[Finding]:
    for place, row in _rows(document, "bsp"):
        low, high = row.get("price_minimum"), row.get("price_maximum")
        if not isinstance(low, str) or not isinstance(high, str):
            continue
        try:
            if micro_of(low) > micro_of(high):
                message = f"{low} is more than price_maximum, {high}"
                yield Finding(("bsp", place, "price_minimum"), message)
        except ValueError:
            continue


def _limits(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Say which limits nobody who sells could reach: they are in another currency."""
    sold_in = {
        row.get("name"): row.get("currency", "EUR") for _, row in _rows(document, "bsp")
    }
    for place, row in _rows(document, "spending_limit"):
        bsp, currency = row.get("bsp"), row.get("currency")
        known = [sold_in[bsp]] if bsp in sold_in else [*sold_in.values()]
        if isinstance(currency, str) and known and currency not in known:
            whose = f"{bsp!r} sells in {known[0]}" if bsp else "no bsp sells in it"
            message = f"a limit in {currency} holds for nothing: {whose}"
            yield Finding(("spending_limit", place, "currency"), message)


def _sellers(document: Mapping[str, Any]) -> Iterator[Finding]:
    isps = {row.get("name") for _, row in _rows(document, "isp")}
    for place, row in _rows(document, "bsp"):
        names = row.get("isps")
        for at, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str) and name not in isps:
                message = f"there is no isp called {name!r}"
                meant = nearest(name, [isp for isp in isps if isinstance(isp, str)])
                yield Finding(("bsp", place, "isps", at), message, meant)
