"""A network in which each session of the load is one service's: a file, and objects.

Retail has an allowance, day and night, a quota and a cap; wholesale is by the gigabyte
with tiers, and a fee a line: what an ISP may really have, not the cheapest to rate.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["network_text", "objects_of"]

_DEMO = Path(__file__).parent.parent / "config" / "demo-network.toml"


def network_text(services: int) -> str:
    """Write what is added to a network file: tariffs, services by the load's users."""
    tariffs = _DEMO.read_text()
    begin = tariffs.index("[[tariff]]")
    end = tariffs.index("[[", tariffs.index("[[tariff.version.quota]]") + 2)
    rows = [
        f"""[[area]]
name = "harbour"
[[isp]]
name = "aurora"
realms = ["aurora.example"]
wholesale = "open-access"
{tariffs[begin:end]}
[[offering]]
name = "home-500"
isp = "aurora"
down_kbps = 500000
up_kbps = 100000
tariff = "aurora-home"
"""
    ]
    rows += [
        f"""[[line]]
name = "line-{number}"
area = "harbour"
circuit_id = "rated:{number}"
[[service]]
name = "aurora-{number}"
isp = "aurora"
line = "line-{number}"
offering = "home-500"
user_names = ["sub{number:07d}@aurora.example"]
"""
        for number in range(services)
    ]
    return "".join(rows)


def objects_of(text: str) -> Mapping[tuple[str, str], Mapping[str, Any]]:
    """Give a network file's objects by kind and name, as the change feed has them."""
    tables: dict[str, list[dict[str, Any]]] = tomllib.loads(text)
    return {(kind, row["name"]): row for kind, rows in tables.items() for row in rows}
