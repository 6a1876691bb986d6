"""The rules between lines: each can be told from every other, and has its relay.

Like all of ``config.network_checks`` they pass over what is not of the type they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from config.problems import Finding, nearest

_IDS = ("circuit_id", "remote_id", "subscriber_id")


def find_mistaken_lines(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Find lines of no relay, and lines that say the same of themselves."""
    relays = {
        row["name"]: row.get("area")
        for row in _rows(document, "relay")
        if isinstance(row.get("name"), str)
    }
    owners: dict[tuple[Any, ...], object] = {}
    for place, row in enumerate(_rows(document, "line")):
        relay, area = row.get("relay"), row.get("area")
        if isinstance(relay, str) and relay not in relays:
            message = f"there is no relay called {relay!r}"
            yield Finding(("line", place, "relay"), message, nearest(relay, relays))
        elif isinstance(relay, str) and relays[relay] != area:
            message = f"relay {relay!r} is in area {relays[relay]!r}, not in {area!r}"
            yield Finding(("line", place, "relay"), message)
        ids = tuple(row.get(key) for key in _IDS)
        key = (area, relay, *ids)
        if not any(ids) or not all(isinstance(v, str | None) for v in key):
            continue
        owner = owners.setdefault(key, row.get("name"))
        if owner != row.get("name"):
            at = next(name for name in _IDS if row.get(name))
            message = f"nothing tells this line from line {owner!r}"
            yield Finding(("line", place, at), message)


def _rows(document: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    rows = document.get(kind)
    if isinstance(rows, list):
        for row in rows:
            yield row if isinstance(row, Mapping) else {}
