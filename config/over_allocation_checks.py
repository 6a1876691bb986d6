"""The rules between pools, reserves and the policy of over-allocation.

Like all of ``config.network_checks`` they pass over what is not of the type they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.dhcp_options import LEASE_SECONDS
from config.over_allocation import OverAllocation
from config.problems import Finding, nearest
from config.values import prefix_of

_MARKS = (
    ("low_percent", "high_clear_percent"),
    ("warn_clear_percent", "warn_percent"),
    ("high_clear_percent", "high_percent"),
    ("critical_clear_percent", "critical_percent"),
    ("warn_percent", "high_percent"),
    ("high_percent", "critical_percent"),
    ("lease_seconds_min", "loan_seconds"),
)
"""Figures of which the first must be below the second; no lease outlasts its loan."""

_LOW_TO_HIGH = 10
"""A block that goes back fills the pool by less than this, or it would come again."""


def find_promises(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Find promises of addresses that cannot be kept, and marks in the wrong order."""
    yield from _guarantees(document)
    yield from _names(document)
    yield from _one_name(document)
    yield from _policies(document)


def _rows(document: Mapping[str, Any], kind: str) -> Iterator[tuple[int, Any]]:
    rows = document.get(kind)
    if isinstance(rows, list):
        yield from (
            (place, row) for place, row in enumerate(rows) if isinstance(row, Mapping)
        )


def _size(row: Mapping[str, Any], block: int = 1) -> int | None:
    """How many IPv4 addresses a row has in whole blocks; None when that cannot be
    told.
    """
    prefixes = row.get("prefixes")
    if not isinstance(prefixes, list) or not prefixes:
        return None
    try:
        found = [prefix_of(text) for text in prefixes]
    except (AttributeError, TypeError, ValueError):
        return None
    sizes = (int(prefix.size) for prefix in found if prefix.version == 4)
    return sum(size // block * block for size in sizes)


def _block(document: Mapping[str, Any]) -> int:
    """How many addresses change hands at once; 1 where the file does not say."""
    for _, row in _rows(document, "over_allocation"):
        length = row.get("block_prefix_length")
        if isinstance(length, int) and 0 <= length <= 32:
            return 1 << 32 - length
    return 1


def _place(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key, "")
    return value if isinstance(value, str) else ""


def _guarantees(document: Mapping[str, Any]) -> Iterator[Finding]:
    kept: dict[tuple[str, str], int] = {}
    block = _block(document)
    for _, row in _rows(document, "reserve"):
        where = _place(row, "area"), _place(row, "vrf")
        kept[where] = kept.get(where, 0) + (_size(row, block) or 0)
    for place, row in _rows(document, "pool"):
        size, guaranteed = _size(row), row.get("guaranteed")
        if size is None or not isinstance(guaranteed, int) or guaranteed <= size:
            continue
        area, vrf = _place(row, "area"), _place(row, "vrf")
        lacking = -(-(guaranteed - size) // block) * block
        for where in ((area, vrf), ("", vrf)):
            taken = min(lacking, kept.get(where, 0))
            kept[where] = kept.get(where, 0) - taken
            lacking -= taken
        if lacking:
            message = (
                f"{guaranteed} is more than the pool's {size} addresses, and the "
                f"reserve lacks {lacking} to stand for the rest"
            )
            yield Finding(("pool", place, "guaranteed"), message)


def _names(document: Mapping[str, Any]) -> Iterator[Finding]:
    keys = (("pool", "routable_in", "area"), ("isp", "never_lend_to", "isp"))
    for kind, key, of in keys:
        known = {
            row["name"]: place
            for place, row in _rows(document, of)
            if isinstance(row.get("name"), str)
        }
        for place, row in _rows(document, kind):
            names = row.get(key)
            for position, name in enumerate(names if isinstance(names, list) else ()):
                if isinstance(name, str) and name not in known:
                    message = f"there is no {of} called {name!r}"
                    path = (kind, place, key, position)
                    yield Finding(path, message, nearest(name, known))


def _one_name(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Owners of blocks are known by name alone, be they pools or reserves."""
    names = (row.get("name") for _, row in _rows(document, "pool"))
    pools = {name for name in names if isinstance(name, str)}
    for place, row in _rows(document, "reserve"):
        if isinstance(row.get("name"), str) and row["name"] in pools:
            message = f"{row['name']!r} is the name of a pool already"
            yield Finding(("reserve", place, "name"), message)


def _policies(document: Mapping[str, Any]) -> Iterator[Finding]:
    defaults = OverAllocation()
    for place, row in _rows(document, "over_allocation"):
        if place:
            message = "there is one policy for the whole network: this is another"
            yield Finding(("over_allocation", place), message)
        yield from _shortest(place, row, document)
        marks = {key: row.get(key, getattr(defaults, key)) for key in _KEYS}
        if not all(isinstance(mark, int) for mark in marks.values()):
            continue
        for lower, upper in _MARKS:
            if marks[lower] >= marks[upper]:
                message = f"{marks[lower]} must be below {upper}, {marks[upper]}"
                yield Finding(("over_allocation", place, lower), message)
        if marks["low_percent"] + _LOW_TO_HIGH >= marks["high_percent"]:
            message = (
                f"{marks['low_percent']} must be more than {_LOW_TO_HIGH} below "
                f"high_percent, {marks['high_percent']}, or a block that goes back "
                "is asked for again"
            )
            yield Finding(("over_allocation", place, "low_percent"), message)


def _shortest(
    place: int, row: Mapping[str, Any], document: Mapping[str, Any]
) -> Iterator[Finding]:
    """A least lease time that is above a pool's own would hold nowhere in it."""
    least = row.get("lease_seconds_min")
    if not isinstance(least, int):
        return
    areas = {_place(area, "name"): area for _, area in _rows(document, "area")}
    for _, pool in _rows(document, "pool"):
        area = areas.get(_place(pool, "area"), {})
        own = pool.get("lease_seconds", area.get("lease_seconds", LEASE_SECONDS))
        if pool.get("walled_garden") is True or not isinstance(own, int):
            continue
        if least > own:
            whose = f"pool {_place(pool, 'name')!r}"
            message = f"{least} is more than the lease time of {whose}, {own}"
            yield Finding(("over_allocation", place, "lease_seconds_min"), message)


_KEYS = sorted({key for pair in _MARKS for key in pair})
