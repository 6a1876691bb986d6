"""The rules for addresses that devices get: which can be had at all, from which pool,
and that nobody else has the same.

Like ``config.network_checks``, which calls them, they look at the parsed document and
pass over what is not of the type they need.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from netaddr import IPNetwork

from config.problems import Finding, rows_of
from config.values import prefix_of

_NOBODYS: Final = (
    (IPNetwork("0.0.0.0/8"), "this network"),
    (IPNetwork("127.0.0.0/8"), "loopback"),
    (IPNetwork("169.254.0.0/16"), "link-local"),
    (IPNetwork("224.0.0.0/4"), "multicast"),
    (IPNetwork("240.0.0.0/4"), "kept for the future, and broadcast"),
)
"""What no host is given: RFC 6890, section 2.2.2, and RFC 5771."""


class _Span(NamedTuple):
    first: int
    last: int
    kind: str
    row: Mapping[str, Any]


def find_address_conflicts(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Find addresses that nobody can have, or that two would."""
    for kind in ("pool", "reserve"):
        for place, row in rows_of(document, kind):
            yield from _nobodys(kind, place, row)
    for place, row in rows_of(document, "pool"):
        yield from _pool(place, row)
    yield from _framed(document)


def _prefixes(row: Mapping[str, Any], key: str) -> Iterator[tuple[int, IPNetwork]]:
    texts = row.get(key)
    for position, text in enumerate(texts if isinstance(texts, list) else ()):
        try:
            prefix = prefix_of(text) if isinstance(text, str) else None
        except ValueError:
            continue  # told elsewhere
        if prefix is not None and prefix.version == 4:
            yield position, prefix


def _nobodys(kind: str, place: int, row: Mapping[str, Any]) -> Iterator[Finding]:
    for position, prefix in _prefixes(row, "prefixes"):
        for special, what in _NOBODYS:
            if prefix in special or special in prefix:
                message = f"no device can have an address of {special}, {what}"
                yield Finding((kind, place, "prefixes", position), message)
                break


def _pool(place: int, row: Mapping[str, Any]) -> Iterator[Finding]:
    if row.get("walled_garden") is True and "isp" in row:
        message = "a walled garden is for lines that have no service: it has no isp"
        yield Finding(("pool", place, "isp"), message)
    own = [prefix for _, prefix in _prefixes(row, "prefixes")]
    size, lending = sum(int(prefix.size) for prefix in own), row.get("lending")
    if isinstance(lending, int) and 0 < size < lending:
        message = f"{lending} is more than the pool's {size} addresses"
        yield Finding(("pool", place, "lending"), message)
    for position, kept in _prefixes(row, "reserved"):
        if not any(kept in prefix for prefix in own):
            message = f"{kept} is in none of the pool's prefixes"
            yield Finding(("pool", place, "reserved", position), message)


def _framed(document: Mapping[str, Any]) -> Iterator[Finding]:
    spans = sorted(
        (
            _Span(prefix.first, prefix.last, kind, row)
            for kind in ("pool", "reserve")
            for _, row in rows_of(document, kind)
            for _, prefix in _prefixes(row, "prefixes")
        ),
        key=lambda span: span[:2],
    )
    firsts = [span.first for span in spans]
    owners: dict[int, object] = {}
    for place, row in rows_of(document, "service"):
        text = row.get("framed_ip_address")
        found = [prefix for _, prefix in _prefixes({"address": [text]}, "address")]
        if not found:
            continue
        address = found[0].first
        path = ("service", place, "framed_ip_address")
        owner = owners.setdefault(address, row.get("name"))
        if owner != row.get("name"):
            yield Finding(path, f"{text} is the address of service {owner!r} already")
        near = bisect_right(firsts, address) - 1
        if near >= 0 and address <= spans[near].last:
            yield from _leased(path, text, address, row.get("isp"), spans[near])


def _leased(
    path: tuple[str | int, ...], text: str, address: int, isp: object, span: _Span
) -> Iterator[Finding]:
    of = f"{text} is of {span.kind} {span.row.get('name')!r}"
    owner = span.row.get("isp")
    if owner != isp:
        yield Finding(path, f"{of}, which is not of {isp!r}")
    elif not any(
        kept.first <= address <= kept.last
        for _, kept in _prefixes(span.row, "reserved")
    ):
        yield Finding(path, f"{of}, which leases it too: name it in `reserved` there")
