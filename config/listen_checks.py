"""The rule for the UDP addresses in the settings: each leads to one service.

The sockets are shared between processes (SO_REUSEPORT), so the system refuses no second
one, and each would get some of the packets of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from config.problems import Finding
from config.schema import Settings
from config.values import host_and_port

_KEYS: Final = (
    ("radius", "authentication_listen"),
    ("radius", "accounting_listen"),
    ("dhcp", "listen"),
)
_EVERY: Final = ("0.0.0.0", "::")  # noqa: S104  nothing is bound here


def find_shared_listens(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Find addresses that two services listen on, or one twice; with the defaults of
    what is not given."""
    defaults = Settings()
    given, taken = [], []
    for table, key in _KEYS:
        row = document.get(table, {})
        if isinstance(row, Mapping) and key in row:
            given.append((table, key, row[key]))
        else:
            taken += [(key, at) for at in getattr(getattr(defaults, table), key)]
    for table, key, listens in given:
        for place, item in enumerate(listens if isinstance(listens, list) else ()):
            if not isinstance(item, str):
                continue  # told elsewhere
            for owner, other in taken:
                if item == other if owner == key else _overlap(item, other):
                    message = f"{other} is in {owner} already"
                    if item[-2:] != ":0":
                        yield Finding((table, key, place), message)
                    break
            taken.append((key, item))


def _overlap(item: str, other: str) -> bool:
    try:
        (host, port), (its_host, its_port) = host_and_port(item), host_and_port(other)
    except ValueError:
        return item == other  # that it is none is told elsewhere
    same_family = (":" in host) == (":" in its_host)
    every = host in _EVERY or its_host in _EVERY
    return port == its_port and (host == its_host or (same_family and every))
