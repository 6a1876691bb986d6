"""The rules between offerings, contracts and services, held against the document.

Like those of ``config.network_checks`` they pass over what is not of the type they
need: ``config.checker`` has told that already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.problems import Finding, nearest

Rows = list[tuple[int, Mapping[str, Any]]]


def find_offer_conflicts(document: Mapping[str, Any]) -> list[Finding]:
    """Find every rule between offerings, contracts and services that is broken."""
    return [
        *_contracts(document),
        *_components(document),
        *_uncontracted(document),
        *_replaced(document),
        *_moving(document),
        *_unpriced(document),
    ]


def _rows(document: Mapping[str, Any], kind: str) -> Rows:
    rows = document.get(kind)
    listed = rows if isinstance(rows, list) else []
    return [
        (place, row) for place, row in enumerate(listed) if isinstance(row, Mapping)
    ]


def _by_name(document: Mapping[str, Any], kind: str) -> dict[str, Mapping[str, Any]]:
    rows = _rows(document, kind)
    return {row["name"]: row for _, row in rows if isinstance(row.get("name"), str)}


def _list(row: Mapping[str, Any], key: str) -> list[Any]:
    items = row.get(key)
    return items if isinstance(items, list) else []


def _contracts(document: Mapping[str, Any]) -> Iterator[Finding]:
    areas = _by_name(document, "area")
    for place, row in _rows(document, "isp"):
        for position, area in enumerate(_list(row, "contracts")):
            if isinstance(area, str) and area not in areas:
                path = ("isp", place, "contracts", position)
                message = f"there is no area called {area!r}"
                yield Finding(path, message, nearest(area, areas))


def _components(document: Mapping[str, Any]) -> Iterator[Finding]:
    bsps = _by_name(document, "bsp")
    for place, row in _rows(document, "offering"):
        for position, component in enumerate(_list(row, "components")):
            bsp = component.get("bsp") if isinstance(component, Mapping) else None
            if isinstance(bsp, str) and bsp not in bsps:
                path = ("offering", place, "components", position, "bsp")
                message = f"there is no bsp called {bsp!r}"
                yield Finding(path, message, nearest(bsp, bsps))


def _uncontracted(document: Mapping[str, Any]) -> Iterator[Finding]:
    isps, lines = _by_name(document, "isp"), _by_name(document, "line")
    for place, row in _rows(document, "service"):
        isp, line = isps.get(str(row.get("isp"))), lines.get(str(row.get("line")))
        if isp is None or line is None:
            continue
        contracts, area = _list(isp, "contracts"), line.get("area")
        if contracts and isinstance(area, str) and area not in contracts:
            message = f"{row['isp']!r} has no contract in the area {area!r}"
            yield Finding(("service", place, "isp"), message)


def _unpriced(document: Mapping[str, Any]) -> Iterator[Finding]:
    for place, row in _rows(document, "offering"):
        if row.get("excess_price_micro") and row.get("tariff") is None:
            message = "sells addresses without a tariff, which says in which currency"
            yield Finding(("offering", place, "excess_price_micro"), message)


def _moving(document: Mapping[str, Any]) -> Iterator[Finding]:
    lines = _by_name(document, "line")
    for place, row in _rows(document, "service"):
        former = row.get("former_line")
        path = ("service", place, "former_line")
        if isinstance(former, str) and former not in lines:
            message = f"there is no line called {former!r}"
            yield Finding(path, message, nearest(former, lines))
        elif isinstance(former, str) and former == row.get("line"):
            yield Finding(path, "is the line that it is on")


def _replaced(document: Mapping[str, Any]) -> Iterator[Finding]:
    services = _by_name(document, "service")
    for place, row in _rows(document, "service"):
        replaced = row.get("replaces")
        if not isinstance(replaced, str):
            continue
        other = services.get(replaced)
        path = ("service", place, "replaces")
        if other is None:
            message = f"there is no service called {replaced!r}"
            yield Finding(path, message, nearest(replaced, services))
        elif other.get("line") != row.get("line"):
            yield Finding(path, f"{replaced!r} is on another line")
